// Units, scratch memory and tables of expanded attention.
#include "kernels/ops/expanded_attention.h"

#include <algorithm>

#include "base/check.h"
#include "base/checked_math.h"
#include "kernels/cpu/expanded_tiles.h"
#include "kernels/cpu/isa_impls.h"

namespace pelton {
namespace cpu {
namespace {

size_t RowsOf(const SequenceSpan& sequence) { return static_cast<size_t>(sequence.count); }

// Rows of a unit: as many as memory has room for, or so few that each worker gets a unit.
size_t UnitRows(const ExpandedAttentionArgs& a) {
  size_t rows = 0;
  for (size_t s = 0; s < a.num_sequences; ++s) rows += RowsOf(a.sequences[s]);
  const size_t parts = DivUp(a.workers, a.heads);
  return std::clamp(RoundUp(DivUp(rows, parts), kTilePairs), kTilePairs,
                    kExpandedTiles * kTilePairs);
}

size_t PartsOf(const ExpandedAttentionArgs& a, size_t unit_rows) {
  size_t parts = 0;
  for (size_t s = 0; s < a.num_sequences; ++s) parts += DivUp(RowsOf(a.sequences[s]), unit_rows);
  return parts;
}

MatmulArgs ExpansionOf(const PackedWeights& weights) {
  MatmulArgs args{};
  const static float any = 0;
  args.x_f32 = &any;
  args.rows = kPartitionKeys;
  args.weights = weights;
  return args;
}

}  // namespace

ExpandedUnit ExpandedUnitOf(const ExpandedAttentionArgs& a, size_t unit) noexcept {
  const size_t unit_rows = UnitRows(a), parts = PartsOf(a, unit_rows);
  const size_t head = unit / parts;
  size_t part = unit % parts;
  for (size_t s = 0; s < a.num_sequences; ++s) {
    const size_t own = DivUp(RowsOf(a.sequences[s]), unit_rows);
    if (part >= own) {
      part -= own;
      continue;
    }
    const size_t first = part * unit_rows;
    return {&a.sequences[s], first, std::min(unit_rows, RowsOf(a.sequences[s]) - first), head};
  }
  PELTON_CHECK(false, "units of expanded attention lie below ExpandedAttentionUnits");
  return {};
}

AttentionArgs AttentionOverExpanded(const ExpandedAttentionArgs& a, const float* keys,
                                    const float* values) noexcept {
  const size_t rope = a.cache.head_dim - a.cache.value_dim;
  AttentionArgs out{};
  out.q = a.q;
  out.q_stride = a.q_stride;
  out.q_rope = a.q_rope;
  out.q_rope_stride = a.q_rope_stride;
  out.q_dim = a.key.rows;
  out.out = a.out;
  out.out_stride = a.out_stride;
  out.heads = a.heads;
  out.cache.dtype = KvDType::kF32;
  out.cache.kv_heads = a.heads;
  out.cache.head_dim = a.key.rows + rope;
  out.cache.value_dim = a.value.rows;
  out.sequences = a.sequences;
  out.num_sequences = a.num_sequences;
  out.scale = a.scale;
  out.rows = {
      .k = keys, .v = values, .k_stride = out.cache.head_dim, .v_stride = out.cache.value_dim};
  return out;
}

ExpandedScratch ExpandedScratchOf(const ExpandedAttentionArgs& a) noexcept {
  size_t longest = 1;
  for (size_t s = 0; s < a.num_sequences; ++s) longest = std::max(longest, RowsOf(a.sequences[s]));
  const size_t rows = std::min(UnitRows(a), longest);
  const float any = 0;
  const AttentionArgs attention = AttentionOverExpanded(a, &any, &any);
  ExpandedScratch out{};
  out.attention = TileScratchOf(attention, std::min(rows, kTilePairs), DivUp(rows, kTilePairs));
  out.bytes = out.attention.bytes;
  const auto take = [&](size_t bytes) {
    const size_t offset = out.bytes;
    out.bytes += RoundUp(bytes, 64);
    return offset;
  };
  constexpr size_t kRow = kPartitionKeys * sizeof(float);
  // Values of a partition stay beside its keys, for all tiles.
  out.attention.value_tiles = take(kRow / 2 * out.attention.padded_value_dim);
  out.latent = take(kRow * a.cache.value_dim);
  out.keys = take(kRow * attention.cache.head_dim);
  out.values = take(kRow * attention.cache.value_dim);
  out.matmul = take(
      std::max(MatmulScratchBytes(ExpansionOf(a.key)), MatmulScratchBytes(ExpansionOf(a.value))));
  return out;
}

}  // namespace cpu

size_t ExpandedAttentionUnits(const ExpandedAttentionArgs& args) {
  return args.heads * cpu::PartsOf(args, cpu::UnitRows(args));
}

size_t ExpandedAttentionScratchBytes(const ExpandedAttentionArgs& args) {
  return cpu::ExpandedScratchOf(args).bytes;
}

PELTON_ISA_IMPLS(ExpandedAttention);

namespace cpu::amx {
void ExpandedPromptAttention(const ExpandedAttentionArgs&, size_t, size_t, std::byte*) noexcept;
}

const OpImpl<ExpandedAttentionArgs>* ExpandedPromptAttentionImpl(
    const ExpandedAttentionArgs& args) {
  static constexpr OpImpl<ExpandedAttentionArgs> kImpl = {
      "amx_bf16", kCpuAmx | kCpuAvx512 | kCpuAvx512Vnni | kCpuAvx512Bf16,
      cpu::amx::ExpandedPromptAttention};
  const AttentionArgs attention = cpu::AttentionOverExpanded(args, nullptr, nullptr);
  return PromptAttentionImpl(attention) != nullptr ? &kImpl : nullptr;
}

const MatmulImpl& ExpansionImpl(const PackedWeights& weights, MatmulRows rows) {
  return ChooseMatmul(cpu::ExpansionOf(weights), rows);
}

}  // namespace pelton
