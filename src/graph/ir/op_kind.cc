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
     "dims base scaling factor low high original"},
    {OpKind::kRopeTable, "rope_table", 2, 2, 1, "magnitude"},
    {OpKind::kRope, "rope", 2, 2, 1, "heads interleaved"},
    {OpKind::kKvWrite, "kv_write", 3, 3, 1, "layer"},
    {OpKind::kKvScores, "kv_scores", 2, 2, 1, "heads kv_heads layer"},
    {OpKind::kMaskedSoftmax, "masked_softmax", 1, 1, 1, "heads window"},
    {OpKind::kKvMix, "kv_mix", 2, 2, 1, "heads kv_heads head_dim layer"},
    {OpKind::kScores, "scores", 2, 2, 1, "heads kv_heads"},
    {OpKind::kSoftmax, "softmax", 1, 1, 1, "heads"},
    {OpKind::kMix, "mix", 2, 2, 1, "heads kv_heads"},
    {OpKind::kAttention, "attention", 2, 2, 1, "heads kv_heads layer scale cap window"},
    {OpKind::kSelfAttention, "self_attention", 3, 3, 1, "heads kv_heads scale"},
    {OpKind::kRopeKvWrite, "rope_kv_write", 5, 5, 2, "heads kv_heads interleaved layer"},
    {OpKind::kAddRmsNorm, "add_rms_norm", 3, 3, 2, "epsilon"},
    {OpKind::kGatedMul, "gated_mul", 2, 2, 1, "activation"},
    {OpKind::kGatedMatmul, "gated_matmul", 2, 2, 1, "activation"},
    {OpKind::kQuantize, "quantize", 1, 1, 1, "terms"},
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
