#include "models/build/llama.h"

#include <fmt/format.h>

#include <algorithm>

#include "models/build/gate.h"
#include "models/build/latent_attention.h"
#include "models/build/mixture.h"
#include "models/build/rotary.h"
#include "models/build/tensor_names.h"
#include "models/build/tensor_reader.h"

namespace pelton {
namespace {

class LlamaBuilder {
 public:
  LlamaBuilder(const ModelConfig& config, const WeightSource& weights)
      : config_(config),
        weights_(weights),
        names_{weights.format() == WeightFormat::kGguf},
        tensors_(weights, &graph_, {config.fp8_block_rows, config.fp8_block_cols}) {}

  Result<Graph> Build(bool give_hidden) {
    RETURN_IF_ERROR(CheckFeatures());
    graph_.name = config_.name.empty() ? config_.architecture : config_.name;
    AddInputs();
    const ValueId table = tensors_.Matrix(names_.Embedding(), config_.vocab, config_.hidden);
    RETURN_IF_ERROR(tensors_.status());
    ValueId x = Embed(table);
    for (uint32_t layer = 0; layer < config_.layers; ++layer) {
      x = Attention(layer, x);
      RETURN_IF_ERROR(tensors_.status());
      x = FeedForward(layer, x);
      RETURN_IF_ERROR(tensors_.status());
    }
    const ValueId hidden = Norm(x, tensors_.List(names_.FinalNorm(), config_.hidden), 1);
    const ValueId head = config_.tie_embeddings
                             ? table
                             : tensors_.Matrix(names_.Head(), config_.vocab, config_.hidden);
    RETURN_IF_ERROR(tensors_.status());
    graph_.outputs = {Logits(graph_.Add(OpKind::kGatherRows, {hidden, logit_rows_}), head)};
    if (give_hidden) graph_.outputs.push_back(hidden);
    return std::move(graph_);
  }

  // Hidden states come in after the main model's final norm, as other engines take them, and go
  // out after the layer's own.
  Result<Graph> BuildMtp() {
    RETURN_IF_ERROR(CheckFeatures());
    const uint32_t layer = config_.layers;
    const int64_t hidden = config_.hidden;
    graph_.name = (config_.name.empty() ? config_.architecture : config_.name) + " mtp";
    AddInputs();
    const ValueId before =
        graph_.AddInput("hidden", ElementType::kF32, Shape{Dim(1, Symbol::kTokens), hidden});
    const auto name = [&](std::string_view in_folder) {
      return names_.Layer(layer, fmt::format("nextn.{}", in_folder), in_folder);
    };
    const ValueId table = tensors_.Matrix(OwnOr(name("embed_tokens.weight"), names_.Embedding()),
                                          config_.vocab, hidden);
    const ValueId token_norm = tensors_.List(name("enorm.weight"), hidden);
    const ValueId hidden_norm = tensors_.List(name("hnorm.weight"), hidden);
    const std::vector<ValueId> project =
        tensors_.MatrixColumns(name("eh_proj.weight"), hidden, {hidden, hidden});
    const ValueId norm = tensors_.List(name("shared_head.norm.weight"), hidden);
    const std::string main_head = config_.tie_embeddings ? names_.Embedding() : names_.Head();
    const ValueId head =
        tensors_.Matrix(OwnOr(name("shared_head.head.weight"), main_head), config_.vocab, hidden);
    RETURN_IF_ERROR(tensors_.status());

    // The product with both halves end to end, half by half.
    ValueId x =
        graph_.Add(OpKind::kAdd,
                   {graph_.Add(OpKind::kMatmul, {Norm(before, hidden_norm, 1), project[1]}),
                    graph_.Add(OpKind::kMatmul, {Norm(Embed(table), token_norm, 1), project[0]})});
    x = Attention(layer, x);
    RETURN_IF_ERROR(tensors_.status());
    x = FeedForward(layer, x);
    RETURN_IF_ERROR(tensors_.status());
    x = Norm(graph_.Add(OpKind::kGatherRows, {x, logit_rows_}), norm, 1);
    graph_.outputs = {Logits(x, head), x};
    return std::move(graph_);
  }

