#!/usr/bin/env python3
"""Writes the seed inputs of the model-file fuzzers: fuzz/corpus/{gguf,safetensors,model_config}."""

import json
import struct
from pathlib import Path

CORPUS = Path(__file__).resolve().parents[1] / "corpus"
U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
CODES = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "B",
         U64: "Q", I64: "q", F64: "d"}


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def value_bytes(kind, value):
    return text(value) if kind == STRING else struct.pack("<" + CODES[kind], value)


def entry(key, kind, value):
    if isinstance(value, list):
        head = struct.pack("<IIQ", ARRAY, kind, len(value))
        return text(key) + head + b"".join(value_bytes(kind, v) for v in value)
    return text(key) + struct.pack("<I", kind) + value_bytes(kind, value)


def gguf(entries, tensors, data_bytes, version=3, alignment=32):
    out = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(entries))
    out += b"".join(entry(*e) for e in entries)
    for name, sizes, kind, offset in tensors:
        out += text(name) + struct.pack("<I", len(sizes))
        out += b"".join(struct.pack("<Q", s) for s in sizes) + struct.pack("<IQ", kind, offset)
    out += bytes(-len(out) % alignment)
    return out + b"\x3c" * data_bytes


def model(arch, **more):
    sizes = {"block_count": 2, "context_length": 128, "embedding_length": 32,
             "feed_forward_length": 64, "attention.head_count": 8, "attention.head_count_kv": 2,
             "vocab_size": 16}
    entries = [("general.architecture", STRING, arch)]
    entries += [(f"{arch}.{k}", U32, v) for k, v in sizes.items()]
    entries += [(f"{arch}.attention.layer_norm_rms_epsilon", F32, 1e-5)]
    entries += [(f"{arch}.{k}", STRING if isinstance(v, str) else F32, v) for k, v in more.items()]
    return entries


def write(folder, name, data):
    path = CORPUS / folder
    path.mkdir(parents=True, exist_ok=True)
    assert len(data) <= 4096
    (path / name).write_bytes(data)


def write_gguf():
    every = [("u8", U8, 1), ("i8", I8, -1), ("u16", U16, 2), ("i16", I16, -2), ("u32", U32, 3),
             ("i32", I32, -3), ("f32", F32, 0.5), ("bool", BOOL, 1), ("string", STRING, "text"),
             ("u64", U64, 4), ("i64", I64, -4), ("f64", F64, 0.25),
             ("strings", STRING, ["a", "", "bc"]), ("ints", I32, [1, 2, 3]),
             ("bools", BOOL, [0, 1])]
    write("gguf", "every_type", gguf(every, [], 0))
    write("gguf", "version_2", gguf(every[:3], [], 0, version=2))
    tokens = [("tokenizer.ggml.tokens", STRING, ["<s>", "</s>"] + [f"t{i}" for i in range(14)]),
              ("tokenizer.ggml.scores", F32, [0.0] * 16),
              ("tokenizer.ggml.bos_token_id", U32, 0), ("tokenizer.ggml.eos_token_id", U32, 1)]
    write("gguf", "llama", gguf(model("llama") + tokens,
                                [("token_embd.weight", [32, 16], 2, 0),
                                 ("rope_freqs.weight", [2], 0, 288)], 296))
    scaling = {"rope.scaling.type": "yarn", "rope.scaling.factor": 4.0, "rope.freq_base": 1e6}
    write("gguf", "qwen2_yarn", gguf(model("qwen2", **scaling), [], 0))
    write("gguf", "gemma3", gguf(model("gemma3") + [
        ("gemma3.attention.sliding_window", U32, 16),
        ("gemma3.attention.sliding_window_pattern", BOOL, [1, 0])], [], 0))
    write("gguf", "phi3_longrope", gguf(
        model("phi3") + [("phi3.rope.scaling.original_context_length", U32, 64)],
        [("rope_factors_long.weight", [2], 0, 0), ("rope_factors_short.weight", [2], 0, 32)], 40))
    write("gguf", "aligned_split", gguf(
        [("general.alignment", U32, 64), ("split.no", U16, 0), ("split.count", U16, 2),
         ("split.tensors.count", I32, 2)], [("t", [256, 1], 12, 64)], 64 + 144, alignment=64))


