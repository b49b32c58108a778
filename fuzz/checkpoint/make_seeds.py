#!/usr/bin/env python3
"""Writes the seed inputs of the checkpoint fuzzer: fuzz/corpus/checkpoint.

One small checkpoint of every architecture, most as lists of tensors (see tensor_list.h), some as
safetensors images, and some that must be refused.
"""

import json
import struct
from pathlib import Path

CORPUS = Path(__file__).resolve().parents[1] / "corpus" / "checkpoint"
BYTES = {"F32": 4, "BF16": 2, "F16": 2, "F8_E4M3": 1, "F8_E8M0": 1}
HIDDEN, INNER, VOCAB, HEADS, KV_HEADS, DIM = 8, 8, 6, 2, 1, 4
SIZES = {"hidden_size": HIDDEN, "intermediate_size": INNER, "num_hidden_layers": 1,
         "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "head_dim": DIM,
         "vocab_size": VOCAB, "max_position_embeddings": 64}
MLA = {"kv_lora_rank": 4, "qk_nope_head_dim": 4, "qk_rope_head_dim": 2, "v_head_dim": 3,
       "q_lora_rank": 6}
DEEPSEEK = MLA | {"num_hidden_layers": 2, "first_k_dense_replace": 1, "n_routed_experts": 2,
                  "num_experts_per_tok": 1, "moe_intermediate_size": 4, "n_shared_experts": 1}
ONES = {"F32": "0000803f", "BF16": "803f", "F8_E8M0": "7f"}


def whole(layers, tied=False, dtype="BF16"):
    tensors = {"model.embed_tokens.weight": (dtype, [VOCAB, HIDDEN]),
               "model.norm.weight": ("F32", [HIDDEN])}
    if not tied:
        tensors["lm_head.weight"] = (dtype, [VOCAB, HIDDEN])
    for number, layer in enumerate(layers):
        tensors |= {f"model.layers.{number}.{name}": entry for name, entry in layer.items()}
    return tensors


def norms(*more):
    return {f"{name}_layernorm.weight": ("F32", [HIDDEN])
            for name in ("input", "post_attention") + more}


def attention(dtype="BF16", biases=False):
    q, kv = HEADS * DIM, KV_HEADS * DIM
    rows = {"q": q, "k": kv, "v": kv}
    tensors = {f"self_attn.{p}_proj.weight": (dtype, [n, HIDDEN]) for p, n in rows.items()}
    tensors["self_attn.o_proj.weight"] = (dtype, [HIDDEN, q])
    if biases:
        rows["o"] = HIDDEN
        tensors |= {f"self_attn.{p}_proj.bias": ("F32", [n]) for p, n in rows.items()}
    return tensors


def qk_norms():
    return {f"self_attn.{p}_norm.weight": ("F32", [DIM]) for p in "qk"}


def latent(dtype="BF16", q_rank=6):
    tensors = {
        "self_attn.kv_a_proj_with_mqa.weight": (dtype, [6, HIDDEN]),
        "self_attn.kv_a_layernorm.weight": ("F32", [4]),
        "self_attn.kv_b_proj.weight": (dtype, [HEADS * 7, 4]),
        "self_attn.o_proj.weight": (dtype, [HIDDEN, HEADS * 3])}
    if q_rank == 0:
        return tensors | {"self_attn.q_proj.weight": (dtype, [HEADS * 6, HIDDEN])}
    return tensors | {"self_attn.q_a_proj.weight": (dtype, [q_rank, HIDDEN]),
                      "self_attn.q_a_layernorm.weight": ("F32", [q_rank]),
                      "self_attn.q_b_proj.weight": (dtype, [HEADS * 6, q_rank])}


def indexer():
    return {"self_attn.indexer.wq_b.weight": ("BF16", [2 * 4, 6]),
            "self_attn.indexer.wk.weight": ("BF16", [4, HIDDEN]),
            "self_attn.indexer.k_norm.weight": ("F32", [4]),
            "self_attn.indexer.k_norm.bias": ("F32", [4]),
            "self_attn.indexer.weights_proj.weight": ("BF16", [2, HIDDEN])}