 private:
  void AddInputs() {
    const Shape rows{Dim(1, Symbol::kTokens)};
    tokens_ = graph_.AddInput("tokens", ElementType::kI32, rows);
    const ValueId positions = graph_.AddInput("positions", ElementType::kI32, rows);
    slots_ = graph_.AddInput("slots", ElementType::kI32, rows);
    logit_rows_ =
        graph_.AddInput("logit_rows", ElementType::kI32, Shape{Dim(1, Symbol::kLogitRows)});
    const auto add_table = [&](const RopeConfig& rope) {
      return graph_.Add(OpKind::kRopeTable, {positions, AddFrequencies(rope, &graph_)},
                        {{"magnitude", rope.attention_factor}});
    };
    rope_table_ = add_table(config_.rope);
    windowed_rope_table_ = config_.local_rope ? add_table(*config_.local_rope) : rope_table_;
  }

  ValueId Embed(ValueId table) {
    const ValueId x = graph_.Add(OpKind::kEmbedding, {tokens_, table});
    if (config_.embedding_scale == 1) return x;
    return graph_.Add(OpKind::kScale, {x}, {{"by", config_.embedding_scale}});
  }

  ValueId Logits(ValueId rows, ValueId head) {
    ValueId x = graph_.Add(OpKind::kMatmul, {rows, head});
    if (config_.logit_scale != 1) {
      x = graph_.Add(OpKind::kScale, {x}, {{"by", config_.logit_scale}});
    }
    if (config_.final_soft_cap != 0) {
      x = graph_.Add(OpKind::kSoftCap, {x}, {{"cap", config_.final_soft_cap}});
    }
    return x;
  }

  // Checkpoints repeat the embedding and the head in the MTP layer, or leave them out. What is the
  // same is taken from the main model, so that it is in memory once.
  std::string OwnOr(const std::string& own, const std::string& main) const {
    const TensorInfo* copy = weights_.Find(own);
    const TensorInfo* original = weights_.Find(main);
    if (copy == nullptr) return main;
    const bool same = original != nullptr && copy->dtype == original->dtype &&
                      copy->ShapeText() == original->ShapeText() &&
                      copy->dtype != DType::kF8E4M3 &&  // whose scales lie elsewhere
                      std::ranges::equal(copy->data, original->data);
    return same ? main : own;
  }

  Status CheckFeatures() const {
    const auto unsupported = [&](std::string_view field, std::string_view found,
                                 std::string_view expected) {
      return Unimplemented(
          fmt::format("{}: {}: found {}, expected {}", config_.file, field, found, expected));
    };
    if (config_.activation == Activation::kGeluErf) {
      return unsupported("activation", "exact gelu", "silu or gelu_pytorch_tanh");
    }
    if (config_.mla && config_.qkv_bias) {
      return unsupported("attention_bias", "true", "false, as latent attention has it");
    }
    return OkStatus();
  }

  // Reading a tensor may have failed; then x passes through and Build reports.
  ValueId Norm(ValueId x, ValueId weight, int64_t groups) {
    if (weight == kNoValue) return x;
    if (config_.norm_weight_offset != 0) {
      const size_t size = graph_.value(weight).constant.numbers.size();
      const ValueId offset = graph_.AddNumbers(
          graph_.value(weight).name + ".offset",
          std::vector<float>(size, static_cast<float>(config_.norm_weight_offset)));
      weight = graph_.Add(OpKind::kAdd, {weight, offset});
    }
    return graph_.Add(OpKind::kRmsNorm, {x, weight},
                      {{"epsilon", config_.rms_epsilon}, {"groups", groups}});
  }

  ValueId Linear(uint32_t layer, std::string_view in_gguf, std::string_view in_folder, ValueId x,
                 int64_t outputs, bool has_bias) {
    const int64_t inputs = graph_.value(x).shape.cols().factor;
    const ValueId weight = tensors_.Matrix(
        names_.Layer(layer, fmt::format("{}.weight", in_gguf), fmt::format("{}.weight", in_folder)),
        outputs, inputs);
    if (weight == kNoValue) return kNoValue;
    ValueId y = graph_.Add(OpKind::kMatmul, {x, weight});
    if (!has_bias) return y;
    const ValueId bias = tensors_.List(
        names_.Layer(layer, fmt::format("{}.bias", in_gguf), fmt::format("{}.bias", in_folder)),
        outputs);
    if (bias == kNoValue) return kNoValue;
    return graph_.Add(OpKind::kAdd, {y, bias});
  }

