#include "models/build/deepseek4.h"

#include <fmt/format.h>

#include <algorithm>

#include "models/build/gate.h"
#include "models/build/mixture.h"
#include "models/build/rotary.h"
#include "models/build/tensor_reader.h"

namespace pelton {
namespace {

// Where a layer's cached lanes lie: of value and gate of its entries, then of the indexer's.
struct CompressedLayout {
  int64_t cols;         // of value, and of gate
  int64_t index_begin;  // of the indexer's
  int64_t lanes;        // all
};
CompressedLayout LayoutOf(const ModelConfig& config, size_t layer) {
  const CompressedConfig& compressed = *config.compressed;
  if (compressed.ratios[layer] == 0) return {0, 0, 0};
  if (!compressed.chosen[layer]) return {config.head_dim, 0, 2 * int64_t{config.head_dim}};
  const int64_t index_begin = 4 * int64_t{config.head_dim};
  return {2 * int64_t{config.head_dim}, index_begin,
          index_begin + 4 * int64_t{config.indexer->head_dim}};
}

class Deepseek4Builder {
 public:
  Deepseek4Builder(const ModelConfig& config, const WeightSource& weights)
      : config_(config),
        compressed_(*config.compressed),
        moe_(*config.moe),
        streams_(compressed_.streams),
        tensors_(weights, &graph_, {config.fp8_block_rows, config.fp8_block_cols}) {}

  Result<Graph> Build() {
    if (config_.head_dim % 16 != 0) {
      return Unimplemented(fmt::format("{}: head_dim: found {}, expected a multiple of 16",
                                       config_.file, config_.head_dim));
    }
    graph_.name = config_.name.empty() ? config_.architecture : config_.name;
    const Shape rows{Dim(1, Symbol::kTokens)};
    tokens_ = graph_.AddInput("tokens", ElementType::kI32, rows);
    const ValueId positions = graph_.AddInput("positions", ElementType::kI32, rows);
    slots_ = graph_.AddInput("slots", ElementType::kI32, rows);
    const ValueId logit_rows =
        graph_.AddInput("logit_rows", ElementType::kI32, Shape{Dim(1, Symbol::kLogitRows)});

    const ValueId table = tensors_.Matrix("embed.weight", config_.vocab, config_.hidden);
    RETURN_IF_ERROR(tensors_.status());
    ValueId x =
        graph_.Add(OpKind::kStreamSpread, {graph_.Add(OpKind::kEmbedding, {tokens_, table})},
                   {{"streams", streams_}});
    AddTables(positions);
    for (uint32_t layer = 0; layer < config_.layers; ++layer) {
      x = Around(layer, "attn", x, [&](ValueId n) { return Attention(layer, n); });
      RETURN_IF_ERROR(tensors_.status());
      x = Around(layer, "ffn", x, [&](ValueId n) { return FeedForward(layer, n); });
      RETURN_IF_ERROR(tensors_.status());
    }
    const ValueId weights = StreamWeights("hc_head", x, streams_, 1);
    const ValueId norm = tensors_.List("norm.weight", config_.hidden);
    const ValueId head = config_.tie_embeddings
                             ? table
                             : tensors_.Matrix("head.weight", config_.vocab, config_.hidden);
    RETURN_IF_ERROR(tensors_.status());
    x = Norm(graph_.Add(OpKind::kStreamMerge, {x, weights}, {{"streams", streams_}}), norm, 1);
    x = graph_.Add(OpKind::kGatherRows, {x, logit_rows});
    graph_.outputs = {graph_.Add(OpKind::kMatmul, {x, head})};
    return std::move(graph_);
  }

 private:
  // Tables of angles: of positions, and of the first positions of windows.
  void AddTables(ValueId positions) {
    const ValueId plain = AddFrequencies(*config_.local_rope, &graph_);
    const ValueId scaled = AddFrequencies(config_.rope, &graph_);
    const auto add = [&](ValueId frequencies, int64_t multiple) {
      return graph_.Add(OpKind::kRopeTable, {positions, frequencies},
                        {{"magnitude", 1.0}, {"multiple", multiple}});
    };
    window_table_ = add(plain, 1);
    entry_table_ = add(scaled, 1);
    for (const uint32_t ratio : compressed_.ratios) {
      if (ratio != 0 && !tables_.contains(ratio)) tables_[ratio] = add(scaled, ratio);
    }
  }

