#include "models/build/bert.h"

#include <fmt/format.h>

#include "models/build/tensor_reader.h"

namespace pelton {
namespace {

// Tensor names in the two formats. A folder's begin with "bert." when the checkpoint was made with
// a head.
struct Names {
  bool gguf;
  std::string prefix;

  std::string Embedding(std::string_view in_gguf, std::string_view in_folder) const {
    return gguf ? std::string(in_gguf) : fmt::format("{}embeddings.{}", prefix, in_folder);
  }
  std::string Layer(uint32_t layer, std::string_view in_gguf, std::string_view in_folder) const {
    return gguf ? fmt::format("blk.{}.{}", layer, in_gguf)
                : fmt::format("{}encoder.layer.{}.{}", prefix, layer, in_folder);
  }
};

class BertBuilder {
 public:
  BertBuilder(const ModelConfig& config, const WeightSource& weights)
      : config_(config),
        names_{weights.format() == WeightFormat::kGguf,
               weights.Find("bert.embeddings.word_embeddings.weight") != nullptr ? "bert." : ""},
        tensors_(weights, &graph_) {}

  Result<Graph> Build() {
    if (config_.activation != Activation::kGeluErf) {
      return Unimplemented(
          fmt::format("{}: hidden_act: found another one, expected gelu", config_.file));
    }
    if (config_.fp8_block_rows != 0) {
      return Unimplemented(fmt::format("{}: FP8 weights with block scales are not supported for {}",
                                       config_.file, config_.architecture));
    }
    graph_.name = config_.name.empty() ? config_.architecture : config_.name;
    ValueId x = Embeddings();
    for (uint32_t layer = 0; layer < config_.layers; ++layer) {
      x = FeedForward(layer, Attention(layer, x));
      RETURN_IF_ERROR(tensors_.status());
    }
    x = graph_.Add(OpKind::kGatherRows, {x, logit_rows_});
    if (config_.classes > 0) x = Classifier(x);
    RETURN_IF_ERROR(tensors_.status());
    graph_.outputs = {x};
    return std::move(graph_);
  }

 private:
  ValueId Embeddings() {
    const Shape rows{Dim(1, Symbol::kTokens)};
    const ValueId tokens = graph_.AddInput("tokens", ElementType::kI32, rows);
    const ValueId positions = graph_.AddInput("positions", ElementType::kI32, rows);
    const ValueId token_types = graph_.AddInput("token_types", ElementType::kI32, rows);
    logit_rows_ =
        graph_.AddInput("logit_rows", ElementType::kI32, Shape{Dim(1, Symbol::kLogitRows)});
    const auto embed = [&](ValueId ids, std::string_view in_gguf, std::string_view in_folder,
                           int64_t size) {
      const ValueId table =
          tensors_.Matrix(names_.Embedding(in_gguf, in_folder), size, config_.hidden);
      return table == kNoValue ? kNoValue : graph_.Add(OpKind::kEmbedding, {ids, table});
    };
    const ValueId word =
        embed(tokens, "token_embd.weight", "word_embeddings.weight", config_.vocab);
    const ValueId segment = embed(token_types, "token_types.weight", "token_type_embeddings.weight",
                                  config_.token_types);
    const ValueId place = embed(positions, "position_embd.weight", "position_embeddings.weight",
                                static_cast<int64_t>(config_.max_positions));
    if (word == kNoValue || segment == kNoValue || place == kNoValue) return kNoValue;
    const ValueId sum =
        graph_.Add(OpKind::kAdd, {graph_.Add(OpKind::kAdd, {word, segment}), place});
    return Norm(sum, names_.Embedding("token_embd_norm", "LayerNorm"));
  }

