#pragma once

#include "kernels/ops/kv_cache.h"
#include "kernels/ops/op.h"

namespace pelton {

// table[t, i] = cos(p * frequencies[i]) * magnitude, table[t, half + i] = sin(...) *
// magnitude, i < half, with p = positions[t] rounded down to a multiple of `multiple`. Angles in
// f64, so that long positions keep their precision. One table serves all layers of a step. Unit: a
// row.
struct RopeTableArgs {
  const int32_t* positions;  // [T]
  const float* frequencies;  // [half], radians per token
  float* table;              // [T, 2 * half]
  size_t tokens;
  size_t half;
  float magnitude;  // 1, or YaRN's attention factor
  int32_t multiple = 1;
};
std::span<const OpImpl<RopeTableArgs>> RopeTableImpls();

// Rotary embedding of each head's 2 * half lanes from first_lane on; the rest is copied.
//   halves:      (x[i], x[i + half]);  interleaved: (x[2i], x[2i + 1])
//   (a, b) -> (a cos - b sin, a sin + b cos);  back: (a cos + b sin, b cos - a sin)
// out may be x (same stride). Unit: a row. Source: Su et al. 2021, RoFormer, eq. 34.
struct RopeArgs {
  const float* x;  // [T, heads * head_dim], row stride x_stride
  float* out;
  const float* table;  // [T, 2 * half] from RopeTable
  size_t x_stride;
  size_t out_stride;
  size_t tokens;
  size_t heads;
  size_t head_dim;
  size_t half;
  bool interleaved;
  size_t first_lane = 0;
  bool back = false;  // needs interleaved
};
std::span<const OpImpl<RopeArgs>> RopeImpls();

// Stores k and v of the step's tokens in the cache of one layer, rounded to its dtype (nearest
// even; finite values beyond f16's range become its largest). A row of a latent cache is the
// token's k, [T, value_dim], and its v, [T, D - value_dim], laid end to end. Unit: a row.
struct KvWriteArgs {
  const float* k;  // [T, G * D], row stride k_stride
  const float* v;  // [T, G * D], row stride v_stride
  size_t k_stride;
  size_t v_stride;
  size_t tokens;
  KvCacheView cache;
  size_t layer;
  const int32_t* slots;  // [T] block * block_tokens + offset
};
std::span<const OpImpl<KvWriteArgs>> KvWriteImpls();

// Rope on q (to q.out) and on k (straight into the cache, k.out unused), and v into the cache;
// equal to Rope, Rope, KvWrite bit for bit. Not for latent caches. Unit: a row.
struct RopeKvWriteArgs {
  RopeArgs q;
  RopeArgs k;
  KvWriteArgs write;  // write.k unused
};
std::span<const OpImpl<RopeKvWriteArgs>> RopeKvWriteImpls();

}  // namespace pelton
