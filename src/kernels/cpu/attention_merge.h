#pragma once

#include "kernels/cpu/simd/functions.h"

// Compiled once per ISA; no std containers or algorithms here.
namespace pelton::cpu::KERNEL_ISA {

// What softmax and sum of a pair have come to over some keys. Weights are exp(score - maximum).
struct PairState {
  float* sums;     // [padded_value_dim], weighted values
  float* maximum;  // largest score
  float* total;    // sum of the weights
};
// The state that lies at `floats`, of AttentionStateFloats.
inline PairState StateAt(float* floats, size_t padded_value_dim) {
  return {floats, floats + padded_value_dim, floats + padded_value_dim + 1};
}

inline void CopyState(const PairState& from, const PairState& to, size_t padded_value_dim) {
  __builtin_memcpy(to.sums, from.sums, padded_value_dim * sizeof(float));
  *to.maximum = *from.maximum;
  *to.total = *from.total;
}

// The state over the keys of `before` and then those of `after`; `out` may be either. The only way
// in which parts are put together. Source: Dao et al. 2023, Flash-Decoding.
inline void MergeStates(const PairState& before, const PairState& after, const PairState& out,
                        size_t padded_value_dim) {
  const float maximum = *before.maximum > *after.maximum ? *before.maximum : *after.maximum;
  // Both may be -inf; then every weight is 0, not NaN.
  const F32 subtrahend = Broadcast(maximum == -__builtin_inff() ? 0.0f : maximum);
  const F32 old_factor = Exp(Sub(Broadcast(*before.maximum), subtrahend));
  const F32 new_factor = Exp(Sub(Broadcast(*after.maximum), subtrahend));
  for (size_t d = 0; d < padded_value_dim; d += F32::kLanes) {
    const F32 old_sums = Mul(Load(before.sums + d), old_factor);
    Store(MulAdd(Load(after.sums + d), new_factor, old_sums), out.sums + d);
  }
  const float old_total = *before.total * FirstLane(old_factor);
  *out.total = old_total + *after.total * FirstLane(new_factor);
  *out.maximum = maximum;
}

}  // namespace pelton::cpu::KERNEL_ISA
