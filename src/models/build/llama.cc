#include "models/build/llama.h"

#include <fmt/format.h>

#include <cmath>

#include "models/build/tensor_reader.h"

namespace pelton {
namespace {

// Tensor names of one layer, or of the model, in the two formats.
struct Names {
  bool gguf;

  std::string Layer(uint32_t layer, std::string_view in_gguf, std::string_view in_folder) const {
    return gguf ? fmt::format("blk.{}.{}", layer, in_gguf)
                : fmt::format("model.layers.{}.{}", layer, in_folder);
  }
  std::string Embedding() const { return gguf ? "token_embd.weight" : "model.embed_tokens.weight"; }
  std::string FinalNorm() const { return gguf ? "output_norm.weight" : "model.norm.weight"; }
  std::string Head() const { return gguf ? "output.weight" : "lm_head.weight"; }
};

// Frequencies of the rotary pairs as a value; `name` tells the tables of a model apart.
ValueId AddFrequencies(const RopeConfig& rope, Graph* graph) {
  if (!rope.frequency_divisors.empty()) {
    std::vector<float> frequencies;
    for (size_t pair = 0; pair < rope.frequency_divisors.size(); ++pair) {
      const double frequency =
          std::pow(rope.theta, -2 * static_cast<double>(pair) / rope.dims) / rope.factor;
      frequencies.push_back(static_cast<float>(frequency / rope.frequency_divisors[pair]));
    }
    return graph->AddNumbers("rope_frequencies", std::move(frequencies));
  }
  const bool yarn = rope.scaling == RopeScaling::kYarn;
  const char* scaling = rope.scaling == RopeScaling::kLinear   ? "linear"
                        : rope.scaling == RopeScaling::kLlama3 ? "llama3"
                        : yarn                                 ? "yarn"
                                                               : "none";
  return graph->Add(OpKind::kRopeFrequencies, {},
                    {{"dims", int64_t{rope.dims}},
                     {"base", rope.theta},
                     {"scaling", std::string(scaling)},
                     {"factor", rope.factor},
                     {"low", yarn ? rope.beta_slow : rope.low_freq_factor},
                     {"high", yarn ? rope.beta_fast : rope.high_freq_factor},
                     {"original", static_cast<int64_t>(rope.original_context_tokens)}});
}

class LlamaBuilder {
 public:
  LlamaBuilder(const ModelConfig& config, const WeightSource& weights)
      : config_(config),
        names_{weights.format() == WeightFormat::kGguf},
        tensors_(weights, &graph_) {}

  Result<Graph> Build() {
    RETURN_IF_ERROR(CheckFeatures());
    graph_.name = config_.name.empty() ? config_.architecture : config_.name;
    const Shape rows{Dim(1, Symbol::kTokens)};
    const ValueId tokens = graph_.AddInput("tokens", ElementType::kI32, rows);
    const ValueId positions = graph_.AddInput("positions", ElementType::kI32, rows);
    slots_ = graph_.AddInput("slots", ElementType::kI32, rows);
    const ValueId logit_rows =
        graph_.AddInput("logit_rows", ElementType::kI32, Shape{Dim(1, Symbol::kLogitRows)});

    const ValueId table = tensors_.Matrix(names_.Embedding(), config_.vocab, config_.hidden);
    RETURN_IF_ERROR(tensors_.status());
    ValueId x = graph_.Add(OpKind::kEmbedding, {tokens, table});
    if (config_.embedding_scale != 1) {
      x = graph_.Add(OpKind::kScale, {x}, {{"by", config_.embedding_scale}});
    }
    rope_table_ = graph_.Add(OpKind::kRopeTable, {positions, AddFrequencies(config_.rope, &graph_)},
                             {{"magnitude", config_.rope.attention_factor}});
    for (uint32_t layer = 0; layer < config_.layers; ++layer) {
      x = Attention(layer, x);
      RETURN_IF_ERROR(tensors_.status());
      x = FeedForward(layer, x);
      RETURN_IF_ERROR(tensors_.status());
    }
    x = Norm(x, tensors_.List(names_.FinalNorm(), config_.hidden), 1);
    const ValueId head = config_.tie_embeddings
                             ? table
                             : tensors_.Matrix(names_.Head(), config_.vocab, config_.hidden);
    RETURN_IF_ERROR(tensors_.status());
    x = graph_.Add(OpKind::kGatherRows, {x, logit_rows});
    x = graph_.Add(OpKind::kMatmul, {x, head});
    if (config_.logit_scale != 1) {
      x = graph_.Add(OpKind::kScale, {x}, {{"by", config_.logit_scale}});
    }
    if (config_.final_soft_cap != 0) {
      x = graph_.Add(OpKind::kSoftCap, {x}, {{"cap", config_.final_soft_cap}});
    }
    graph_.outputs = {x};
    return std::move(graph_);
  }

