#pragma once

#include "kernels/ops/kv_cache.h"
#include "kernels/ops/matmul.h"
#include "kernels/ops/op.h"

namespace pelton {

// Multi-head latent attention in its expanded form, of new tokens over a latent cache whose rows
// are [c | k_rope]: head h has keys and values of its own,
//   K[j][h] = [W_uk[h] c_j | k_rope_j],  V[j][h] = W_uv[h] c_j
//   s[j] = scale * [q[h] | q_rope[h]] . K[j][h],  j <= p for the row at position p
//   out[h] = sum_j softmax(s)[j] * V[j][h]
// which is what Attention gives for queries W_uk^T q and with W_uv applied to its result. A pair of
// a row and a key takes nope + rope + V products instead of 2 * rank + rope, but a key first takes
// rank * (nope + V) for all rows of a step together. Keys and values live in scratch memory, a
// partition of 256 positions at a time. A row's bits depend on its own q and the cache's content
// alone: as in Attention, partitions begin at fixed positions, and a latent row becomes the same
// key and value whenever that happens. Source: DeepSeek-V2 report, section 2.1.
struct ExpandedAttentionArgs {
  const float* q;       // [T, H * nope], row stride q_stride
  const float* q_rope;  // [T, H * (cache.head_dim - cache.value_dim)], row stride q_rope_stride
  float* out;           // [T, H * V], row stride out_stride
  size_t q_stride;
  size_t q_rope_stride;
  size_t out_stride;
  size_t heads;                // H
  PackedWeights key;           // W_uk of head 0, [nope, rank]; that of head h lies h * key_bytes on
  PackedWeights value;         // W_uv of head 0, [V, rank]; that of head h lies h * value_bytes on
  size_t key_bytes;            // of a head
  size_t value_bytes;          // of a head
  const MatmulImpl* key_impl;  // ExpansionImpl of key
  const MatmulImpl* value_impl;  // and of value
  KvCacheView cache;             // latent, value_dim = rank
  size_t layer;
  const SequenceSpan* sequences;  // [B], as in AttentionArgs
  size_t num_sequences;
  float scale;
  size_t workers = 1;  // that share the units: rows of a head are parted where heads are too few
};

// Units: parts of a head's rows, head by head.
size_t ExpandedAttentionUnits(const ExpandedAttentionArgs& args);
size_t ExpandedAttentionScratchBytes(const ExpandedAttentionArgs& args);
std::span<const OpImpl<ExpandedAttentionArgs>> ExpandedAttentionImpls();

// Where PromptAttentionImpl is faster, the same with its arithmetic; null elsewhere.
const OpImpl<ExpandedAttentionArgs>* ExpandedPromptAttentionImpl(const ExpandedAttentionArgs& args);

// What makes keys or values of latent rows; chosen by what the rows are, not by how many.
const MatmulImpl& ExpansionImpl(const PackedWeights& weights, MatmulRows rows);

}  // namespace pelton
