#!/usr/bin/env python3
"""Writes a GGUF model with random weights, of the Llama family or of DeepSeek V2: a speed test needs
the shape only.

usage: make_model.py SHAPE TYPE PATH [--seed N]      e.g. make_model.py 1.1b Q8_0 build/m.gguf

All matrices, embedding and output included, have the type given; norms are F32. The weights are
normal with variance 1/fan_in, so activations keep their size and logits stay finite. The
router is random too, so that tokens spread over the experts. Of the experts of a layer eight are
random and the others are copies. The tokenizer is a byte-level BPE made here from letter pairs, so both engines load the file and any
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
class Experts:
    """DeepSeek V2's parts: latent attention, and experts in all layers but the first."""
    count: int
    used: int
    ffn: int
    shared: int
    kv_rank: int = 512
    nope: int = 128
    rope: int = 64
    value: int = 128


@dataclasses.dataclass(frozen=True)
class Shape:
    layers: int
    dim: int
    heads: int
    kv_heads: int
    ffn: int
    vocab: int
    context: int = 4096
    experts: Experts | None = None

    @property
    def head_dim(self):
        return self.dim // self.heads


SHAPES = {
    "1.1b": Shape(layers=22, dim=2048, heads=32, kv_heads=4, ffn=5632, vocab=32000),
    "135m": Shape(layers=30, dim=576, heads=9, kv_heads=3, ffn=1536, vocab=49152),
    # Llama's are whole; of DeepSeek-V2-Lite's 27 layers there are 7, which fit any machine.
    "v2-lite": Shape(layers=7, dim=2048, heads=16, kv_heads=1, ffn=10944, vocab=102400,
                     experts=Experts(count=64, used=6, ffn=1408, shared=2)),
    "tiny": Shape(layers=2, dim=256, heads=4, kv_heads=2, ffn=512, vocab=1024),
    "tiny-odd": Shape(layers=3, dim=192, heads=6, kv_heads=3, ffn=416, vocab=512),
}
TYPES = ("F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K")
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


def add_expert_metadata(writer, experts):
    writer.add_rope_dimension_count(experts.rope)
    writer.add_q_lora_rank(0)  # llama.cpp wants the key unless there are 27 layers
    writer.add_kv_lora_rank(experts.kv_rank)
    writer.add_key_length(experts.kv_rank + experts.rope)
    writer.add_value_length(experts.kv_rank)
    writer.add_key_length_mla(experts.nope + experts.rope)
    writer.add_value_length_mla(experts.value)
    writer.add_leading_dense_block_count(1)
    writer.add_expert_count(experts.count)
    writer.add_expert_used_count(experts.used)
    writer.add_expert_shared_count(experts.shared)
    writer.add_expert_feed_forward_length(experts.ffn)
    writer.add_expert_weights_scale(1.0)
    writer.add_expert_weights_norm(False)
    writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SOFTMAX)


def add_metadata(writer, shape, file_type, name):
    writer.add_name(name)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.dim)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.ffn)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    if shape.experts:
        add_expert_metadata(writer, shape.experts)
    else:
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


def latent_matrices(shape, block):
    experts, heads = shape.experts, shape.heads
    yield block + "attn_q.weight", (heads * (experts.nope + experts.rope), shape.dim)
    yield block + "attn_kv_a_mqa.weight", (experts.kv_rank + experts.rope, shape.dim)
    yield block + "attn_k_b.weight", (heads, experts.kv_rank, experts.nope)
    yield block + "attn_v_b.weight", (heads, experts.value, experts.kv_rank)
    yield block + "attn_output.weight", (shape.dim, heads * experts.value)


def deepseek_matrices(shape):
    experts = shape.experts
    yield "token_embd.weight", (shape.vocab, shape.dim)
    for layer in range(shape.layers):
        block = f"blk.{layer}."
        yield from latent_matrices(shape, block)
        if layer == 0:
            yield from feed_forward(block, "", shape.ffn, shape.dim)
            continue
        yield from feed_forward(block, "_shexp", experts.shared * experts.ffn, shape.dim)
        for name, sizes in feed_forward(block, "_exps", experts.ffn, shape.dim):
            yield name, (experts.count, *sizes)
    yield "output.weight", (shape.vocab, shape.dim)