  std::string Name(uint32_t layer, std::string_view name) const {
    return fmt::format("layers.{}.{}", layer, name);
  }
  ValueId Norm(ValueId x, ValueId weight, int64_t groups) {
    return graph_.Add(OpKind::kRmsNorm, {x, weight},
                      {{"epsilon", config_.rms_epsilon}, {"groups", groups}});
  }
  // Without a weight of its own.
  ValueId PlainNorm(ValueId x, int64_t groups) {
    const int64_t dim = graph_.value(x).shape.cols().factor / groups;
    const ValueId ones =
        graph_.AddNumbers("ones", std::vector<float>(static_cast<size_t>(dim), 1.0f));
    return Norm(x, ones, groups);
  }
  ValueId Linear(const std::string& name, ValueId x, int64_t outputs) {
    if (x == kNoValue) return kNoValue;
    const ValueId weight = tensors_.Matrix(name, outputs, graph_.value(x).shape.cols().factor);
    return weight == kNoValue ? kNoValue : graph_.Add(OpKind::kMatmul, {x, weight});
  }
  // The last lanes of each head, in adjacent pairs.
  ValueId Rope(ValueId x, ValueId table, int64_t heads, bool back) {
    const int64_t dim = graph_.value(x).shape.cols().factor / heads;
    std::map<std::string, Attribute, std::less<>> attributes = {
        {"heads", heads},
        {"interleaved", int64_t{1}},
        {"first", dim - int64_t{compressed_.rope_dim}}};
    if (back) attributes["back"] = int64_t{1};
    return graph_.Add(OpKind::kRope, {x, table}, std::move(attributes));
  }

  ValueId StreamWeights(const std::string& name, ValueId x, int64_t outputs, int64_t scales) {
    const ValueId mixes = Linear(name + "_fn", PlainNorm(x, 1), outputs);
    const ValueId scale = tensors_.List(name + "_scale", scales);
    const ValueId base = tensors_.List(name + "_base", outputs);
    if (mixes == kNoValue || scale == kNoValue || base == kNoValue) return kNoValue;
    return graph_.Add(OpKind::kStreamWeights, {mixes, scale, base},
                      {{"streams", streams_},
                       {"rounds", int64_t{compressed_.sinkhorn_rounds}},
                       {"epsilon", compressed_.stream_epsilon}});
  }

  // A part of a layer between the streams that it reads and those that it is added to.
  template <typename Part>
  ValueId Around(uint32_t layer, std::string_view part, ValueId x, const Part& add_part) {
    const ValueId weights =
        StreamWeights(Name(layer, fmt::format("hc_{}", part)), x, (2 + streams_) * streams_, 3);
    const ValueId norm =
        tensors_.List(Name(layer, fmt::format("{}_norm.weight", part)), config_.hidden);
    if (weights == kNoValue || norm == kNoValue) return x;
    const ValueId merged = graph_.Add(OpKind::kStreamMerge, {x, weights}, {{"streams", streams_}});
    const ValueId made = add_part(Norm(merged, norm, 1));
    if (made == kNoValue) return x;
    return graph_.Add(OpKind::kStreamMix, {x, made, weights}, {{"streams", streams_}});
  }

  // Value, gate and entries of `dim` lanes, at `begin` of what the cache keeps for a token.
  ValueId Entries(uint32_t layer, const std::string& name, ValueId n, int64_t dim, int64_t begin) {
    const int64_t ratio = compressed_.ratios[layer], l = layer;
    const int64_t cols = compressed_.chosen[layer] ? 2 * dim : dim;
    const ValueId value = Linear(name + ".wkv.weight", n, cols);
    const ValueId gate = Linear(name + ".wgate.weight", n, cols);
    std::vector<float> bias = tensors_.Floats(name + ".ape", {ratio, cols});
    const ValueId norm = tensors_.List(name + ".norm.weight", dim);
    if (value == kNoValue || gate == kNoValue || bias.empty() || norm == kNoValue) return kNoValue;
    const ValueId written =
        graph_.Add(OpKind::kCompressWrite, {value, gate, slots_}, {{"layer", l}, {"begin", begin}});
    return graph_.Add(
        OpKind::kCompress,
        {written, graph_.AddNumbers(name + ".ape", std::move(bias)), norm,
         tables_.at(compressed_.ratios[layer])},
        {{"layer", l}, {"begin", begin}, {"ratio", ratio}, {"epsilon", config_.rms_epsilon}});
  }

