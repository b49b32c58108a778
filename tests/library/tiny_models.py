"""Makes small models with vocabularies, for what the models of tests/data cannot do: a chat model
and an encoder, each in a folder as Hugging Face lays it out."""

import json
import pathlib
import random
import shutil
import struct

WEIGHTS = pathlib.Path("tests/data/golden/qwen3")  # 512 ids, no vocabulary
TEMPLATE = (
    "{% for message in messages %}<|start|>{{ message.role }}\n{{ message.content }}<|end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|start|>assistant\n{% endif %}")
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "the", "cat", "dog", "sky", "sleeps", "eats", "is",
         "blue", "man", "##s", "##ing", "."]


def byte_alphabet():
    """The character that stands for each byte in byte-level vocabularies."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in plain]
    return {**{byte: chr(byte) for byte in plain},
            **{byte: chr(256 + i) for i, byte in enumerate(rest)}}


def special(token, token_id):
    return {"id": token_id, "content": token, "special": True, "single_word": False, "lstrip": False,
            "rstrip": False, "normalized": False}


def write_json(path, value):
    path.write_text(json.dumps(value), encoding="utf-8")


def write_byte_tokenizer(folder, template=TEMPLATE):
    """One token for each byte, then <|start|> and <|end|>, and a template."""
    alphabet = byte_alphabet()
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                  "use_regex": True}
    write_json(folder / "tokenizer.json", {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [special("<|start|>", 256), special("<|end|>", 257)],
        "normalizer": None, "pre_tokenizer": byte_level, "post_processor": None,
        "decoder": byte_level,
        "model": {"type": "BPE", "vocab": {alphabet[byte]: byte for byte in range(256)},
                  "merges": []}})
    write_json(folder / "tokenizer_config.json", {"eos_token": "<|end|>", "chat_template": template})


def make_chat_model(folder, template=TEMPLATE):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True)
    shutil.copyfile(WEIGHTS / "model.safetensors", folder / "model.safetensors")
    config = json.loads((WEIGHTS / "config.json").read_text(encoding="utf-8"))
    write_json(folder / "config.json", {**config, "bos_token_id": 256, "eos_token_id": 257})
    write_byte_tokenizer(folder, template)


def make_encoder(folder):
    """A BERT of one layer with random weights, 64 tokens at most, vectors of 64 numbers."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True)
    hidden, inner, positions = 64, 128, 64
    write_json(folder / "config.json", {
        "architectures": ["BertModel"], "model_type": "bert", "vocab_size": len(WORDS),
        "hidden_size": hidden, "intermediate_size": inner, "num_hidden_layers": 1,
        "num_attention_heads": 2, "hidden_act": "gelu", "max_position_embeddings": positions,
        "type_vocab_size": 2, "layer_norm_eps": 1e-12, "pad_token_id": 0,
        "position_embedding_type": "absolute", "torch_dtype": "float32"})
    layer = "encoder.layer.0."
    shapes = {"embeddings.word_embeddings.weight": [len(WORDS), hidden],
              "embeddings.position_embeddings.weight": [positions, hidden],
              "embeddings.token_type_embeddings.weight": [2, hidden],
              layer + "intermediate.dense.weight": [inner, hidden],
              layer + "intermediate.dense.bias": [inner],
              layer + "output.dense.weight": [hidden, inner], layer + "output.dense.bias": [hidden]}
    for name in ["self.query", "self.key", "self.value", "output.dense"]:
        shapes[f"{layer}attention.{name}.weight"] = [hidden, hidden]
        shapes[f"{layer}attention.{name}.bias"] = [hidden]
    for name in ["embeddings.LayerNorm", layer + "attention.output.LayerNorm",
                 layer + "output.LayerNorm"]:
        shapes[name + ".weight"] = [hidden]
        shapes[name + ".bias"] = [hidden]
    draw = random.Random(1)
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, shape in sorted(shapes.items()):
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        mean = 1.0 if name.endswith("LayerNorm.weight") else 0.0
        values = struct.pack(f"<{count}f", *(draw.gauss(mean, 0.2) for _ in range(count)))
        header[name] = {"dtype": "F32", "shape": shape,
                        "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
    around = [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
              {"SpecialToken": {"id": "[SEP]", "type_id": 0}}]
    write_json(folder / "tokenizer.json", {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [special(word, WORDS.index(word)) for word in WORDS[:4]],
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
                       "strip_accents": None, "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "TemplateProcessing", "single": around, "pair": around, "special_tokens": {
            word: {"id": word, "ids": [WORDS.index(word)], "tokens": [word]}
            for word in ["[CLS]", "[SEP]"]}},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100,
                  "vocab": {word: i for i, word in enumerate(WORDS)}}})
