#pragma once

#include "kernels/ops/kv_cache.h"
#include "kernels/ops/op.h"

namespace pelton {

// Attention over a window of keys and over entries that each stand for `ratio` tokens. A cache for
// it is latent with value_dim == head_dim: one row for a token is key and value whole. What a token
// contributes to entries lies in the lanes of its row of KvCacheView::Index from `first_lane` on:
//   [value, cols][gate, cols]
// cols == dim, or 2 * dim where windows *overlap*: an entry is then made of the last dim lanes of
// its own window's tokens and of the first dim lanes of the window before. The entry, dim lanes, is
// kept by the window's last token, where the last lanes of its value were, which nothing reads any
// more. So what a block holds depends on its tokens and those before alone, a token that is
// computed again writes the same, and no state lies outside of blocks.
// Source: DeepSeek-V4 report, section 2.3, equations 9 to 23.

// Stores value and gate of the step's tokens. Unit: a row.
struct CompressWriteArgs {
  const float* value;  // [T, cols], row stride value_stride
  const float* gate;   // [T, cols], row stride gate_stride
  size_t value_stride;
  size_t gate_stride;
  size_t cols;
  size_t tokens;
  KvCacheView cache;
  size_t layer;
  size_t first_lane;
  const int32_t* slots;  // [T] block * block_tokens + offset
};
std::span<const OpImpl<CompressWriteArgs>> CompressWriteImpls();

// For each row at a position p where p + 1 is a multiple of `ratio` the entry of its window:
//   e[d] = sum_s softmax_s(gate[s, d] + bias[s mod ratio, d]) * value[s, d]
// over the tokens s of its window and, where windows overlap, of the one before, in their order;
//   entry = rope(e * norm / sqrt(mean(e^2) + epsilon))
// whose last 2 * half lanes turn, in adjacent pairs. Sums in f32. Requires: the values and gates of
// all positions up to p are stored. Unit: a row.
struct CompressArgs {
  const float* bias;   // [ratio, cols]
  const float* norm;   // [dim]
  const float* table;  // [T, 2 * half] from RopeTable, of the window's first position
  size_t ratio;
  size_t dim;
  size_t cols;  // dim or 2 * dim
  size_t half;
  float epsilon;
  size_t tokens;
  KvCacheView cache;
  size_t layer;
  size_t first_lane;
  const SequenceSpan* sequences;
  size_t num_sequences;
};
std::span<const OpImpl<CompressArgs>> CompressImpls();
size_t CompressScratchBytes(const CompressArgs& args);

// For the row at position p and head h, D = cache.head_dim: the keys, which are values too, are the
// rows of the positions (p - window, p], then the entries of windows that end at p or before, all
// or those that `entries` names:
//   out[h] = sum_j softmax(scale * q[h] . K[j])[j] * K[j]
// where the softmax has one more score, sinks[h], that no value belongs to. Keys are visited in
// this order, in partitions of kCompressedPartition, so that a row's bits depend on its own q and
// what it sees alone. Requires: D is a multiple of 16. Unit: up to 8 heads of a row.
struct CompressedAttentionArgs {
  const float* q;  // [T, H * D], row stride q_stride
  float* out;      // [T, H * D], row stride out_stride
  size_t q_stride;
  size_t out_stride;
  size_t heads;
  const float* sinks;  // [H]
  float scale;
  size_t window;
  size_t ratio;            // 0: no entries
  size_t entry_lane;       // where entries lie in rows of the cache's Index
  const int32_t* entries;  // [T, top], ascending, then -1; null: all
  size_t top;
  size_t tokens;
  KvCacheView cache;
  size_t layer;
  const SequenceSpan* sequences;
  size_t num_sequences;
};
inline constexpr size_t kCompressedPartition = 256;
inline constexpr size_t kCompressedHeads = 8;
size_t CompressedAttentionUnits(const CompressedAttentionArgs& args);
size_t CompressedAttentionScratchBytes(const CompressedAttentionArgs& args);
std::span<const OpImpl<CompressedAttentionArgs>> CompressedAttentionImpls();

}  // namespace pelton