 private:
  Status CheckFeatures() const {
    const auto unsupported = [&](std::string_view what) {
      return Unimplemented(
          fmt::format("{}: {} is not supported for {}", config_.file, what, config_.architecture));
    };
    if (config_.rope.scaling == RopeScaling::kLongRope) return unsupported("longrope scaling");
    if (config_.local_rope) return unsupported("a second rope for windowed layers");
    if (config_.rope.scaling == RopeScaling::kYarn && !config_.rope.truncate) {
      return unsupported("untruncated YaRN scaling");
    }
    if (config_.post_norms) return unsupported("norms after attention");
    if (config_.fused_qkv) return unsupported("a fused qkv tensor");
    if (config_.fp8_block_rows != 0) return unsupported("FP8 weights with block scales");
    if (config_.activation == Activation::kGeluErf) return unsupported("exact gelu");
    return OkStatus();
  }

  // Reading a tensor may have failed; then x passes through and Build reports.
  ValueId Norm(ValueId x, ValueId weight, int64_t groups) {
    if (weight == kNoValue) return x;
    if (config_.norm_weight_offset != 0) {
      const size_t size = graph_.value(weight).constant.numbers.size();
      const ValueId offset = graph_.AddNumbers(
          "norm_offset", std::vector<float>(size, static_cast<float>(config_.norm_weight_offset)));
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

  ValueId Attention(uint32_t layer, ValueId x) {
    const int64_t heads = config_.heads, kv_heads = config_.kv_heads, head_dim = config_.head_dim;
    const ValueId n =
        Norm(x,
             tensors_.List(names_.Layer(layer, "attn_norm.weight", "input_layernorm.weight"),
                           config_.hidden),
             1);
    ValueId q = Linear(layer, "attn_q", "self_attn.q_proj", n, heads * head_dim, config_.qkv_bias);
    ValueId k =
        Linear(layer, "attn_k", "self_attn.k_proj", n, kv_heads * head_dim, config_.qkv_bias);
    const ValueId v =
        Linear(layer, "attn_v", "self_attn.v_proj", n, kv_heads * head_dim, config_.qkv_bias);
    if (q == kNoValue || k == kNoValue || v == kNoValue) return x;
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
    q = graph_.Add(OpKind::kRope, {q, rope_table_},
                   {{"heads", heads}, {"interleaved", interleaved}});
    k = graph_.Add(OpKind::kRope, {k, rope_table_},
                   {{"heads", kv_heads}, {"interleaved", interleaved}});
    const int64_t l = layer;
    const ValueId cache = graph_.Add(OpKind::kKvWrite, {k, v, slots_}, {{"layer", l}});
    ValueId scores = graph_.Add(OpKind::kKvScores, {q, cache},
                                {{"heads", heads}, {"kv_heads", kv_heads}, {"layer", l}});
    scores = graph_.Add(OpKind::kScale, {scores}, {{"by", config_.attention_scale}});
    if (config_.attention_soft_cap != 0) {
      scores = graph_.Add(OpKind::kSoftCap, {scores}, {{"cap", config_.attention_soft_cap}});
    }
    const int64_t window = config_.windowed_layers[layer] ? config_.sliding_window : 0;
    const ValueId weights =
        graph_.Add(OpKind::kMaskedSoftmax, {scores}, {{"heads", heads}, {"window", window}});
    const ValueId mixed = graph_.Add(
        OpKind::kKvMix, {weights, cache},
        {{"heads", heads}, {"kv_heads", kv_heads}, {"head_dim", head_dim}, {"layer", l}});
    const ValueId o = Linear(layer, "attn_output", "self_attn.o_proj", mixed, config_.hidden,
                             config_.attention_output_bias);
    return o == kNoValue ? x : graph_.Add(OpKind::kAdd, {x, o});
  }

  ValueId FeedForward(uint32_t layer, ValueId x) {
    const ValueId n = Norm(
        x,
        tensors_.List(names_.Layer(layer, "ffn_norm.weight", "post_attention_layernorm.weight"),
                      config_.hidden),
        1);
    const bool bias = config_.mlp_bias;
    const ValueId gate = Linear(layer, "ffn_gate", "mlp.gate_proj", n, config_.intermediate, bias);
    const ValueId up = Linear(layer, "ffn_up", "mlp.up_proj", n, config_.intermediate, bias);
    if (gate == kNoValue || up == kNoValue) return x;
    const OpKind activation =
        config_.activation == Activation::kSilu ? OpKind::kSilu : OpKind::kGeluTanh;
    const ValueId inner = graph_.Add(OpKind::kMul, {graph_.Add(activation, {gate}), up});
    const ValueId down = Linear(layer, "ffn_down", "mlp.down_proj", inner, config_.hidden, bias);
    return down == kNoValue ? x : graph_.Add(OpKind::kAdd, {x, down});
  }

  const ModelConfig& config_;
  const Names names_;
  Graph graph_;
  TensorReader tensors_;
  ValueId slots_ = kNoValue;
  ValueId rope_table_ = kNoValue;
};

}  // namespace

Result<Graph> BuildLlama(const ModelConfig& config, const WeightSource& weights) {
  return LlamaBuilder(config, weights).Build();
}

}  // namespace pelton
