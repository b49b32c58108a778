#pragma once

#include "kernels/ops/kv_cache.h"
#include "kernels/ops/op.h"

namespace pelton {

// The lightning indexer of sparse attention: small keys of its own, cached beside the latent rows,
// say which earlier tokens a token's attention sees. Source: DeepSeek-V3.2 report, section 2.1,
// equations 1 and 2.

// Stores the indexer's keys of the step's tokens in the cache of one layer, rounded to its dtype as
// KvWrite does. Unit: a row.
struct IndexWriteArgs {
  const float* k;  // [T, cache.index_dim], row stride k_stride
  size_t k_stride;
  size_t tokens;
  KvCacheView cache;
  size_t layer;
  const int32_t* slots;  // [T] block * block_tokens + offset
};
std::span<const OpImpl<IndexWriteArgs>> IndexWriteImpls();

// For the row at position p and the cached keys K of its sequence, j <= p:
//   scores[t, j] = sum_h weights[t, h] * max(q[t, h] . K[j], 0)
// and nothing is written behind p. Sums in f32, in the order of the lanes, then of the heads, so
// that the bits depend on q, weights and K[j] alone.
// With a ratio keys are entries (kernels/ops/compressed.h): K[j] is kept by the token at position
// (j + 1) * ratio - 1, for every j whose token is not behind the row.
struct IndexScoresArgs {
  const float* q;        // [T, H * cache.index_dim], row stride q_stride
  const float* weights;  // [T, H], row stride weights_stride
  float* scores;         // [T, scores_stride], at least the largest context
  size_t q_stride;
  size_t weights_stride;
  size_t scores_stride;
  size_t tokens;
  size_t heads;
  KvCacheView cache;
  size_t layer;
  const SequenceSpan* sequences;
  size_t num_sequences;
  size_t ratio = 1;
  size_t first_lane = 0;  // of the key in its row
  size_t dim = 0;         // 0: the whole row, cache.index_dim

  size_t Dim() const { return dim != 0 ? dim : cache.index_dim; }
};
size_t IndexScoresUnits(const IndexScoresArgs& args);
size_t IndexScoresScratchBytes(const IndexScoresArgs& args);
std::span<const OpImpl<IndexScoresArgs>> IndexScoresImpls();

// positions[t] are the `top` positions j <= p of the largest scores[t, j], all if p < top, equal
// ones by lowest position; ascending, then -1. A NaN ranks last. O(context) for each row. With a
// ratio j counts entries: of (p + 1) / ratio. Unit: a row.
struct TopPositionsArgs {
  const float* scores;  // [T, scores_stride]
  int32_t* positions;   // [T, top]
  size_t scores_stride;
  size_t tokens;
  size_t top;
  const SequenceSpan* sequences;
  size_t num_sequences;
  size_t ratio = 1;
};
std::span<const OpImpl<TopPositionsArgs>> TopPositionsImpls();

// In place: attention scores [T, H, stride] of positions that are not among a row's become minus
// infinity; only [0, context) of a row is written. For graphs that are run unfused. Unit: a (row,
// head) pair.
struct KeepPositionsArgs {
  float* scores;
  size_t scores_stride;  // per (t, h)
  size_t heads;
  const int32_t* positions;  // [T, top] from TopPositions
  size_t top;
  const SequenceSpan* sequences;
  size_t num_sequences;
};
std::span<const OpImpl<KeepPositionsArgs>> KeepPositionsImpls();

}  // namespace pelton
