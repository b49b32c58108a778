#include "graph/ir/op_kind.h"

#include "base/check.h"

namespace pelton {
namespace {

constexpr OpSchema kOps[] = {
    {OpKind::kEmbedding, "embedding", 2, 2, 1, ""},
    {OpKind::kMatmul, "matmul", 2, 4, 1, ""},
    {OpKind::kRmsNorm, "rms_norm", 2, 2, 1, "epsilon groups"},
    {OpKind::kLayerNorm, "layer_norm", 3, 3, 1, "epsilon"},
    {OpKind::kAdd, "add", 2, 2, 1, ""},
    {OpKind::kMul, "mul", 2, 2, 1, ""},
    {OpKind::kSilu, "silu", 1, 1, 1, ""},
    {OpKind::kGeluTanh, "gelu_tanh", 1, 1, 1, ""},
    {OpKind::kGeluErf, "gelu_erf", 1, 1, 1, ""},
    {OpKind::kScale, "scale", 1, 1, 1, "by"},
    {OpKind::kSoftCap, "soft_cap", 1, 1, 1, "cap"},
    {OpKind::kSliceCols, "slice_cols", 1, 1, 1, "begin count"},
    {OpKind::kGatherRows, "gather_rows", 2, 2, 1, ""},
    {OpKind::kRopeFrequencies, "rope_frequencies", 0, 0, 1,
     "dims base scaling factor low high original truncate"},
    {OpKind::kRopeTable, "rope_table", 2, 2, 1, "magnitude"},
    {OpKind::kRope, "rope", 2, 2, 1, "heads interleaved"},
    {OpKind::kKvWrite, "kv_write", 3, 3, 1, "layer"},
    {OpKind::kKvScores, "kv_scores", 2, 3, 1, "heads kv_heads layer"},
    {OpKind::kMaskedSoftmax, "masked_softmax", 1, 2, 1, "heads window"},
    {OpKind::kKvMix, "kv_mix", 2, 2, 1, "heads kv_heads head_dim layer"},
    {OpKind::kIndexWrite, "index_write", 2, 2, 1, "layer"},
    {OpKind::kIndexScores, "index_scores", 3, 3, 1, "heads layer"},
    {OpKind::kTopPositions, "top_positions", 1, 1, 1, "top"},
    {OpKind::kKeepPositions, "keep_positions", 2, 2, 1, "heads"},
    {OpKind::kCompressWrite, "compress_write", 3, 3, 1, "layer begin"},
    {OpKind::kCompress, "compress", 4, 4, 1, "layer begin ratio epsilon"},
    {OpKind::kCompressedAttention, "compressed_attention", 3, 5, 1,
     "heads layer scale window ratio begin"},
    {OpKind::kStreamSpread, "stream_spread", 1, 1, 1, "streams"},
    {OpKind::kStreamWeights, "stream_weights", 3, 3, 1, "streams rounds epsilon"},
    {OpKind::kStreamMerge, "stream_merge", 2, 2, 1, "streams"},
    {OpKind::kStreamMix, "stream_mix", 3, 3, 1, "streams"},
    {OpKind::kRoute, "route", 1, 3, 2, "top groups top_groups scoring normalise by"},
    {OpKind::kExpertOrder, "expert_order", 1, 2, 2, "experts"},
    {OpKind::kExpertRows, "expert_rows", 2, 2, 1, "top"},
    {OpKind::kExpertMatmul, "expert_matmul", 3, 4, 1, "experts"},
    {OpKind::kExpertSum, "expert_sum", 3, 3, 1, ""},
    {OpKind::kHeadMatmul, "head_matmul", 2, 2, 1, "heads"},
    {OpKind::kScores, "scores", 2, 2, 1, "heads kv_heads"},
    {OpKind::kSoftmax, "softmax", 1, 1, 1, "heads"},
    {OpKind::kMix, "mix", 2, 2, 1, "heads kv_heads"},
    {OpKind::kAttention, "attention", 2, 4, 1, "heads kv_heads layer scale cap window"},
    {OpKind::kSparseAttention, "sparse_attention", 4, 4, 1, "heads kv_heads layer scale"},
    {OpKind::kExpandedAttention, "expanded_attention", 6, 6, 1, "heads layer scale"},
    {OpKind::kSelfAttention, "self_attention", 3, 3, 1, "heads kv_heads scale"},
    {OpKind::kRopeKvWrite, "rope_kv_write", 5, 5, 2, "heads kv_heads interleaved layer"},
    {OpKind::kAddRmsNorm, "add_rms_norm", 3, 3, 2, "epsilon"},
    {OpKind::kGatedMul, "gated_mul", 2, 2, 1, "activation"},
    {OpKind::kGatedMatmul, "gated_matmul", 2, 2, 1, "activation"},
    {OpKind::kGatedExpertMatmul, "gated_expert_matmul", 3, 4, 1, "experts activation"},
    {OpKind::kExpertMatmulSum, "expert_matmul_sum", 5, 6, 1, "experts"},
    {OpKind::kQuantize, "quantize", 1, 1, 1, ""},
    {OpKind::kRotate, "rotate", 1, 1, 1, ""},
};

}  // namespace

const OpSchema& SchemaOf(OpKind kind) {
  for (const OpSchema& op : kOps) {
    if (op.kind == kind) return op;
  }
  PELTON_CHECK(false, "every op kind has a schema");
  return kOps[0];
}

std::optional<OpKind> ParseOpKind(std::string_view name) {
  for (const OpSchema& op : kOps) {
    if (op.name == name) return op.kind;
  }
  return std::nullopt;
}

std::span<const OpSchema> AllOps() { return kOps; }

}  // namespace pelton
