#pragma once

#include "kernels/ops/kv_cache.h"
#include "kernels/ops/op.h"

namespace pelton {

// Keys and values that are rows of the step itself instead of a paged cache: those of position p of
// a sequence are row first_row + p, [T, G * D] each. Values may have a size of their own then,
// cache.value_dim.
struct StepRows {
  const float* k = nullptr;  // null: they are in the cache
  const float* v = nullptr;
  size_t k_stride = 0;
  size_t v_stride = 0;
};

// Keys in *portions* of about the same work, one for each worker, in the place of units of heads
// where these are too few or too unequal. A portion is some parts of the keys of one KV head and
// tile of rows after another. What lies in several portions is cut: it leaves a *state* for each
// pair of a row and a head, of which a second call, the merge, makes the results.
struct AttentionSplit {
  size_t portions = 0;      // 0: nothing is split
  double work = 0;          // of all portions
  float* states = nullptr;  // AttentionStateBytes, 64-byte aligned; shared by all workers
  bool merge = false;       // the second call, when all units of the first are done
};

// Attention of new tokens over the paged cache or over the step's own rows, grouped heads (H / G
// query heads share one KV head). For the row at position p and head h:
//   s[j] = softcap(scale * q[h] . K[j][h / (H/G)]),  j in (p - window, p], or, where it is not
//                                                    causal, every j of the sequence
//   out[h] = sum_j softmax(s)[j] * V[j][h / (H/G)]
// with softcap(x) = cap * tanh(x / cap) when soft_cap > 0. With sinks, the softmax has one more
// score, sinks[h], whose weight goes to no value (Xiao et al. 2023, Efficient streaming language
// models with attention sinks, as learned in gpt-oss). Scores, softmax and sums in f32. The
// bits of a row depend on its own q and cache content alone: keys are visited in order, in
// partitions and parts that begin at multiples of fixed numbers of positions, whatever the batch,
// the chunk, the number of rows beside it or the split. The softmax of a part goes on from
// partition to partition (Dao 2022, FlashAttention, alg. 1); parts are merged in their order
// (Dao et al. 2023, Flash-Decoding).
// Over a latent cache (multi-head latent attention, absorbed form) q[h] is the q and the q_rope of
// the head laid end to end, and D of `out` is that of values. Source: DeepSeek-V2 report, section
// 2.1.
// With `positions` a row sees these alone, in this order: partitions and parts are then of so many
// of them.
// Where they are all, the bits are the same as without. Source: DeepSeek-V3.2 report, section 2.1.
struct AttentionArgs {
  const float* q;            // [T, H * D], row stride q_stride; D is cache.ValueDim() everywhere
  float* out;                // [T, H * D], row stride out_stride; or null
  std::byte* out_quantized;  // QuantizedRows [T, H * D] when out is null; needs D % 32 == 0
  size_t q_stride;
  size_t out_stride;
  size_t heads;       // H, a multiple of cache.kv_heads
  KvCacheView cache;  // with step rows only dtype (kF32), kv_heads and head_dim count
  size_t layer;
  const SequenceSpan* sequences;  // [B], rows in order and without gaps from 0
  size_t num_sequences;
  float scale;
  float soft_cap;  // 0: none
  int32_t window;  // keys that a row may see, itself included; 0: all
  StepRows rows = {};
  bool causal = true;  // false: every row sees its whole sequence; window is 0
  // [T, H * (cache.head_dim - D)] where the cache is latent, null elsewhere.
  const float* q_rope = nullptr;
  size_t q_rope_stride = 0;
  const float* sinks = nullptr;  // [H] or null
  // [T, top] what TopPositions gives; null: a row sees every j. Of a latent cache, causal, window
  // 0.
  const int32_t* positions = nullptr;
  size_t top = 0;
  // Columns of a head in q; those of q_rope are the rest of a key's. 0: D.
  size_t q_dim = 0;
  AttentionSplit split = {};

  size_t QueryDim() const { return q_dim == 0 ? cache.ValueDim() : q_dim; }
  // Whether a value is the beginning of its key's row.
  bool ValuesAreInKeys() const { return cache.IsLatent() && rows.k == nullptr; }
};

// Units: heads of up to 48 rows of a sequence; portions; or pairs of a row and a head that are
// merged.
size_t AttentionUnits(const AttentionArgs& args);
size_t AttentionScratchBytes(const AttentionArgs& args);
std::span<const OpImpl<AttentionArgs>> AttentionImpls();

// What is faster for the rows of prompts, with an arithmetic of its own: q, K, weights and V are
// rounded to bf16 (8 significant bits), their products summed in f32. A row's bits depend on its
// own q and what it sees, as above; but a key that it does not see counts with weight 0, so that
// an infinity there makes a NaN. Null where there is nothing faster.
const OpImpl<AttentionArgs>* PromptAttentionImpl(const AttentionArgs& args);

// args.split for so many portions, without memory for states. Requires: portions > 0.
AttentionSplit SplitAttention(const AttentionArgs& args, size_t portions);
// Bytes of states that a call with args.split takes.
size_t AttentionStateBytes(const AttentionArgs& args);
// A split for `workers` that each take one of the units, where it gains more than it costs and
// `states` has room for it; no split elsewhere. No allocation.
AttentionSplit ChooseAttentionSplit(const AttentionArgs& args, size_t workers,
                                    std::span<std::byte> states);
// Room that suffices for two rows of a sequence with the largest context in `args`; 0 where nothing
// would be split, or the number does not fit.
size_t AttentionStateRoom(const AttentionArgs& args, size_t workers);

// Plain attention as separate ops, for graphs that are run unfused. Scores are [T, H, stride] with
// stride >= the largest context; only [0, context) of a row is written or read.
struct KvScoresArgs {  // scores[t, h, j] = q[t, h] . K[j]; for every j < context of the sequence
  const float* q;
  size_t q_stride;
  float* scores;
  size_t scores_stride;  // per (t, h)
  size_t heads;
  KvCacheView cache;
  size_t layer;
  const SequenceSpan* sequences;
  size_t num_sequences;
  StepRows rows = {};
  const float* q_rope = nullptr;  // as in AttentionArgs
  size_t q_rope_stride = 0;
};
// In place: masked scores get weight 0, the visible ones sum to 1, or with sinks to 1 less the
// weight of the head's sink, as in AttentionArgs.
struct MaskedSoftmaxArgs {
  float* scores;
  size_t scores_stride;
  size_t heads;
  const SequenceSpan* sequences;
  size_t num_sequences;
  int32_t window;
  bool causal = true;
  const float* sinks = nullptr;  // [H] or null
};
struct KvMixArgs {  // out[t, h] = sum_j weights[t, h, j] * V[j]
  const float* weights;
  size_t weights_stride;
  float* out;
  size_t out_stride;
  size_t heads;
  KvCacheView cache;
  size_t layer;
  const SequenceSpan* sequences;
  size_t num_sequences;
  StepRows rows = {};
};

// Units of the three: (row, head) pairs, T * heads.
std::span<const OpImpl<KvScoresArgs>> KvScoresImpls();
std::span<const OpImpl<MaskedSoftmaxArgs>> MaskedSoftmaxImpls();
std::span<const OpImpl<KvMixArgs>> KvMixImpls();

}  // namespace pelton