def feed_forward(block, ending, ffn, dim):
    yield f"{block}ffn_gate{ending}.weight", (ffn, dim)
    yield f"{block}ffn_up{ending}.weight", (ffn, dim)
    yield f"{block}ffn_down{ending}.weight", (dim, ffn)


def matrices(shape):
    """(name, sizes); row-major, one row per output."""
    if shape.experts:
        yield from deepseek_matrices(shape)
        return
    kv_dim = shape.kv_heads * shape.head_dim
    yield "token_embd.weight", (shape.vocab, shape.dim)
    for layer in range(shape.layers):
        block = f"blk.{layer}."
        yield block + "attn_q.weight", (shape.dim, shape.dim)
        yield block + "attn_k.weight", (kv_dim, shape.dim)
        yield block + "attn_v.weight", (kv_dim, shape.dim)
        yield block + "attn_output.weight", (shape.dim, shape.dim)
        yield from feed_forward(block, "", shape.ffn, shape.dim)
    yield "output.weight", (shape.vocab, shape.dim)


def lists(shape, random):
    """(name, values) of what stays F32."""
    for layer in range(shape.layers):
        yield f"blk.{layer}.attn_norm.weight", np.ones(shape.dim)
        yield f"blk.{layer}.ffn_norm.weight", np.ones(shape.dim)
        if shape.experts:
            yield f"blk.{layer}.attn_kv_a_norm.weight", np.ones(shape.experts.kv_rank)
        if shape.experts and layer > 0:
            router = random.standard_normal((shape.experts.count, shape.dim))
            yield f"blk.{layer}.ffn_gate_inp.weight", router / np.sqrt(shape.dim)
    yield "output_norm.weight", np.ones(shape.dim)


def random_matrix(random, quantization, rows, columns):
    if quantization == gguf.GGMLQuantizationType.Q4_K:
        return random_q4_k(random, rows, columns)
    weights = random.standard_normal((rows, columns), dtype=np.float32)
    weights *= np.float32(1.0 / np.sqrt(columns))
    return quantize(weights, quantization)


def random_tensor(random, quantization, sizes):
    """A matrix, or several of which at most eight are random and the others copies."""
    if len(sizes) == 2:
        return random_matrix(random, quantization, *sizes)
    count, rows, columns = sizes
    made = [random_matrix(random, quantization, rows, columns) for _ in range(min(count, 8))]
    return np.stack([made[i % len(made)] for i in range(count)])


def random_q4_k(random, rows, columns):
    """Blocks of Q4_K, which the gguf package cannot make: scale * (code - 7.5) with random codes and
    scales between 32 and 63, of the deviation that the other types' weights have."""
    blocks = rows * columns // 256
    scales = random.integers(32, 64, (blocks, 8), dtype=np.uint8)
    low, high = scales[:, :4], scales[:, 4:]
    # Four of 6 bits, as many minima, which are the scales again, then the other four of both.
    first = low | (high >> 4) << 6
    packed = np.concatenate([first, first, high & 15 | (high & 15) << 4], axis=1)
    step = 1.0 / np.sqrt(columns) / (48 * np.sqrt((16**2 - 1) / 12))
    halves = np.tile(np.array([step, 7.5 * step], dtype=np.float16).view(np.uint8), (blocks, 1))
    codes = random.integers(0, 256, (blocks, 128), dtype=np.uint8)
    return np.concatenate([halves, packed, codes], axis=1).reshape(rows, -1)


def write_model(shape, type_name, path, seed, name):
    quantization = gguf.GGMLQuantizationType[type_name]
    file_type = gguf.LlamaFileType[
        {"F32": "ALL_F32", "Q4_K": "MOSTLY_Q4_K_S"}.get(type_name, f"MOSTLY_{type_name}")]
    random = np.random.default_rng(seed)
    part = path.with_name(path.name + ".part")
    writer = gguf.GGUFWriter(part, "deepseek2" if shape.experts else "llama")
    add_metadata(writer, shape, file_type, name)
    for tensor, sizes in matrices(shape):
        # Few columns may be no whole block of a type.
        own = quantization if sizes[-1] % 256 == 0 or type_name != "Q4_K" else (
            gguf.GGMLQuantizationType.Q8_0)
        writer.add_tensor(tensor, random_tensor(random, own, sizes), raw_dtype=own)
    for tensor, values in lists(shape, random):
        writer.add_tensor(tensor, values.astype(np.float32))
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
