#!/usr/bin/env python3
"""Writes a GGUF model of the Llama family with random weights: a speed test needs the shape only.

usage: make_model.py SHAPE TYPE PATH [--seed N]      e.g. make_model.py 1.1b Q8_0 build/m.gguf

All matrices, embedding and output included, have the type given; norms are F32. The weights are
normal with variance 1/fan_in, so activations keep their size and logits stay finite. The
tokenizer is a byte-level BPE made here from letter pairs, so both engines load the file and any
text round-trips. An existing file is left alone; a new one appears under its name when complete.
"""
import argparse
import dataclasses
import itertools
import os
import pathlib
import string
import sys

import gguf
import numpy as np
from gguf.quants import quantize


@dataclasses.dataclass(frozen=True)
class Shape:
    layers: int
    dim: int
    heads: int
    kv_heads: int
    ffn: int
    vocab: int
    context: int = 4096

    @property
    def head_dim(self):
        return self.dim // self.heads


SHAPES = {
    "1.1b": Shape(layers=22, dim=2048, heads=32, kv_heads=4, ffn=5632, vocab=32000),
    "135m": Shape(layers=30, dim=576, heads=9, kv_heads=3, ffn=1536, vocab=49152),
    "tiny": Shape(layers=2, dim=256, heads=4, kv_heads=2, ffn=512, vocab=1024),
    "tiny-odd": Shape(layers=3, dim=192, heads=6, kv_heads=3, ffn=416, vocab=512),
}
TYPES = ("F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0")
END = "<|end|>"
START = "<|start|>"
TEMPLATE = ("{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}"
            "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}")


def byte_symbols():
    """The printable character that stands for each byte in byte-level BPE."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    spare = itertools.count(256)
    return [chr(b) if b in plain else chr(next(spare)) for b in range(256)]


def make_vocabulary(size):
    """(tokens, token types, merges): bytes, then merges of letters, then the two markers."""
    symbols = byte_symbols()
    space = symbols[ord(" ")]
    letters = string.ascii_lowercase
    tokens, merges = list(symbols), []
    known = set(tokens)

    def merge(left, right):
        if len(tokens) < size - 2 and left + right not in known:
            tokens.append(left + right)
            known.add(left + right)
            merges.append(f"{left} {right}")

    pairs = [a + b for a in letters for b in letters]
    for a, b in itertools.product(letters, letters):
        merge(a, b)
    for letter in letters:
        merge(space, letter)
    for pair in pairs:
        merge(space, pair)
    for pair, letter in itertools.product(pairs, letters):
        merge(pair, letter)
    for pair, other in itertools.product(pairs, pairs):
        merge(pair, other)
    tokens += [START, END]
    normal, control = int(gguf.TokenType.NORMAL), int(gguf.TokenType.CONTROL)
    return tokens, [normal] * (size - 2) + [control] * 2, merges


def add_metadata(writer, shape, file_type, name):
    writer.add_name(name)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.dim)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.ffn)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(shape.vocab)
    writer.add_file_type(file_type)
    tokens, types, merges = make_vocabulary(shape.vocab)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(shape.vocab - 2)
    writer.add_eos_token_id(shape.vocab - 1)
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)


def matrices(shape):
    """(name, rows, columns); row-major, one row per output."""
    kv_dim = shape.kv_heads * shape.head_dim
    yield "token_embd.weight", shape.vocab, shape.dim
    for layer in range(shape.layers):
        block = f"blk.{layer}."
        yield block + "attn_q.weight", shape.dim, shape.dim
        yield block + "attn_k.weight", kv_dim, shape.dim
        yield block + "attn_v.weight", kv_dim, shape.dim
        yield block + "attn_output.weight", shape.dim, shape.dim
        yield block + "ffn_gate.weight", shape.ffn, shape.dim
        yield block + "ffn_up.weight", shape.ffn, shape.dim
        yield block + "ffn_down.weight", shape.dim, shape.ffn
    yield "output.weight", shape.vocab, shape.dim


def norms(shape):
    for layer in range(shape.layers):
        yield f"blk.{layer}.attn_norm.weight"
        yield f"blk.{layer}.ffn_norm.weight"
    yield "output_norm.weight"


def write_model(shape, type_name, path, seed, name):
    quantization = gguf.GGMLQuantizationType[type_name]
    file_type = gguf.LlamaFileType["ALL_F32" if type_name == "F32" else f"MOSTLY_{type_name}"]
    random = np.random.default_rng(seed)
    part = path.with_name(path.name + ".part")
    writer = gguf.GGUFWriter(part, "llama")
    add_metadata(writer, shape, file_type, name)
    for tensor, rows, columns in matrices(shape):
        weights = random.standard_normal((rows, columns), dtype=np.float32)
        weights *= np.float32(1.0 / np.sqrt(columns))
        writer.add_tensor(tensor, quantize(weights, quantization), raw_dtype=quantization)
    for tensor in norms(shape):
        writer.add_tensor(tensor, np.ones(shape.dim, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    os.replace(part, path)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("type", choices=TYPES)
    parser.add_argument("path", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--context", type=int, help="tokens that the model takes")
    arguments = parser.parse_args()
    if arguments.path.exists():
        return 0
    arguments.path.parent.mkdir(parents=True, exist_ok=True)
    shape = SHAPES[arguments.shape]
    if arguments.context:
        shape = dataclasses.replace(shape, context=arguments.context)
    write_model(shape, arguments.type, arguments.path, arguments.seed,
                f"random-{arguments.shape}-{arguments.type}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
