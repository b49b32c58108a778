#pragma once

#include "kernels/ops/kv_cache.h"
#include "kernels/ops/op.h"

namespace pelton {

// table[t, i] = cos(positions[t] * frequencies[i]) * magnitude, table[t, half + i] = sin(...) *
// magnitude, i < half. Angles in f64, so that long positions keep their precision. One table
// serves all layers of a step. Unit: a row.
struct RopeTableArgs {
  const int32_t* positions;  // [T]
  const float* frequencies;  // [half], radians per token
  float* table;              // [T, 2 * half]
  size_t tokens;
  size_t half;
  float magnitude;  // 1, or YaRN's attention factor
};
std::span<const OpImpl<RopeTableArgs>> RopeTableImpls();

// Rotary embedding of each head's first 2 * half lanes; the rest of the head is copied.
//   halves:      (x[i], x[i + half]);  interleaved: (x[2i], x[2i + 1])
//   (a, b) -> (a cos - b sin, a sin + b cos)
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
};
std::span<const OpImpl<RopeArgs>> RopeImpls();

// Stores k and v of the step's tokens in the cache of one layer, rounded to its dtype (nearest
// even; finite values beyond f16's range become its largest). Unit: a row.
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
// equal to Rope, Rope, KvWrite bit for bit. Unit: a row.
struct RopeKvWriteArgs {
  RopeArgs q;
  RopeArgs k;
  KvWriteArgs write;  // write.k unused
};
std::span<const OpImpl<RopeKvWriteArgs>> RopeKvWriteImpls();

}  // namespace pelton