def safetensors(header, data):
    raw = json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + bytes(data)


def write_safetensors():
    write("safetensors", "empty", safetensors({}, 0))
    write("safetensors", "two", safetensors(
        {"__metadata__": {"format": "pt"},
         "b": {"dtype": "F32", "shape": [2, 2], "data_offsets": [6, 22]},
         "a": {"dtype": "BF16", "shape": [3], "data_offsets": [0, 6]}}, 22))
    write("safetensors", "scalar_and_empty", safetensors(
        {"s": {"dtype": "F8_E4M3", "shape": [], "data_offsets": [0, 1]},
         "e": {"dtype": "I64", "shape": [0], "data_offsets": [1, 1]}}, 1))
    write("safetensors", "index", json.dumps(
        {"metadata": {"total_size": 8},
         "weight_map": {"a": "x-1.safetensors", "b": "x-2.safetensors"}}).encode())


def write_configs():
    base = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 4,
            "num_attention_heads": 8, "num_key_value_heads": 4, "vocab_size": 100,
            "max_position_embeddings": 256, "rms_norm_eps": 1e-5, "bos_token_id": 0,
            "eos_token_id": [1, 2], "tie_word_embeddings": True, "head_dim": 8}
    types = ["sliding_attention", "full_attention"] * 2
    cases = {
        "llama3": {"model_type": "llama", "attention_bias": True, "mlp_bias": True,
                   "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                                    "high_freq_factor": 4.0,
                                    "original_max_position_embeddings": 64}},
        "mistral": {"model_type": "mistral", "sliding_window": 24, "temperature": 0.5,
                    "rope_parameters": {"rope_type": "default", "rope_theta": 1e6}},
        "qwen2": {"model_type": "qwen2", "use_sliding_window": True, "sliding_window": 16,
                  "max_window_layers": 2,
                  "rope_scaling": {"type": "yarn", "factor": 4.0, "truncate": False,
                                   "mscale": 0.7, "mscale_all_dim": 0.7}},
        "qwen3_fp8": {"model_type": "qwen3", "layer_types": types, "sliding_window": 8,
                      "use_sliding_window": True, "top_k": 20, "top_p": 0.9, "do_sample": True,
                      "quantization_config": {"quant_method": "fp8",
                                              "weight_block_size": [128, 128]}},
        "gemma3": {"model_type": "gemma3_text", "sliding_window": 24, "sliding_window_pattern": 3,
                   "query_pre_attn_scalar": 32, "hidden_activation": "gelu_pytorch_tanh",
                   "rope_local_base_freq": 10000.0,
                   "rope_scaling": {"rope_type": "linear", "factor": 8.0}},
        "gemma3_parameters": {
            "model_type": "gemma3_text", "layer_types": types, "sliding_window": 24,
            "use_bidirectional_attention": False,
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
                "sliding_attention": {"rope_type": "default", "rope_theta": 1e4}}},
        "gemma2": {"model_type": "gemma2", "attn_logit_softcapping": None,
                   "final_logit_softcapping": 30.0},
        "phi3": {"model_type": "phi3", "original_max_position_embeddings": 100,
                 "partial_rotary_factor": 0.5,
                 "rope_scaling": {"type": "longrope", "short_factor": [1.0, 1.5],
                                  "long_factor": [2.0, 3.0]}},
        "phi3_window": {"model_type": "phi3", "sliding_window": 40, "rope_scaling": None,
                        "tie_word_embeddings": False, "original_max_position_embeddings": 256},
    }
    for name, more in cases.items():
        write("model_config", name, json.dumps(base | more).encode())


write_gguf()
write_safetensors()
write_configs()