  // Matmuls with the parts of one tensor; empty: it failed.
  std::vector<ValueId> FusedLinear(uint32_t layer, std::string_view in_gguf,
                                   std::string_view in_folder, ValueId x,
                                   const std::vector<MatrixPart>& parts, bool has_bias) {
    std::vector<ValueId> results;
    const std::vector<ValueId> weights = tensors_.MatrixParts(
        names_.Layer(layer, fmt::format("{}.weight", in_gguf), fmt::format("{}.weight", in_folder)),
        parts, 1, graph_.value(x).shape.cols().factor);
    results.reserve(weights.size());
    for (const ValueId weight : weights) {
      results.push_back(graph_.Add(OpKind::kMatmul, {x, weight}));
    }
    if (!has_bias || results.empty()) return results;
    int64_t outputs = 0;
    for (const MatrixPart& part : parts) outputs += part.rows;
    const std::string bias_name =
        names_.Layer(layer, fmt::format("{}.bias", in_gguf), fmt::format("{}.bias", in_folder));
    const std::vector<float> all = tensors_.Floats(bias_name, outputs);
    if (all.empty()) return {};
    auto begin = all.begin();
    for (size_t i = 0; i < parts.size(); ++i) {
      const auto end = begin + parts[i].rows;
      const ValueId bias =
          graph_.AddNumbers(fmt::format("{}.{}", bias_name, parts[i].name), {begin, end});
      results[i] = graph_.Add(OpKind::kAdd, {results[i], bias});
      begin = end;
    }
    return results;
  }

  // x + made, where `made` is normed first if the architecture has norms after its parts.
  ValueId AddResidual(uint32_t layer, ValueId x, ValueId made, std::string_view norm_in_gguf,
                      std::string_view norm_in_folder) {
    if (made == kNoValue) return x;
    if (config_.post_norms) {
      made =
          Norm(made,
               tensors_.List(names_.Layer(layer, norm_in_gguf, norm_in_folder), config_.hidden), 1);
    }
    return graph_.Add(OpKind::kAdd, {x, made});
  }

  // q, k and v; empty: a tensor failed.
  std::vector<ValueId> Qkv(uint32_t layer, ValueId n) {
    const int64_t q_rows = int64_t{config_.heads} * config_.head_dim;
    const int64_t kv_rows = int64_t{config_.kv_heads} * config_.head_dim;
    const bool bias = config_.qkv_bias;
    if (config_.fused_qkv) {
      const std::vector<MatrixPart> parts = {{"q", q_rows}, {"k", kv_rows}, {"v", kv_rows}};
      return FusedLinear(layer, "attn_qkv", "self_attn.qkv_proj", n, parts, bias);
    }
    std::vector<ValueId> qkv = {Linear(layer, "attn_q", "self_attn.q_proj", n, q_rows, bias),
                                Linear(layer, "attn_k", "self_attn.k_proj", n, kv_rows, bias),
                                Linear(layer, "attn_v", "self_attn.v_proj", n, kv_rows, bias)};
    if (std::ranges::count(qkv, kNoValue) > 0) qkv.clear();
    return qkv;
  }

  // gate and up; empty: a tensor failed.
  std::vector<ValueId> GateUp(uint32_t layer, ValueId n) {
    const int64_t rows = config_.intermediate;
    const bool bias = config_.mlp_bias;
    if (config_.fused_gate_up) {
      const std::vector<MatrixPart> parts = {{"gate", rows}, {"up", rows}};
      return FusedLinear(layer, "ffn_up", "mlp.gate_up_proj", n, parts, bias);
    }
    std::vector<ValueId> gate_up = {Linear(layer, "ffn_gate", "mlp.gate_proj", n, rows, bias),
                                    Linear(layer, "ffn_up", "mlp.up_proj", n, rows, bias)};
    if (std::ranges::count(gate_up, kNoValue) > 0) gate_up.clear();
    return gate_up;
  }

