// Compiled once per ISA by pelton_isa_kernels(); include no std containers or algorithms here.
#include "kernels/ops/attention.h"

#include "kernels/cpu/expanded_flow.h"
#include "kernels/cpu/mul_add_block.h"

namespace pelton::cpu::KERNEL_ISA {
namespace {

// The products in vectors: scores by blocks of keys that are transposed first (a lane per key,
// additions in the order of d), the sum of V with a lane per d and additions in the order of the
// keys.
template <typename Element>
class VectorProducts {
 public:
  VectorProducts(AttentionState<Element>& state, const AttentionScratch& layout, std::byte* scratch)
      : s_(state),
        key_block_(reinterpret_cast<float*>(scratch + layout.key_block)),
        value_block_(reinterpret_cast<float*>(scratch + layout.value_block)) {}

  void Open() {
    direct_ = s_.pairs <= kDirectRows && s_.key_dim % kLanes == 0 && s_.key_dim % 8 == 0 &&
              s_.value_dim % kLanes == 0;
    block_rows_ = direct_ ? s_.pairs : kBlockRows;
  }
  void Begin() {}
  void Score() {
    for (size_t block = 0; block < s_.now.keys.end; block += kKeyBlock) {
      if (!direct_) s_.PrefetchKeys(NextOfBlock(block));
      ScoreBlock(Intersect(s_.now.keys, {block, block + kKeyBlock}));
    }
  }
  void Mix() {
    for (size_t block = 0; block < s_.now.keys.end; block += kKeyBlock) {
      if (!direct_) s_.PrefetchValues(NextOfBlock(block));
      MixBlock(Intersect(s_.now.keys, {block, block + kKeyBlock}));
    }
  }

 private:
  Range NextOfBlock(size_t block) const {
    return Intersect(s_.next.keys, {block, block + kKeyBlock});
  }

  void ScoreBlock(Range keys) {
    if (keys.empty()) return;
    const Range whole = s_.WholeVectors(keys);
    if (direct_) {
      for (size_t key = whole.begin; key < whole.end; key += kLanes) {
        PrefetchVector(s_.now.k_rows, key + kLanes);
        DotKeysOfRows(s_.pairs, s_.queries, s_.now.k_rows + key, s_.next.k_rows + key,
                      s_.stored_bytes, s_.key_dim, s_.scores + key, kPartitionKeys);
      }
      return;
    }
    for (size_t key = whole.begin; key < whole.end; key += kLanes) {
      TransposeKeys(s_.now.k_rows + key, s_.key_dim, kKeyBlock, key_block_ + (key - whole.begin));
    }
    for (size_t pair = 0; pair < s_.pairs; pair += kBlockRows) {
      const size_t rows = Smaller(kBlockRows, s_.pairs - pair);
      if (Intersect(keys, {s_.seen[pair].begin, s_.seen[pair + rows - 1].end}).empty()) continue;
      MulAddRows(rows, (whole.end - whole.begin) / kLanes, s_.queries + pair * s_.key_dim,
                 s_.key_dim, DenseRows{key_block_, kKeyBlock}, s_.key_dim, false,
                 s_.scores + pair * kPartitionKeys + whole.begin, kPartitionKeys);
    }
  }

  // Brings the rows of one vector of keys from `key` on near.
  void PrefetchVector(const Element* const* rows, size_t key) const {
    const size_t end = Smaller(key + kLanes, s_.now.keys.end);
    for (; key < end; ++key) {
      const auto* row = reinterpret_cast<const std::byte*>(rows[key]);
      for (size_t i = 0; i < s_.key_dim * sizeof(Element); i += 64) PrefetchNear(row + i);
    }
  }

  // Adds the pairs' weighted sums over `keys`, which value_block_ holds from `first` on, unless
  // they are used where they lie.
  void MixKeys(size_t pair, size_t rows, size_t first, Range keys) {
    if (keys.empty()) return;
    const size_t vectors = (s_.value_dim + kLanes - 1) / kLanes, n = keys.end - keys.begin;
    const float* weights = s_.scores + pair * kPartitionKeys + keys.begin;
    float* sums = s_.sums + pair * s_.padded_value_dim;
    if (direct_) {
      MulAddRows(rows, vectors, weights, kPartitionKeys,
                 ScatteredRows<Element>{s_.now.v_rows + keys.begin, s_.next.v_rows + keys.begin,
                                        s_.stored_bytes, 0},
                 n, true, sums, s_.padded_value_dim);
    } else {
      MulAddRows(
          rows, vectors, weights, kPartitionKeys,
          DenseRows{value_block_ + (keys.begin - first) * s_.padded_value_dim, s_.padded_value_dim},
          n, true, sums, s_.padded_value_dim);
    }
  }

  void CopyValues(Range keys) {
    for (size_t key = keys.begin; key < keys.end; ++key) {
      const Element* v = s_.now.v_rows[key];
      float* out = value_block_ + (key - keys.begin) * s_.padded_value_dim;
      size_t d = 0;
      for (; d + kLanes <= s_.value_dim; d += kLanes) Store(Load(v + d), out + d);
      if (d < s_.value_dim) Store(LoadPartial(v + d, s_.value_dim - d), out + d);
    }
  }

  void MixBlock(Range keys) {
    if (!direct_) CopyValues(keys);
    for (size_t pair = 0; pair < s_.pairs; pair += block_rows_) {
      const size_t rows = Smaller(block_rows_, s_.pairs - pair);
      // Keys that all these pairs see are added together, those before and behind them one pair at
      // a time: a key that a pair may not see is not even multiplied by 0, which would turn an
      // infinity there into a NaN.
      const Range* seen = s_.seen + pair;
      Range common = Intersect(keys, {seen[rows - 1].begin, seen[0].end});
      if (common.empty()) common = {keys.end, keys.end};
      for (size_t i = 0; i < rows && seen[i].begin < common.begin; ++i) {
        MixKeys(pair + i, 1, keys.begin, Intersect(seen[i], {keys.begin, common.begin}));
      }
      MixKeys(pair, rows, keys.begin, common);
      for (size_t i = rows; i > 0 && seen[i - 1].end > common.end; --i) {
        MixKeys(pair + i - 1, 1, keys.begin, Intersect(seen[i - 1], {common.end, keys.end}));
      }
    }
  }

  AttentionState<Element>& s_;
  float* key_block_;     // [key_dim][kKeyBlock]
  float* value_block_;   // [kKeyBlock][padded_value_dim]
  bool direct_ = false;  // so few pairs that keys and values are used where they lie
  size_t block_rows_ = 0;
};

struct NoSession {
  NoSession() {}
};

}  // namespace

void Attention(const AttentionArgs& a, size_t begin, size_t end, std::byte* scratch) noexcept {
  RunAttention<VectorProducts>(a, begin, end, scratch);
}

void ExpandedAttention(const ExpandedAttentionArgs& a, size_t begin, size_t end,
                       std::byte* scratch) noexcept {
  RunExpanded<VectorProducts, NoSession>(a, begin, end, scratch);
}

}  // namespace pelton::cpu::KERNEL_ISA
