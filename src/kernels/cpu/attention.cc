// Units, scratch memory and tables of the attention ops.
#include "kernels/ops/attention.h"

#include <algorithm>

#include "base/check.h"
#include "base/checked_math.h"
#include "kernels/cpu/attention_split.h"
#include "kernels/cpu/isa_impls.h"

namespace pelton {
namespace cpu {
namespace {

constexpr size_t kPromptHeadColumns = 32;  // a tile of bf16

bool TakesTiles(const KvCacheView& cache) {
  return cache.head_dim % kPromptHeadColumns == 0 && cache.ValueDim() % kPromptHeadColumns == 0;
}

}  // namespace

// Rows with positions of their own do not share keys; the heads of a latent cache do.
size_t AttentionTileRows(const AttentionArgs& a) noexcept {
  return a.positions == nullptr ? kTileRows : 1;
}

AttentionTile AttentionTileOfTurn(const AttentionArgs& a, const SequenceSpan& sequence,
                                  size_t tiles, size_t turn) noexcept {
  // Later tiles see more keys. Taking one from each end in turn gives every contiguous part of the
  // units about the same work.
  const size_t tile = turn % 2 == 0 ? turn / 2 : tiles - 1 - turn / 2;
  const size_t tile_rows = AttentionTileRows(a), first = tile * tile_rows;
  return {&sequence, first, std::min(tile_rows, static_cast<size_t>(sequence.count) - first), 0};
}

AttentionTile AttentionTileOf(const AttentionArgs& a, size_t unit) noexcept {
  const size_t tile_rows = AttentionTileRows(a);
  for (size_t s = 0; s < a.num_sequences; ++s) {
    const size_t tiles = DivUp(static_cast<size_t>(a.sequences[s].count), tile_rows);
    if (unit >= tiles * a.heads) {
      unit -= tiles * a.heads;
      continue;
    }
    AttentionTile tile = AttentionTileOfTurn(a, a.sequences[s], tiles, unit / a.heads);
    tile.head = unit % a.heads;
    return tile;
  }
  PELTON_CHECK(false, "attention units lie below AttentionUnits");
  return {};
}

AttentionScratch AttentionScratchOf(const AttentionArgs& a) noexcept {
  size_t longest = 0;
  for (size_t s = 0; s < a.num_sequences; ++s) {
    longest = std::max(longest, static_cast<size_t>(a.sequences[s].count));
  }
  const size_t group = a.heads / a.cache.kv_heads;
  AttentionScratch out =
      TileScratchOf(a, std::min(kTilePairs, std::min(AttentionTileRows(a), longest) * group), 1);
  out.value_tiles = out.row_tiles;
  return out;
}

AttentionScratch TileScratchOf(const AttentionArgs& a, size_t pairs, size_t tiles) noexcept {
  const size_t key_dim = a.cache.head_dim;
  constexpr size_t kBf16 = 2;
  AttentionScratch out{};
  out.pairs = RoundUp(pairs, 16);
  out.padded_value_dim = RoundUp(a.cache.ValueDim(), 16);
  const auto take = [&](size_t elements, size_t element_bytes) {
    const size_t offset = out.bytes;
    out.bytes += RoundUp(elements * element_bytes, 64);
    return offset;
  };
  out.keys = take(2 * kPartitionKeys, sizeof(void*));
  out.values = take(a.ValuesAreInKeys() ? 0 : 2 * kPartitionKeys, sizeof(void*));
  out.zeros = take(std::max(RoundUp(key_dim, 16), out.padded_value_dim), sizeof(float));
  out.decoded = take(a.cache.dtype == KvDType::kFp8 ? kPartitionKeys * key_dim : 0, kBf16);
  out.seen = take(out.pairs, 2 * sizeof(size_t));
  out.key_block = take(key_dim * kKeyBlock, sizeof(float));
  out.value_block = take(kKeyBlock * out.padded_value_dim, sizeof(float));
  out.scores = take(out.pairs * kPartitionKeys, sizeof(float));
  constexpr size_t kWeightPairs = 32;
  const bool on_tiles = TakesTiles(a.cache);
  if (on_tiles) {
    out.row_tiles = take(kPartitionKeys * key_dim, kBf16);
    out.weight_tiles = take(kWeightPairs * kPartitionKeys, kBf16);
  }
  const size_t first_tile = out.bytes;
  out.queries = take(out.pairs * key_dim, sizeof(float));
  out.sums = take(out.pairs * out.padded_value_dim, sizeof(float));
  out.maxima = take(out.pairs, sizeof(float));
  out.totals = take(out.pairs, sizeof(float));
  out.merged = take(out.pairs * AttentionStateFloats(out.padded_value_dim), sizeof(float));
  if (on_tiles) out.query_tiles = take(out.pairs * key_dim, kBf16);
  out.tile_bytes = out.bytes - first_tile;
  out.bytes = first_tile + tiles * out.tile_bytes;
  return out;
}

}  // namespace cpu

size_t AttentionUnits(const AttentionArgs& a) {
  if (a.split.portions != 0) {
    return a.split.merge ? cpu::CutOf(a).pairs : a.split.portions;
  }
  size_t tiles = 0;
  for (size_t s = 0; s < a.num_sequences; ++s) {
    tiles += DivUp(static_cast<size_t>(a.sequences[s].count), cpu::AttentionTileRows(a));
  }
  return tiles * a.heads;
}

size_t AttentionScratchBytes(const AttentionArgs& a) { return cpu::AttentionScratchOf(a).bytes; }

PELTON_ISA_IMPLS(Attention);

namespace cpu::amx {
void PromptAttention(const AttentionArgs&, size_t, size_t, std::byte*) noexcept;
}

const OpImpl<AttentionArgs>* PromptAttentionImpl(const AttentionArgs& args) {
  static constexpr OpImpl<AttentionArgs> kImpl = {
      "amx_bf16", kCpuAmx | kCpuAvx512 | kCpuAvx512Vnni | kCpuAvx512Bf16,
      cpu::amx::PromptAttention};
  const bool permitted = (kImpl.required_features & ~CpuFeatures()) == 0;
  return permitted && cpu::TakesTiles(args.cache) ? &kImpl : nullptr;
}

PELTON_ISA_IMPLS(KvScores);
PELTON_ISA_IMPLS(MaskedSoftmax);
PELTON_ISA_IMPLS(KvMix);

}  // namespace pelton