  ValueId Attention(uint32_t layer, ValueId x) {
    const int64_t heads = config_.heads, kv_heads = config_.kv_heads, head_dim = config_.head_dim;
    const ValueId n =
        Norm(x,
             tensors_.List(names_.Layer(layer, "attn_norm.weight", "input_layernorm.weight"),
                           config_.hidden),
             1);
    if (config_.mla) {
      const ValueId made =
          AddLatentAttention(config_, names_, layer, {n, rope_table_, slots_}, &tensors_, &graph_);
      return AddResidual(layer, x, made, "", "");
    }
    const std::vector<ValueId> qkv = Qkv(layer, n);
    if (qkv.empty()) return x;
    ValueId q = qkv[0], k = qkv[1];
    const ValueId v = qkv[2];
    if (config_.qk_norm) {
      q = Norm(q,
               tensors_.List(names_.Layer(layer, "attn_q_norm.weight", "self_attn.q_norm.weight"),
                             head_dim),
               heads);
      k = Norm(k,
               tensors_.List(names_.Layer(layer, "attn_k_norm.weight", "self_attn.k_norm.weight"),
                             head_dim),
               kv_heads);
    }
    const int64_t interleaved = config_.rope.interleaved ? 1 : 0;
    const ValueId table = config_.windowed_layers[layer] ? windowed_rope_table_ : rope_table_;
    q = graph_.Add(OpKind::kRope, {q, table}, {{"heads", heads}, {"interleaved", interleaved}});
    k = graph_.Add(OpKind::kRope, {k, table}, {{"heads", kv_heads}, {"interleaved", interleaved}});
    const int64_t l = layer;
    const ValueId cache = graph_.Add(OpKind::kKvWrite, {k, v, slots_}, {{"layer", l}});
    ValueId scores = graph_.Add(OpKind::kKvScores, {q, cache},
                                {{"heads", heads}, {"kv_heads", kv_heads}, {"layer", l}});
    scores = graph_.Add(OpKind::kScale, {scores}, {{"by", config_.attention_scale}});
    if (config_.attention_soft_cap != 0) {
      scores = graph_.Add(OpKind::kSoftCap, {scores}, {{"cap", config_.attention_soft_cap}});
    }
    ValueId sinks = kNoValue;
    if (config_.attention_sinks) {
      sinks = tensors_.List(names_.Layer(layer, "attn_sinks.weight", "self_attn.sinks"), heads);
      if (sinks == kNoValue) return x;
    }
    const int64_t window = config_.windowed_layers[layer] ? config_.sliding_window : 0;
    const ValueId weights =
        graph_.Add(OpKind::kMaskedSoftmax, {scores, sinks}, {{"heads", heads}, {"window", window}});
    const ValueId mixed = graph_.Add(
        OpKind::kKvMix, {weights, cache},
        {{"heads", heads}, {"kv_heads", kv_heads}, {"head_dim", head_dim}, {"layer", l}});
    const ValueId o = Linear(layer, "attn_output", "self_attn.o_proj", mixed, config_.hidden,
                             config_.attention_output_bias);
    return AddResidual(layer, x, o, "post_attention_norm.weight",
                       "post_attention_layernorm.weight");
  }

  // The layers behind the last are described by their tensors only.
  bool HasExperts(uint32_t layer) const {
    if (!config_.moe) return false;
    if (layer < config_.layers) return config_.moe->layers[layer];
    return !tensors_.Has(names_.Layer(layer, "ffn_gate.weight", "mlp.gate_proj.weight"));
  }

  ValueId FeedForward(uint32_t layer, ValueId x) {
    // GGUF has two names for it where nothing but it follows attention.
    const bool after_attention =
        !config_.post_norms && tensors_.Has(names_.Layer(layer, "post_attention_norm.weight", ""));
    const ValueId n = Norm(
        x,
        tensors_.List(
            names_.Layer(layer, after_attention ? "post_attention_norm.weight" : "ffn_norm.weight",
                         config_.post_norms ? "pre_feedforward_layernorm.weight"
                                            : "post_attention_layernorm.weight"),
            config_.hidden),
        1);
    if (HasExperts(layer)) {
      return AddResidual(layer, x, AddMixture(config_, names_, layer, n, &tensors_, &graph_), "",
                         "");
    }
    const bool bias = config_.mlp_bias;
    const std::vector<ValueId> gate_up = GateUp(layer, n);
    if (gate_up.empty()) return x;
    const ValueId gate = gate_up[0], up = gate_up[1];
    const ValueId inner = AddGate(config_, gate, up, &graph_);
    const ValueId down = Linear(layer, "ffn_down", "mlp.down_proj", inner, config_.hidden, bias);
    return AddResidual(layer, x, down, "post_ffw_norm.weight", "post_feedforward_layernorm.weight");
  }

  const ModelConfig& config_;
  const WeightSource& weights_;
  const TensorNames names_;
  Graph graph_;
  TensorReader tensors_;
  ValueId tokens_ = kNoValue;
  ValueId slots_ = kNoValue;
  ValueId logit_rows_ = kNoValue;
  ValueId rope_table_ = kNoValue;
  ValueId windowed_rope_table_ = kNoValue;
};

}  // namespace

Result<Graph> BuildLlama(const ModelConfig& config, const WeightSource& weights) {
  return LlamaBuilder(config, weights).Build(false);
}

Result<Graph> BuildLlamaWithHidden(const ModelConfig& config, const WeightSource& weights) {
  return LlamaBuilder(config, weights).Build(true);
}

Result<Graph> BuildMtpLayer(const ModelConfig& config, const WeightSource& weights) {
  return LlamaBuilder(config, weights).BuildMtp();
}

}  // namespace pelton
