#include "models/build/latent_attention.h"

#include <fmt/format.h>

#include "graph/ir/stored_rows.h"

namespace pelton {
namespace {

// Of the norms of latent rows, whatever the configuration says of others: as in the released code.
constexpr double kLatentEpsilon = 1e-6;

class LatentAttention {
 public:
  LatentAttention(const ModelConfig& config, const TensorNames& names, uint32_t layer,
                  TensorReader* tensors, Graph* graph)
      : config_(config),
        mla_(*config.mla),
        names_(names),
        layer_(layer),
        heads_(config.heads),
        tensors_(*tensors),
        graph_(*graph) {}

  ValueId Add(const LatentInputs& in) {
    const std::vector<ValueId> q = Queries(in.x);
    const std::vector<ValueId> kv = tensors_.MatrixParts(
        Name("attn_kv_a_mqa.weight", "self_attn.kv_a_proj_with_mqa.weight"),
        {{"latent", mla_.kv_rank}, {"rope", mla_.rope_dim}}, 1, config_.hidden);
    const ValueId norm = tensors_.List(
        Name("attn_kv_a_norm.weight", "self_attn.kv_a_layernorm.weight"), mla_.kv_rank);
    const KeyValue key_value = KeyAndValue();
    if (!tensors_.status().ok()) return kNoValue;

    const ValueId latent = Norm(graph_.Add(OpKind::kMatmul, {in.x, kv[0]}), norm);
    const ValueId k_rope = Rope(graph_.Add(OpKind::kMatmul, {in.x, kv[1]}), in.rope_table, 1);
    const ValueId q_latent =
        graph_.Add(OpKind::kHeadMatmul, {q[0], key_value.key}, {{"heads", heads_}});
    const ValueId q_rope = Rope(q[1], in.rope_table, heads_);

    const int64_t layer = layer_, one = 1;
    const ValueId cache =
        graph_.Add(OpKind::kKvWrite, {latent, k_rope, in.slots}, {{"layer", layer}});
    ValueId scores = graph_.Add(OpKind::kKvScores, {q_latent, cache, q_rope},
                                {{"heads", heads_}, {"kv_heads", one}, {"layer", layer}});
    scores = graph_.Add(OpKind::kScale, {scores}, {{"by", config_.attention_scale}});
    if (config_.indexer) {
      const ValueId positions = Positions(in);
      if (positions == kNoValue) return kNoValue;
      scores = graph_.Add(OpKind::kKeepPositions, {scores, positions}, {{"heads", heads_}});
    }
    const ValueId weights =
        graph_.Add(OpKind::kMaskedSoftmax, {scores}, {{"heads", heads_}, {"window", int64_t{0}}});
    const ValueId mixed = graph_.Add(OpKind::kKvMix, {weights, cache},
                                     {{"heads", heads_},
                                      {"kv_heads", one},
                                      {"head_dim", int64_t{mla_.kv_rank}},
                                      {"layer", layer}});
    const ValueId values =
        graph_.Add(OpKind::kHeadMatmul, {mixed, key_value.value}, {{"heads", heads_}});
    const ValueId out = tensors_.Matrix(Name("attn_output.weight", "self_attn.o_proj.weight"),
                                        config_.hidden, heads_ * mla_.value_dim);
    return out == kNoValue ? kNoValue : graph_.Add(OpKind::kMatmul, {values, out});
  }

 private:
  // kv_b of each head: rows of the latent for a query's lanes, and lanes of the value.
  struct KeyValue {
    ValueId key = kNoValue;    // heads of [kv_rank, nope_dim]
    ValueId value = kNoValue;  // heads of [value_dim, kv_rank]
  };

  std::string Name(std::string_view in_gguf, std::string_view in_folder) const {
    return names_.Layer(layer_, in_gguf, in_folder);
  }
  ValueId Norm(ValueId x, ValueId weight) {
    return graph_.Add(OpKind::kRmsNorm, {x, weight},
                      {{"epsilon", kLatentEpsilon}, {"groups", int64_t{1}}});
  }
  ValueId Rope(ValueId x, ValueId table, int64_t heads) {
    return graph_.Add(OpKind::kRope, {x, table},
                      {{"heads", heads}, {"interleaved", int64_t{config_.rope.interleaved}}});
  }
  // Halves of the first lanes, whatever the other keys do.
  ValueId IndexerRope(ValueId x, ValueId table, int64_t heads) {
    return graph_.Add(OpKind::kRope, {x, table}, {{"heads", heads}, {"interleaved", int64_t{0}}});
  }