def gated(prefix, inner, dtype="BF16", names=("gate_proj", "up_proj", "down_proj")):
    gate, up, down = (f"{prefix}.{name}.weight" for name in names)
    return {gate: (dtype, [inner, HIDDEN]), up: (dtype, [inner, HIDDEN]),
            down: (dtype, [HIDDEN, inner])}


def experts(dtype="BF16", bias=False, shared=True, count=2):
    tensors = {"mlp.gate.weight": ("BF16", [count, HIDDEN])}
    if bias:
        tensors["mlp.gate.e_score_correction_bias"] = ("F32", [count])
    for e in range(count):
        tensors |= gated(f"mlp.experts.{e}", 4, dtype)
    return tensors | (gated("mlp.shared_experts", 4, dtype) if shared else {})


def mixtral_experts():
    tensors = {"block_sparse_moe.gate.weight": ("BF16", [2, HIDDEN])}
    for e in range(2):
        tensors |= gated(f"block_sparse_moe.experts.{e}", INNER, "F16", ("w1", "w3", "w2"))
    return tensors


def gpt_oss_experts():
    return {"self_attn.sinks": ("F32", [HEADS]),
            "mlp.router.weight": ("BF16", [2, HIDDEN]), "mlp.router.bias": ("F32", [2]),
            "mlp.experts.gate_up_proj": ("BF16", [2, HIDDEN, 2 * INNER]),
            "mlp.experts.gate_up_proj_bias": ("BF16", [2, 2 * INNER]),
            "mlp.experts.down_proj": ("BF16", [2, INNER, HIDDEN]),
            "mlp.experts.down_proj_bias": ("BF16", [2, HIDDEN])}


def with_scales(tensors, dtype="F32"):
    """Scales of blocks of [16, 128] beside every tensor of 8 bits."""
    out = dict(tensors)
    for name, (kind, shape) in tensors.items():
        if kind == "F8_E4M3":
            out[name + "_scale_inv"] = (dtype, [-(-shape[0] // 16), -(-shape[1] // 128)])
    return out


def deepseek_gguf():
    tensors = {"token_embd.weight": ("Q8_0", [VOCAB, 32]), "output_norm.weight": ("F32", [32]),
               "output.weight": ("F16", [VOCAB, 32])}
    layer = {"attn_norm": ("F32", [32]), "ffn_norm": ("F32", [32]),
             "attn_q": ("Q4_0", [HEADS * 6, 32]), "attn_kv_a_mqa": ("Q5_0", [6, 32]),
             "attn_kv_a_norm": ("F32", [4]), "attn_k_b": ("F16", [HEADS, 4, 4]),
             "attn_v_b": ("F16", [HEADS, 3, 4]), "attn_output": ("F16", [32, HEADS * 3]),
             "ffn_gate_inp": ("F32", [2, 32]), "ffn_gate_exps": ("Q4_1", [2, 32, 32]),
             "ffn_up_exps": ("Q4_1", [2, 32, 32]), "ffn_down_exps": ("IQ4_NL", [2, 32, 32])}
    return tensors | {f"blk.0.{name}.weight": entry for name, entry in layer.items()}


def listed(tensors, first=""):
    lines = []
    for name, (dtype, shape) in tensors.items():
        ones = f" ={ONES[dtype]}" if name.endswith("_scale_inv") else ""
        lines.append(f"{name} {dtype} {' '.join(map(str, shape))}{ones}\n")
    return ("#\n" + first + "".join(lines)).encode()


def image(tensors):
    header, data = {}, b""
    for name, (dtype, shape) in tensors.items():
        size = BYTES[dtype]
        for part in shape:
            size *= part
        begin = len(data)
        ones = name.endswith("_scale_inv")
        part = bytes.fromhex(ONES[dtype]) if ones else b"\x3c\xbd\x11\x3e"
        data += (part * size)[:size]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, len(data)]}
    raw = json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(raw)) + raw + data