  // The entries that each token sees, i32 [T, top]. Scores are not scaled by 1 / sqrt(heads *
  // head_dim), which does not change their order.
  ValueId Chosen(uint32_t layer, ValueId n, ValueId q_row) {
    const IndexerConfig& indexer = *config_.indexer;
    const int64_t heads = indexer.heads, dim = indexer.head_dim, l = layer;
    const int64_t begin = LayoutOf(config_, layer).index_begin, ratio = compressed_.ratios[layer];
    const ValueId entries = Entries(layer, Name(layer, "attn.indexer.compressor"), n, dim, begin);
    const ValueId q = Linear(Name(layer, "attn.indexer.wq_b.weight"), q_row, heads * dim);
    const ValueId weights = Linear(Name(layer, "attn.indexer.weights_proj.weight"), n, heads);
    if (entries == kNoValue || q == kNoValue || weights == kNoValue) return kNoValue;
    const ValueId scores =
        graph_.Add(OpKind::kIndexScores, {Rope(q, entry_table_, heads, false), weights, entries},
                   {{"heads", heads}, {"layer", l}, {"ratio", ratio}, {"begin", begin + dim}});
    return graph_.Add(OpKind::kTopPositions, {scores},
                      {{"top", int64_t{indexer.top}}, {"ratio", ratio}});
  }

  ValueId Attention(uint32_t layer, ValueId n) {
    const int64_t heads = config_.heads, dim = config_.head_dim, l = layer;
    const int64_t ratio = compressed_.ratios[layer];
    const ValueId table = ratio == 0 ? window_table_ : entry_table_;
    const ValueId q_norm = tensors_.List(Name(layer, "attn.q_norm.weight"), compressed_.q_rank);
    const ValueId q_down = Linear(Name(layer, "attn.wq_a.weight"), n, compressed_.q_rank);
    const std::string kv_name = Name(layer, "attn.kv_norm.weight");
    const ValueId kv_norm =
        tensors_.List(tensors_.Has(kv_name) ? kv_name : Name(layer, "attn.norm.weight"), dim);
    const ValueId kv = Linear(Name(layer, "attn.wkv.weight"), n, dim);
    const ValueId sinks = tensors_.List(Name(layer, "attn.attn_sink"), heads);
    if (!tensors_.status().ok()) return kNoValue;
    const ValueId q_row = Norm(q_down, q_norm, 1);
    const ValueId q_up = Linear(Name(layer, "attn.wq_b.weight"), q_row, heads * dim);
    if (q_up == kNoValue) return kNoValue;
    const ValueId q = Rope(PlainNorm(q_up, heads), table, heads, false);
    const ValueId key = Rope(Norm(kv, kv_norm, 1), table, 1, false);
    const ValueId window = graph_.Add(OpKind::kKvWrite, {key, key, slots_}, {{"layer", l}});

    ValueId entries = kNoValue, chosen = kNoValue;
    const CompressedLayout layout = LayoutOf(config_, layer);
    if (ratio != 0) {
      entries = Entries(layer, Name(layer, "attn.compressor"), n, dim, 0);
      if (compressed_.chosen[layer]) chosen = Chosen(layer, n, q_row);
      if (!tensors_.status().ok()) return kNoValue;
    }
    const ValueId mixed =
        graph_.Add(OpKind::kCompressedAttention, {q, window, sinks, entries, chosen},
                   {{"heads", heads},
                    {"layer", l},
                    {"scale", config_.attention_scale},
                    {"window", int64_t{config_.sliding_window}},
                    {"ratio", ratio},
                    {"begin", std::max<int64_t>(layout.cols - dim, 0)}});
    return Output(layer, Rope(mixed, table, heads, true));
  }

