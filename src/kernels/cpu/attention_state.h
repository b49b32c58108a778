#pragma once

#include "kernels/cpu/attention_tiles.h"
#include "kernels/cpu/row_output.h"
#include "kernels/ops/attention.h"

// Compiled once per ISA; no std containers or algorithms here.
namespace pelton::cpu::KERNEL_ISA {

inline constexpr size_t kLanes = F32::kLanes;
inline constexpr float kMinusInfinity = -__builtin_inff();

inline size_t Smaller(size_t a, size_t b) { return a < b ? a : b; }
inline size_t Larger(size_t a, size_t b) { return a > b ? a : b; }

inline Range Intersect(Range a, Range b) {
  return {Larger(a.begin, b.begin), Smaller(a.end, b.end)};
}
inline Range Shift(Range a, size_t origin) { return {a.begin - origin, a.end - origin}; }

// Whether rows of the cache become rows of Element before they are used: those of KvDType::kFp8,
// which hold no bf16 but where rotary lanes lie.
template <typename Element>
inline constexpr bool kIsDecoded = false;
template <>
inline constexpr bool kIsDecoded<Bf16> = true;

// Up to kPartitionKeys keys and values of one KV head.
template <typename Element>
struct Partition {
  size_t origin;           // position of its first key, a multiple of kPartitionKeys
  Range keys;              // those that some pair of the tile sees, counted from origin
  const Element** k_rows;  // [kPartitionKeys]; to be decoded, of the next partition: as stored
  const Element** v_rows;  // [kPartitionKeys]; k_rows where values are in keys
};

// What a tile's flow and its products share. A unit's rows and heads are *pairs*, ordered by row,
// then head.
template <typename Element>
struct AttentionState {
  AttentionState(const AttentionArgs& a, const AttentionScratch& layout, std::byte* scratch)
      : args(a),
        key_dim(a.cache.head_dim),
        value_dim(a.cache.ValueDim()),
        padded_value_dim(layout.padded_value_dim),
        stored_bytes(kIsDecoded<Element> ? a.cache.RowBytes() : key_dim * sizeof(Element)) {
    const auto k_rows = reinterpret_cast<const Element**>(scratch + layout.keys);
    const auto v_rows =
        a.ValuesAreInKeys() ? k_rows : reinterpret_cast<const Element**>(scratch + layout.values);
    now = {0, {0, 0}, k_rows, v_rows};
    next = {0, {0, 0}, k_rows + kPartitionKeys, v_rows + kPartitionKeys};
    seen = reinterpret_cast<Range*>(scratch + layout.seen);
    queries = reinterpret_cast<float*>(scratch + layout.queries);
    scores = reinterpret_cast<float*>(scratch + layout.scores);
    sums = reinterpret_cast<float*>(scratch + layout.sums);
  }

  static Range WholeVectors(Range range) {
    return {range.begin / kLanes * kLanes, (range.end + kLanes - 1) / kLanes * kLanes};
  }
  // Long contexts are read from memory once per step: while one partition is worked on, the next
  // is on its way. Where values are parts of keys, they come with them.
  void PrefetchKeys(Range keys) const { PrefetchRows(next.k_rows, keys); }
  void PrefetchValues(Range keys) const {
    if (!args.ValuesAreInKeys()) PrefetchRows(next.v_rows, keys);
  }

  const AttentionArgs& args;
  const size_t key_dim;
  const size_t value_dim;
  const size_t padded_value_dim;
  const size_t stored_bytes;  // of a key in the cache, or a value
  size_t pairs = 0;           // of the tile
  Range* seen;                // [pairs] keys of the partition
  float* queries;             // [pairs][key_dim], scaled
  float* scores;              // [pairs][kPartitionKeys], then weights
  float* sums;                // [pairs][padded_value_dim] of weighted values, of a part of the keys
  Partition<Element> now;
  Partition<Element> next;
  // Another tile met this partition before and left in the scratch memory what Products makes of
  // keys and values.
  bool prepared = false;

 private:
  // Both are key_dim long wherever values are not in keys, but for those that the caller made.
  void PrefetchRows(const Element* const* rows, Range keys) const {
    for (size_t key = keys.begin; key < keys.end; ++key) {
      const auto* row = reinterpret_cast<const std::byte*>(rows[key]);
      for (size_t i = 0; i < stored_bytes; i += 64) PrefetchFar(row + i);
    }
  }
};

}  // namespace pelton::cpu::KERNEL_ISA