def write(name, config, weights):
    text = json.dumps(SIZES | config, separators=(",", ":")).encode()
    data = struct.pack("<I", len(text)) + text + weights
    assert len(data) <= 8192, (name, len(data))
    (CORPUS / name).write_bytes(data)


def write_valid():
    llama = whole([norms() | attention() | gated("mlp", INNER)])
    write("llama", {"model_type": "llama"}, listed(llama))
    write("llama_image", {"model_type": "llama"}, image(llama))
    write("llama_yarn", {"model_type": "llama",
                         "rope_scaling": {"rope_type": "yarn", "factor": 4, "truncate": False}},
          listed(whole([norms() | attention("F16") | gated("mlp", INNER, "F32")])))
    write("mixtral", {"model_type": "mixtral", "num_local_experts": 2, "num_experts_per_tok": 2},
          listed(whole([norms() | attention() | mixtral_experts()])))
    write("qwen3_moe", {"model_type": "qwen3_moe", "num_experts": 2, "num_experts_per_tok": 1,
                        "moe_intermediate_size": 4, "norm_topk_prob": True},
          listed(whole([norms() | attention() | qk_norms() | experts(shared=False)])))
    dense = norms() | latent() | gated("mlp", INNER)
    write("deepseek_v2", DEEPSEEK | {"model_type": "deepseek_v2", "q_lora_rank": None,
                                     "num_hidden_layers": 1, "first_k_dense_replace": 0,
                                     "topk_method": "group_limited_greedy", "n_group": 2,
                                     "topk_group": 1},
          listed(whole([norms() | latent(q_rank=0) | experts()])))
    v3 = whole([dense, norms() | latent() | experts(bias=True)])
    write("deepseek_v3", DEEPSEEK | {"model_type": "deepseek_v3", "n_group": 2, "topk_group": 1},
          listed(v3))
    write("deepseek_v3_image", DEEPSEEK | {"model_type": "deepseek_v3"}, image(v3))
    blocks = {"quantization_config": {"quant_method": "fp8", "weight_block_size": [16, 128]}}
    small = whole([norms() | latent("F8_E4M3") | experts("F8_E4M3", bias=True)])
    fp8 = DEEPSEEK | blocks | {"model_type": "deepseek_v3", "num_hidden_layers": 1,
                               "first_k_dense_replace": 0}
    for scales in ("F32", "BF16", "F8_E8M0"):
        write("deepseek_v3_fp8_" + scales.lower(), fp8, listed(with_scales(small, scales)))
    write("deepseek_v32", DEEPSEEK | {"model_type": "deepseek_v32", "num_hidden_layers": 1,
                                      "first_k_dense_replace": 0, "index_n_heads": 2,
                                      "index_head_dim": 4, "index_topk": 2},
          listed(whole([norms() | latent() | indexer() | experts(bias=True)])))
    write("deepseek_gguf", DEEPSEEK | {"model_type": "deepseek_v2", "q_lora_rank": None,
                                       "hidden_size": 32, "num_hidden_layers": 1,
                                       "first_k_dense_replace": 0, "n_shared_experts": 0,
                                       "moe_intermediate_size": 32},
          listed(deepseek_gguf(), "gguf\n"))
    write("gpt_oss", {"model_type": "gpt_oss", "num_local_experts": 2, "num_experts_per_tok": 1,
                      "sliding_window": 2},
          listed(whole([norms() | attention(biases=True) | gpt_oss_experts()])))
    gemma = norms("pre_feedforward", "post_feedforward") | attention() | gated("mlp", INNER)
    write("gemma2", {"model_type": "gemma2", "sliding_window": 3, "num_hidden_layers": 2},
          listed(whole([gemma, gemma], tied=True)))
    write("gemma3", {"model_type": "gemma3_text", "sliding_window": 3, "num_hidden_layers": 2,
                     "sliding_window_pattern": 2},
          listed(whole([gemma | qk_norms()] * 2, tied=True)))
    write("phi3", {"model_type": "phi3", "sliding_window": 3,
                   "original_max_position_embeddings": 32,
                   "rope_scaling": {"type": "longrope", "short_factor": [1, 2],
                                    "long_factor": [2, 4]}},
          listed(whole([norms() | {
              "self_attn.qkv_proj.weight": ("BF16", [16, HIDDEN]),
              "self_attn.o_proj.weight": ("BF16", [HIDDEN, 8]),
              "mlp.gate_up_proj.weight": ("BF16", [2 * INNER, HIDDEN]),
              "mlp.down_proj.weight": ("BF16", [HIDDEN, INNER])}])))


