#!/usr/bin/env python3
"""Writes a BERT encoder's Hugging Face folder as a GGUF file that llama.cpp and Pelton read.

usage: bert_gguf.py FOLDER TYPE PATH             e.g. bert_gguf.py FOLDER Q8_0 build/minilm.gguf

The weight matrices and the table of words get the type given, everything else stays F32, as
llama.cpp's own converter does. For encoders of WordPiece vocabularies without a head, pooled by the
mean. An existing file is left alone; a new one appears under its name when complete.
"""
import argparse
import json
import os
import pathlib
import struct
import sys

import gguf
import numpy as np
from gguf.quants import quantize

TYPES = ("F32", "F16", "Q8_0")
WORD_MARK = "\u2581"  # GGUF marks the beginning of a word, vocab.txt ("##") its continuation
SPECIAL = {"cls": "[CLS]", "sep": "[SEP]", "pad": "[PAD]", "unk": "[UNK]", "mask": "[MASK]"}
EMBEDDINGS = {
    "embeddings.word_embeddings.weight": "token_embd.weight",
    "embeddings.token_type_embeddings.weight": "token_types.weight",
    "embeddings.position_embeddings.weight": "position_embd.weight",
    "embeddings.LayerNorm": "token_embd_norm",
}
LAYER = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}


def read_tensors(path):
    """Yields (name, F32 array) of every tensor of numbers in a safetensors file."""
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = np.frombuffer(file.read(), dtype=np.uint8)
    for name, entry in header.items():
        if name == "__metadata__" or entry["dtype"] == "I64":
            continue
        if entry["dtype"] not in ("F32", "F16"):
            raise SystemExit(f"{path}: {name}: found {entry['dtype']}, expected F32 or F16")
        begin, end = entry["data_offsets"]
        values = data[begin:end].view({"F32": "<f4", "F16": "<f2"}[entry["dtype"]])
        yield name, values.reshape(entry["shape"]).astype(np.float32)


def gguf_name(name):
    """The tensor's name in GGUF; None for the pooler, which embeddings do without."""
    name = name.removeprefix("bert.")
    if name.startswith("pooler."):
        return None
    if name in EMBEDDINGS:
        return EMBEDDINGS[name]
    module, _, part = name.rpartition(".")
    if module in EMBEDDINGS:
        return f"{EMBEDDINGS[module]}.{part}"
    prefix, _, rest = module.removeprefix("encoder.layer.").partition(".")
    if not module.startswith("encoder.layer.") or rest not in LAYER:
        raise SystemExit(f"found the tensor {name}, expected those of a BERT encoder")
    return f"blk.{prefix}.{LAYER[rest]}.{part}"


def add_metadata(writer, config, file_type):
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_layer_norm_eps(config["layer_norm_eps"])
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    writer.add_file_type(file_type)
    writer.add_token_type_count(config["type_vocab_size"])


def add_vocabulary(writer, folder):
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    tokens, types = [], []
    for token, _ in sorted(vocabulary.items(), key=lambda entry: entry[1]):
        special = token in SPECIAL.values()
        types.append(int(gguf.TokenType.CONTROL if special else gguf.TokenType.NORMAL))
        if not special:
            token = token[2:] if token.startswith("##") else WORD_MARK + token
        tokens.append(token)
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("bert-bge")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_bos_token_id(vocabulary[SPECIAL["cls"]])
    writer.add_sep_token_id(vocabulary[SPECIAL["sep"]])
    writer.add_pad_token_id(vocabulary[SPECIAL["pad"]])
    writer.add_unk_token_id(vocabulary[SPECIAL["unk"]])
    writer.add_mask_token_id(vocabulary[SPECIAL["mask"]])


def write_model(folder, type_name, path):
    quantization = gguf.GGMLQuantizationType[type_name]
    file_type = gguf.LlamaFileType["ALL_F32" if type_name == "F32" else f"MOSTLY_{type_name}"]
    config = json.loads((folder / "config.json").read_text())
    part = path.with_name(path.name + ".part")
    writer = gguf.GGUFWriter(part, "bert")
    writer.add_name(folder.name)
    add_metadata(writer, config, file_type)
    add_vocabulary(writer, folder)
    for source, values in read_tensors(folder / "model.safetensors"):
        name = gguf_name(source)
        if name is None:
            continue
        small = values.ndim == 1 or name in ("token_types.weight", "position_embd.weight")
        kind = gguf.GGMLQuantizationType.F32 if small else quantization
        writer.add_tensor(name, quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    os.replace(part, path)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("type", choices=TYPES)
    parser.add_argument("path", type=pathlib.Path)
    arguments = parser.parse_args()
    if arguments.path.exists():
        return 0
    arguments.path.parent.mkdir(parents=True, exist_ok=True)
    write_model(arguments.folder, arguments.type, arguments.path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