  // A matrix for each group of heads, then one for all.
  ValueId Output(uint32_t layer, ValueId x) {
    const int64_t groups = compressed_.out_groups;
    const std::vector<ValueId> down = tensors_.MatrixParts(
        Name(layer, "attn.wo_a.weight"), {{"groups", int64_t{compressed_.out_rank}}}, groups,
        graph_.value(x).shape.cols().factor / groups);
    if (down.empty()) return kNoValue;
    graph_.value(down[0]).constant.groups = groups;
    const ValueId inner = graph_.Add(OpKind::kHeadMatmul, {x, down[0]}, {{"heads", groups}});
    return Linear(Name(layer, "attn.wo_b.weight"), inner, config_.hidden);
  }

  ExpertMatrix Experts(uint32_t layer, std::string_view matrix, int64_t rows, int64_t cols) {
    const auto name_of = [&](int64_t expert) {
      return Name(layer, fmt::format("ffn.experts.{}.{}.weight", expert, matrix));
    };
    return {tensors_.Matrices(name_of, moe_.experts, rows, cols), kNoValue};
  }

  // Experts by score, or in the first layers by the token's id.
  std::vector<ValueId> Route(uint32_t layer, ValueId n) {
    const ValueId logits = Linear(Name(layer, "ffn.gate.weight"), n, moe_.experts);
    ValueId bias = kNoValue, choices = kNoValue;
    if (layer < moe_.hash_layers) {
      const ValueId table =
          tensors_.Choices(Name(layer, "ffn.gate.tid2eid"), config_.vocab, moe_.top, moe_.experts);
      if (table != kNoValue) choices = graph_.Add(OpKind::kEmbedding, {tokens_, table});
    } else {
      bias = tensors_.List(Name(layer, "ffn.gate.bias"), moe_.experts);
    }
    if (!tensors_.status().ok()) return {};
    return graph_.AddMulti(OpKind::kRoute, {logits, bias, choices},
                           {{"top", int64_t{moe_.top}},
                            {"groups", int64_t{1}},
                            {"top_groups", int64_t{1}},
                            {"scoring", std::string("sqrtsoftplus")},
                            {"normalise", int64_t{moe_.normalise}},
                            {"by", moe_.scale}});
  }

  ValueId FeedForward(uint32_t layer, ValueId n) {
    const int64_t hidden = config_.hidden, inner = moe_.intermediate;
    const std::vector<ValueId> choice = Route(layer, n);
    const ExpertMatrix gate = Experts(layer, "w1", inner, hidden);
    const ExpertMatrix up = Experts(layer, "w3", inner, hidden);
    const ExpertMatrix down = Experts(layer, "w2", hidden, inner);
    const ValueId shared_gate = Linear(Name(layer, "ffn.shared_experts.w1.weight"), n, inner);
    const ValueId shared_up = Linear(Name(layer, "ffn.shared_experts.w3.weight"), n, inner);
    if (!tensors_.status().ok()) return kNoValue;
    const ValueId routed = AddExperts(config_, n, choice, gate, up, down, &graph_);
    const ValueId shared = Linear(Name(layer, "ffn.shared_experts.w2.weight"),
                                  AddGate(config_, shared_gate, shared_up, &graph_), hidden);
    return shared == kNoValue ? kNoValue : graph_.Add(OpKind::kAdd, {shared, routed});
  }

  const ModelConfig& config_;
  const CompressedConfig& compressed_;
  const MoeConfig& moe_;
  const int64_t streams_;
  Graph graph_;
  TensorReader tensors_;
  ValueId tokens_ = kNoValue;
  ValueId slots_ = kNoValue;
  ValueId window_table_ = kNoValue;     // of layers without entries
  ValueId entry_table_ = kNoValue;      // of layers with entries
  std::map<uint32_t, ValueId> tables_;  // of entries, by ratio
};

}  // namespace

Result<Graph> BuildDeepseek4(const ModelConfig& config, const WeightSource& weights) {
  return Deepseek4Builder(config, weights).Build();
}

size_t CompressedLanes(const ModelConfig& config) {
  int64_t lanes = 0;
  for (size_t layer = 0; layer < config.layers; ++layer) {
    lanes = std::max(lanes, LayoutOf(config, layer).lanes);
  }
  return static_cast<size_t>(lanes);
}

}  // namespace pelton