def write_hostile():
    config = DEEPSEEK | {"model_type": "deepseek_v3", "num_hidden_layers": 1,
                         "first_k_dense_replace": 0}
    blocks = {"quantization_config": {"quant_method": "fp8", "weight_block_size": [16, 128]}}
    good = whole([norms() | latent() | experts(bias=True)])
    expert = "model.layers.0.mlp.experts.1.up_proj.weight"
    write("missing", config, listed({n: t for n, t in good.items() if n != expert}))
    write("doubled", config, listed(good) + listed({expert: good[expert]})[2:])
    write("misshapen", config, listed(good | {expert: ("BF16", [HIDDEN, 4])}))
    write("other_type", config, listed(good | {expert: ("F16", good[expert][1])}))
    write("integers", config, listed(good | {expert: ("I32", good[expert][1])}))
    write("not_a_number", config, listed(good).replace(
        b"mlp.gate.weight BF16 2 8", b"mlp.gate.weight BF16 2 8 =c07f"))
    write("infinite", config, listed(good).replace(
        b"embed_tokens.weight BF16 6 8", b"embed_tokens.weight BF16 6 8 =807f0040"))
    fp8 = with_scales(whole([norms() | latent("F8_E4M3") | experts("F8_E4M3", bias=True)]))
    write("no_scales", config | blocks,
          listed({n: t for n, t in fp8.items() if n != expert + "_scale_inv"}))
    write("scales_of_another_shape", config | blocks,
          listed(fp8 | {expert + "_scale_inv": ("F32", [2, 1])}))
    write("scales_below_zero", config | blocks, listed(fp8).replace(b"=0000803f", b"=000080bf"))
    # One name that counts for all: several matrices in a tensor of 8 bits.
    write("one_joined_expert", config | blocks | {"n_routed_experts": 1},
          listed(fp8 | {"model.layers.0.mlp.gate.weight": ("BF16", [1, HIDDEN]),
                        "model.layers.0.mlp.gate.e_score_correction_bias": ("F32", [1]),
                        expert.replace("1.up", "0.gate"): ("F8_E4M3", [1, 40, 8]),
                        expert.replace("1.up", "0.gate") + "_scale_inv": ("F32", [1, 1])}))
    most = {"num_hidden_layers": 1024, "n_routed_experts": 65536, "moe_intermediate_size": 1 << 22,
            "n_shared_experts": 1024, "kv_lora_rank": 4096, "q_lora_rank": 65536,
            "qk_nope_head_dim": 4096, "v_head_dim": 4096, "num_attention_heads": 4096,
            "vocab_size": 1 << 24, "hidden_size": 1 << 20, "intermediate_size": 1 << 22}
    write("largest", config | most, listed(good))
    write("many_experts", config | {"n_routed_experts": 12000, "num_experts_per_tok": 12000},
          listed(good | {"model.layers.0.mlp.gate.weight": ("BF16", [12000, HIDDEN]),
                         "model.layers.0.mlp.gate.e_score_correction_bias": ("F16", [12000])}))
    write("one_lane", {"model_type": "deepseek_v2", "hidden_size": 1, "intermediate_size": 1,
                       "vocab_size": 1, "num_attention_heads": 1, "kv_lora_rank": 1,
                       "qk_nope_head_dim": 1, "qk_rope_head_dim": 2, "v_head_dim": 1,
                       "n_routed_experts": 1, "num_experts_per_tok": 1, "moe_intermediate_size": 1,
                       "num_key_value_heads": 1, "n_shared_experts": 1},
          listed({"model.embed_tokens.weight": ("F16", [1, 1]), "model.norm.weight": ("F16", [1]),
                  "lm_head.weight": ("F32", [1, 1])} | {
              "model.layers.0." + name: ("F16", shape) for name, shape in {
                  "input_layernorm.weight": [1], "post_attention_layernorm.weight": [1],
                  "self_attn.q_proj.weight": [3, 1], "self_attn.kv_a_layernorm.weight": [1],
                  "self_attn.kv_a_proj_with_mqa.weight": [3, 1],
                  "self_attn.kv_b_proj.weight": [2, 1], "self_attn.o_proj.weight": [1, 1],
                  "mlp.gate.weight": [1, 1], "mlp.experts.0.gate_proj.weight": [1, 1],
                  "mlp.experts.0.up_proj.weight": [1, 1], "mlp.experts.0.down_proj.weight": [1, 1],
                  "mlp.shared_experts.gate_proj.weight": [1, 1],
                  "mlp.shared_experts.up_proj.weight": [1, 1],
                  "mlp.shared_experts.down_proj.weight": [1, 1]}.items()}))


