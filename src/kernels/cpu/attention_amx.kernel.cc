// Compiled once per ISA by pelton_isa_kernels(); include no std containers or algorithms here.
#include "kernels/cpu/bf16_rounding.h"
#include "kernels/cpu/expanded_flow.h"
#if defined(__AMX_TILE__)
#include "kernels/cpu/amx/tile.h"
#else
#include "kernels/cpu/amx/tile_emulated.h"
#endif

namespace pelton::cpu::KERNEL_ISA {
namespace {

constexpr size_t kTileBytes = 1024;  // 16 rows of 64 bytes
constexpr size_t kTileSide = 16;     // pairs, keys or columns of a tile of sums
constexpr size_t kTileSteps = 32;    // of the dimension that is summed, in bf16

// (+)= left . right of up to 2 x 2 tiles of sums over `steps` tiles. Left tiles of one row follow
// each other, and so do right tiles of one column; the second row or column is `stride` on.
struct TileOperand {
  const std::byte* first;
  size_t stride;
  bool two;
};
void MultiplyTiles(const TileOperand& left, const TileOperand& right, size_t steps, bool accumulate,
                   float* sums, size_t sum_stride) {
  const size_t stride = sum_stride * sizeof(float);
  float* lower = sums + kTileSide * sum_stride;
  TileZero<0>();
  TileZero<1>();
  TileZero<2>();
  TileZero<3>();
  if (accumulate) {
    TileLoad<0>(sums, stride);
    if (right.two) TileLoad<1>(sums + kTileSide, stride);
    if (left.two) TileLoad<2>(lower, stride);
    if (left.two && right.two) TileLoad<3>(lower + kTileSide, stride);
  }
  for (size_t step = 0; step < steps; ++step) {
    const size_t at = step * kTileBytes;
    TileLoad<4>(left.first + at, 64);
    TileLoad<6>(right.first + at, 64);
    TileDotBf16<0, 4, 6>();
    if (right.two) {
      TileLoad<7>(right.first + right.stride + at, 64);
      TileDotBf16<1, 4, 7>();
    }
    if (left.two) {
      TileLoad<5>(left.first + left.stride + at, 64);
      TileDotBf16<2, 5, 6>();
      if (right.two) TileDotBf16<3, 5, 7>();
    }
  }
  TileStore<0>(sums, stride);
  if (right.two) TileStore<1>(sums + kTileSide, stride);
  if (left.two) TileStore<2>(lower, stride);
  if (left.two && right.two) TileStore<3>(lower + kTileSide, stride);
}

// 16 elements of two rows to bf16, pair by pair.
template <typename Element>
void StorePairsOfRows(std::byte* to, const Element* even, const Element* odd) {
  // A vector of the vocabulary may be shorter than a tile's row.
  alignas(64) float a[kTileSide], b[kTileSide];
  for (size_t i = 0; i < kTileSide; i += kLanes) {
    Store(Load(even + i), a + i);
    Store(Load(odd + i), b + i);
  }
  StoreBf16Pairs(to, QuietNans(LoadF32(a)), QuietNans(LoadF32(b)));
}

// Both products on tiles of bf16, for keys and values of a multiple of 32 columns. Keys that a pair
// does not see count with weight 0, so that an infinite value makes a NaN of every row of its
// sequence.
template <typename Element>
class TileProducts {
 public:
  TileProducts(AttentionState<Element>& state, const AttentionScratch& layout, std::byte* scratch)
      : s_(state),
        steps_(state.key_dim / kTileSteps),
        queries_(scratch + layout.query_tiles),
        rows_(scratch + layout.row_tiles),
        values_(scratch + layout.value_tiles),
        weights_(scratch + layout.weight_tiles) {}

  void Open() {}
  // Queries as left tiles [pairs / 16][steps]; rows beyond the pairs are zero.
  void Begin() {
    for (size_t pair = 0; pair < PaddedPairs(); ++pair) {
      std::byte* out = queries_ + pair / kTileSide * steps_ * kTileBytes + pair % kTileSide * 64;
      for (size_t step = 0; step < steps_; ++step, out += kTileBytes) {
        if (pair >= s_.pairs) {
          __builtin_memset(out, 0, 64);
          continue;
        }
        const float* q = s_.queries + pair * s_.key_dim + step * kTileSteps;
        StoreBf16(out, QuietNans(LoadF32(q)));
        StoreBf16(out + 32, QuietNans(LoadF32(q + kTileSide)));
      }
    }
  }

  void Score() {
    const Range groups = {s_.now.keys.begin / kTileSide,
                          (s_.now.keys.end + kTileSide - 1) / kTileSide};
    if (!s_.prepared) {
      for (size_t group = groups.begin; group < groups.end; ++group) TransposeKeys(group);
    }
    s_.PrefetchKeys(s_.next.keys);
    const size_t column = steps_ * kTileBytes;
    for (size_t pair = 0; pair < s_.pairs; pair += 2 * kTileSide) {
      const Range keys = SeenFrom(pair);
      const size_t end = (keys.end + kTileSide - 1) / kTileSide;
      for (size_t group = keys.begin / kTileSide; group < end; group += 2) {
        MultiplyTiles(LeftFrom(queries_ + pair / kTileSide * column, column, pair),
                      {rows_ + group * column, column, group + 1 < end}, steps_, false,
                      s_.scores + pair * kPartitionKeys + group * kTileSide, kPartitionKeys);
      }
    }
  }