  // Reading a tensor may have failed; then there is no value, and Build reports.
  ValueId Norm(ValueId x, const std::string& name) {
    if (x == kNoValue) return kNoValue;
    // Checkpoints of 2018 call the two gamma and beta.
    const bool old = tensors_.Has(name + ".gamma");
    const ValueId weight = tensors_.List(name + (old ? ".gamma" : ".weight"), config_.hidden);
    const ValueId bias = tensors_.List(name + (old ? ".beta" : ".bias"), config_.hidden);
    if (weight == kNoValue || bias == kNoValue) return kNoValue;
    return graph_.Add(OpKind::kLayerNorm, {x, weight, bias}, {{"epsilon", config_.rms_epsilon}});
  }

  ValueId Linear(const std::string& name, ValueId x, int64_t outputs) {
    if (x == kNoValue) return kNoValue;
    const int64_t inputs = graph_.value(x).shape.cols().factor;
    const ValueId weight = tensors_.Matrix(name + ".weight", outputs, inputs);
    const ValueId bias = tensors_.List(name + ".bias", outputs);
    if (weight == kNoValue || bias == kNoValue) return kNoValue;
    return graph_.Add(OpKind::kAdd, {graph_.Add(OpKind::kMatmul, {x, weight}), bias});
  }

  ValueId Attention(uint32_t layer, ValueId x) {
    const int64_t heads = config_.heads, kv_heads = config_.kv_heads;
    const int64_t width = heads * config_.head_dim;
    const ValueId q = Linear(names_.Layer(layer, "attn_q", "attention.self.query"), x, width);
    const ValueId k =
        Linear(names_.Layer(layer, "attn_k", "attention.self.key"), x, kv_heads * config_.head_dim);
    const ValueId v = Linear(names_.Layer(layer, "attn_v", "attention.self.value"), x,
                             kv_heads * config_.head_dim);
    if (q == kNoValue || k == kNoValue || v == kNoValue) return kNoValue;
    ValueId scores =
        graph_.Add(OpKind::kScores, {q, k}, {{"heads", heads}, {"kv_heads", kv_heads}});
    scores = graph_.Add(OpKind::kScale, {scores}, {{"by", config_.attention_scale}});
    const ValueId weights = graph_.Add(OpKind::kSoftmax, {scores}, {{"heads", heads}});
    const ValueId mixed =
        graph_.Add(OpKind::kMix, {weights, v}, {{"heads", heads}, {"kv_heads", kv_heads}});
    const ValueId out =
        Linear(names_.Layer(layer, "attn_output", "attention.output.dense"), mixed, config_.hidden);
    if (out == kNoValue) return kNoValue;
    return Norm(graph_.Add(OpKind::kAdd, {out, x}),
                names_.Layer(layer, "attn_output_norm", "attention.output.LayerNorm"));
  }

  ValueId FeedForward(uint32_t layer, ValueId x) {
    const ValueId up =
        Linear(names_.Layer(layer, "ffn_up", "intermediate.dense"), x, config_.intermediate);
    if (up == kNoValue) return kNoValue;
    const ValueId down = Linear(names_.Layer(layer, "ffn_down", "output.dense"),
                                graph_.Add(OpKind::kGeluErf, {up}), config_.hidden);
    if (down == kNoValue) return kNoValue;
    return Norm(graph_.Add(OpKind::kAdd, {down, x}),
                names_.Layer(layer, "layer_output_norm", "output.LayerNorm"));
  }

  ValueId Classifier(ValueId x) {
    const ValueId pooled = Linear(names_.prefix + "pooler.dense", x, config_.hidden);
    if (pooled == kNoValue) return kNoValue;
    // cap * tanh(x / cap) with a cap of 1.
    return Linear("classifier", graph_.Add(OpKind::kSoftCap, {pooled}, {{"cap", 1.0}}),
                  config_.classes);
  }

  const ModelConfig& config_;
  const Names names_;
  Graph graph_;
  TensorReader tensors_;
  ValueId logit_rows_ = kNoValue;
};

}  // namespace

Result<Graph> BuildBert(const ModelConfig& config, const WeightSource& weights) {
  return BertBuilder(config, weights).Build();
}

}  // namespace pelton