def write_mended():
    """Configurations alone, whose tensors the target makes by what the builder asks for."""
    blocks = {"quantization_config": {"quant_method": "fp8", "weight_block_size": [16, 128]}}
    one = DEEPSEEK | {"num_hidden_layers": 1, "first_k_dense_replace": 0}
    v3 = one | {"model_type": "deepseek_v3", "n_group": 2, "topk_group": 1}
    indexed = one | {"model_type": "deepseek_v32", "index_n_heads": 2, "index_head_dim": 4,
                     "index_topk": 2}
    window = {"sliding_window": 3, "num_hidden_layers": 2, "sliding_window_pattern": 2}
    for name, config, first in [
            ("llama", {"model_type": "llama", "attention_bias": True}, "mend BF16\n"),
            ("llama_gguf", {"model_type": "llama", "hidden_size": 32}, "gguf\nmend Q4_0\n"),
            ("mixtral", {"model_type": "mixtral", "num_local_experts": 2,
                         "num_experts_per_tok": 2}, "mend F16\n"),
            ("mixtral_gguf", {"model_type": "mixtral", "num_local_experts": 2, "hidden_size": 256,
                              "intermediate_size": 32, "num_experts_per_tok": 2},
             "gguf\nmend Q5_1\n"),
            ("qwen3_moe", {"model_type": "qwen3_moe", "num_experts": 2, "num_experts_per_tok": 1,
                           "moe_intermediate_size": 4}, "mend F32\n"),
            ("deepseek_v2", one | {"model_type": "deepseek_v2", "q_lora_rank": None}, "mend F16\n"),
            ("deepseek_v3", v3, "mend BF16\n"),
            ("deepseek_v3_fp8", v3 | blocks, "mend F8_E4M3\n"),
            ("deepseek_v3_gguf", v3 | {"hidden_size": 32}, "gguf\nmend Q8_0\n"),
            ("deepseek_v32", indexed, "mend BF16\n"),
            ("deepseek_v32_fp8", indexed | blocks, "mend F8_E4M3\n"),
            ("gpt_oss", {"model_type": "gpt_oss", "num_local_experts": 2, "sliding_window": 2,
                         "num_experts_per_tok": 1},
             "mend BF16\nmodel.layers.0.mlp.router.weight BF16 1\n"),
            ("gpt_oss_gguf", {"model_type": "gpt_oss", "num_local_experts": 2, "hidden_size": 32,
                              "num_experts_per_tok": 1}, "gguf\nmend Q8_0\n"),
            ("gemma2", window | {"model_type": "gemma2"}, "mend BF16\n"),
            ("gemma3", window | {"model_type": "gemma3_text"}, "mend BF16\n"),
            ("phi3", {"model_type": "phi3"}, "mend BF16\n")]:
        write("mended_" + name, config, listed({}, first))


CORPUS.mkdir(parents=True, exist_ok=True)
write_valid()
write_hostile()
write_mended()