  void Mix() {
    constexpr size_t kMostSteps = kPartitionKeys / kTileSteps;
    const size_t columns = s_.value_dim / kTileSide;
    const Range steps = {s_.now.keys.begin / kTileSteps,
                         (s_.now.keys.end + kTileSteps - 1) / kTileSteps};
    if (!s_.prepared) {
      for (size_t step = steps.begin; step < steps.end; ++step) PairValues(step);
    }
    s_.PrefetchValues(s_.next.keys);
    for (size_t pair = 0; pair < s_.pairs; pair += 2 * kTileSide) {
      const Range keys = SeenFrom(pair);
      if (keys.empty()) continue;
      const size_t first = keys.begin / kTileSteps;
      const size_t count = (keys.end + kTileSteps - 1) / kTileSteps - first;
      const TileOperand left =
          LeftFrom(weights_ + first * kTileBytes, kMostSteps * kTileBytes, pair);
      RoundWeights(pair, left.two ? 2 * kTileSide : kTileSide, {first, first + count});
      for (size_t column = 0; column < columns; column += 2) {
        MultiplyTiles(left,
                      {values_ + (column * kMostSteps + first) * kTileBytes,
                       kMostSteps * kTileBytes, column + 1 < columns},
                      count, true, s_.sums + pair * s_.padded_value_dim + column * kTileSide,
                      s_.padded_value_dim);
      }
    }
  }

 private:
  size_t PaddedPairs() const { return (s_.pairs + kTileSide - 1) / kTileSide * kTileSide; }
  TileOperand LeftFrom(const std::byte* first, size_t stride, size_t pair) const {
    return {first, stride, pair + kTileSide < s_.pairs};
  }

  // Keys of the partition that some of the 32 pairs from `pair` on see; both ends grow with it.
  Range SeenFrom(size_t pair) const {
    const size_t last = Smaller(pair + 2 * kTileSide, s_.pairs) - 1;
    Range keys = s_.seen[pair];
    for (size_t i = pair + 1; i <= last; ++i) {
      if (keys.empty()) keys = s_.seen[i];
      if (!s_.seen[i].empty()) keys.end = s_.seen[i].end;
    }
    return keys.empty() ? Range{0, 0} : keys;
  }

  // Keys 16 * group to 16 * group + 15 as right tiles [steps]: [dim pair][key][2].
  void TransposeKeys(size_t group) {
    std::byte* out = rows_ + group * steps_ * kTileBytes;
    alignas(64) float columns[8][kTileSide];
    for (size_t d = 0; d < s_.key_dim; d += 8) {
      for (size_t lane = 0; lane < kTileSide; lane += kLanes) {
        F32 transposed[8];
        Transpose8(s_.now.k_rows + group * kTileSide + lane, d, transposed);
        for (size_t i = 0; i < 8; ++i) Store(transposed[i], columns[i] + lane);
      }
      for (size_t i = 0; i < 8; i += 2, out += 64) {
        StoreBf16Pairs(out, QuietNans(LoadF32(columns[i])), QuietNans(LoadF32(columns[i + 1])));
      }
    }
  }

  // Values 32 * step to 32 * step + 31 as right tiles [columns][steps]: [key pair][column][2].
  void PairValues(size_t step) {
    for (size_t i = 0; i < kTileSide; ++i) {
      const Element* const* rows = s_.now.v_rows + step * kTileSteps + 2 * i;
      for (size_t d = 0; d < s_.value_dim; d += kTileSide) {
        std::byte* tile =
            values_ + (d / kTileSide * (kPartitionKeys / kTileSteps) + step) * kTileBytes;
        StorePairsOfRows(tile + i * 64, rows[0] + d, rows[1] + d);
      }
    }
  }

  // The weights of some pairs as left tiles [2][steps]; 0 for keys that a pair does not see.
  void RoundWeights(size_t pair, size_t count, Range steps) {
    for (size_t i = 0; i < count; ++i) {
      std::byte* out = weights_ + i / kTileSide * (kPartitionKeys / kTileSteps) * kTileBytes +
                       i % kTileSide * 64;
      const bool is_pair = pair + i < s_.pairs && !s_.seen[pair + i].empty();
      // What is within whole vectors has its weight, if only 0.
      const Range there = is_pair ? s_.WholeVectors(s_.seen[pair + i]) : Range{0, 0};
      const float* weights = s_.scores + (pair + i) * kPartitionKeys;
      for (size_t step = steps.begin; step < steps.end; ++step) {
        for (size_t half = 0; half < 2; ++half) {
          const size_t key = step * kTileSteps + half * kTileSide;
          std::byte* to = out + step * kTileBytes + half * 32;
          if (key >= there.begin && key + kTileSide <= there.end) {
            StoreBf16(to, QuietNans(LoadF32(weights + key)));
            continue;
          }
          alignas(64) float some[kTileSide] = {};
          const Range inside = Intersect(there, {key, key + kTileSide});
          for (size_t k = inside.begin; k < inside.end; ++k) some[k - key] = weights[k];
          StoreBf16(to, QuietNans(LoadF32(some)));
        }
      }
    }
  }

  AttentionState<Element>& s_;
  const size_t steps_;
  std::byte* queries_;
  std::byte* rows_;    // of keys
  std::byte* values_;  // may be where the keys were
  std::byte* weights_;
};

}  // namespace

void PromptAttention(const AttentionArgs& a, size_t begin, size_t end,
                     std::byte* scratch) noexcept {
  const TileSession session;
  RunAttention<TileProducts>(a, begin, end, scratch);
}

void ExpandedPromptAttention(const ExpandedAttentionArgs& a, size_t begin, size_t end,
                             std::byte* scratch) noexcept {
  RunExpanded<TileProducts, TileSession>(a, begin, end, scratch);
}

}  // namespace pelton::cpu::KERNEL_ISA