  // What each token sees, i32 [T, top]. The report scales scores by 1 / sqrt(heads * head_dim) and
  // turns queries and keys by a Hadamard transform, for 8-bit floats: neither changes an order.
  ValueId Positions(const LatentInputs& in) {
    const IndexerConfig& indexer = *config_.indexer;
    const int64_t heads = indexer.heads, dim = indexer.head_dim, layer = layer_;
    const ValueId q_weight =
        tensors_.Matrix(Name("", "self_attn.indexer.wq_b.weight"), heads * dim, mla_.q_rank);
    const ValueId k_weight =
        tensors_.Matrix(Name("", "self_attn.indexer.wk.weight"), dim, config_.hidden);
    const ValueId norm = tensors_.List(Name("", "self_attn.indexer.k_norm.weight"), dim);
    const ValueId norm_bias = tensors_.List(Name("", "self_attn.indexer.k_norm.bias"), dim);
    const ValueId head_weight =
        tensors_.Matrix(Name("", "self_attn.indexer.weights_proj.weight"), heads, config_.hidden);
    if (!tensors_.status().ok()) return kNoValue;

    const ValueId q =
        IndexerRope(graph_.Add(OpKind::kMatmul, {q_row_, q_weight}), in.rope_table, heads);
    const ValueId k_row = graph_.Add(
        OpKind::kLayerNorm, {graph_.Add(OpKind::kMatmul, {in.x, k_weight}), norm, norm_bias},
        {{"epsilon", kLatentEpsilon}});
    const ValueId k = IndexerRope(k_row, in.rope_table, 1);
    const ValueId keys = graph_.Add(OpKind::kIndexWrite, {k, in.slots}, {{"layer", layer}});
    const ValueId weights = graph_.Add(OpKind::kMatmul, {in.x, head_weight});
    const ValueId scores =
        graph_.Add(OpKind::kIndexScores, {q, weights, keys}, {{"heads", heads}, {"layer", layer}});
    return graph_.Add(OpKind::kTopPositions, {scores}, {{"top", int64_t{indexer.top}}});
  }

  // The lanes of all heads that do not turn, and those that do; empty if a tensor failed.
  std::vector<ValueId> Queries(ValueId x) {
    int64_t inputs = config_.hidden;
    if (mla_.q_rank != 0) {
      const ValueId down = tensors_.Matrix(Name("attn_q_a.weight", "self_attn.q_a_proj.weight"),
                                           mla_.q_rank, inputs);
      const ValueId norm = tensors_.List(
          Name("attn_q_a_norm.weight", "self_attn.q_a_layernorm.weight"), mla_.q_rank);
      if (down == kNoValue || norm == kNoValue) return {};
      x = q_row_ = Norm(graph_.Add(OpKind::kMatmul, {x, down}), norm);
      inputs = mla_.q_rank;
    }
    const std::string name = mla_.q_rank != 0 ? Name("attn_q_b.weight", "self_attn.q_b_proj.weight")
                                              : Name("attn_q.weight", "self_attn.q_proj.weight");
    std::vector<ValueId> parts = tensors_.MatrixParts(
        name, {{"nope", mla_.nope_dim}, {"rope", mla_.rope_dim}}, heads_, inputs);
    for (ValueId& part : parts) part = graph_.Add(OpKind::kMatmul, {x, part});
    return parts;
  }

  KeyValue KeyAndValue() {
    const int64_t rank = mla_.kv_rank, nope = mla_.nope_dim, value = mla_.value_dim;
    const std::string key_name = Name("attn_k_b.weight", "");
    if (names_.gguf && tensors_.Has(key_name)) {  // split by the converter, the keys transposed
      return {tensors_.JoinedMatrices(key_name, heads_, rank, nope),
              tensors_.JoinedMatrices(Name("attn_v_b.weight", ""), heads_, value, rank)};
    }
    const std::vector<ValueId> parts =
        tensors_.MatrixParts(Name("attn_kv_b.weight", "self_attn.kv_b_proj.weight"),
                             {{"key", nope}, {"value", value}}, heads_, rank);
    if (parts.empty()) return {};
    for (const ValueId part : parts) graph_.value(part).constant.groups = heads_;
    return {AddTransposed(parts[0], DType::kF32, &graph_), parts[1]};
  }

  const ModelConfig& config_;
  const MlaConfig& mla_;
  const TensorNames& names_;
  const uint32_t layer_;
  const int64_t heads_;
  ValueId q_row_ = kNoValue;  // the normed latent of queries, where they have one
  TensorReader& tensors_;
  Graph& graph_;
};

}  // namespace

ValueId AddLatentAttention(const ModelConfig& config, const TensorNames& names, uint32_t layer,
                           const LatentInputs& in, TensorReader* tensors, Graph* graph) {
  return LatentAttention(config, names, layer, tensors, graph).Add(in);
}

}  // namespace pelton
