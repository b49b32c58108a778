#pragma once

#include "kernels/cpu/attention_merge.h"
#include "kernels/cpu/attention_split.h"
#include "kernels/cpu/attention_state.h"
#include "kernels/cpu/fp8_row.h"

// Compiled once per ISA; no std containers or algorithms here.
namespace pelton::cpu::KERNEL_ISA {

// The flow of attention over one tile. For each partition of keys: scores = q . K, softmax over the
// partition with the running maximum of its part, then the weighted sum of V; between parts, the
// merge. One row and many take the same steps. Products<Element> has, beside a constructor of the
// same kind as the state,
//   Open()   s.pairs is known
//   Begin()  s.queries is there; what it makes of them lies in the scratch memory
//   Score()  s.scores of the keys of s.now that each pair sees, by whole vectors
//   Mix()    adds s.scores, which are weights now, times the values of s.now to s.sums
template <typename Element, template <typename> class Products>
class TileAttention {
 public:
  TileAttention(const AttentionArgs& args, const AttentionScratch& layout, std::byte* scratch)
      : s_(args, layout, scratch), products_(s_, layout, scratch) {
    __builtin_memset(scratch + layout.zeros, 0, kRowHeader<Element> * sizeof(Element));
    if constexpr (kIsDecoded<Element>) {
      decoded_ = reinterpret_cast<Element*>(scratch + layout.decoded);
    }
    zeros_ = reinterpret_cast<Element*>(scratch + layout.zeros) + kRowHeader<Element>;
    maxima_ = reinterpret_cast<float*>(scratch + layout.maxima);
    totals_ = reinterpret_cast<float*>(scratch + layout.totals);
    merged_ = reinterpret_cast<float*>(scratch + layout.merged);
    const size_t longest = Larger(s_.key_dim, s_.padded_value_dim);
    for (size_t d = 0; d < longest; ++d) zeros_[d] = Element{};
  }

  // Heads [tile.head, tile.head + heads), which share a KV head.
  void Run(const AttentionTile& tile, size_t heads) {
    Open(tile, heads);
    Begin();
    Attend({VisibleTo(0).begin, VisibleTo(tile.rows - 1).end});
    Finish();
  }

  // Some parts of a bundle that is cut; `states` are those of the call. The bundle's first parts
  // are merged as in Run, of others each leaves its own states.
  void RunParts(const AttentionBundle& bundle, Range parts, float* states) {
    Open(bundle.tile, bundle.heads);
    Begin();
    const bool merges = parts.begin == bundle.parts.begin;
    float* const first = StoredAt(states, bundle.StateOf(parts.begin)).sums;
    part_states_ = merges ? nullptr : first;
    Attend(Intersect({VisibleTo(0).begin, VisibleTo(bundle.tile.rows - 1).end},
                     {parts.begin * kPartKeys, parts.end * kPartKeys}));
    if (merges) {
      MergeLast(parts.end * kPartKeys);
      part_states_ = first;
    }
    StorePart();
    part_states_ = nullptr;
  }

  // Makes the results of some pairs of a bundle whose parts were run.
  void MergeParts(const AttentionBundle& bundle, Range pairs, float* states) {
    Open(bundle.tile, bundle.heads);
    for (size_t pair = pairs.begin; pair < pairs.end; ++pair) {
      const Range visible = VisibleTo(pair / heads_);
      const size_t last = bundle.StateOf((visible.end - 1) / kPartKeys);
      size_t at = bundle.StateOf(visible.begin / kPartKeys);
      CopyState(StoredAt(states, at + pair), StateOf(pair), s_.padded_value_dim);
      while (at != last) {
        at += s_.pairs;
        MergeStates(StateOf(pair), StoredAt(states, at + pair), StateOf(pair), s_.padded_value_dim);
      }
      FinishPair(pair);
    }
  }

  // The steps of Run for a caller that brings keys and values itself and has more tiles meet a
  // partition before it makes the next: Open, then Begin once, Visit for each partition in order,
  // and Finish. Between them the tile may be opened anew, over the same scratch memory.
  void Open(const AttentionTile& tile, size_t heads) {
    tile_ = &tile;
    heads_ = heads;
    s_.pairs = tile.rows * heads;
    kv_head_ = tile.head / (s_.args.heads / s_.args.cache.kv_heads);
    products_.Open();
  }
  void Begin() {
    const AttentionArgs& a = s_.args;
    const size_t q_dim = a.QueryDim(), rest = s_.key_dim - q_dim;
    for (size_t pair = 0; pair < s_.pairs; ++pair) {
      float* query = s_.queries + pair * s_.key_dim;
      WriteScaled(a.q + OffsetOf(pair, a.q_stride, q_dim), q_dim, query);
      if (rest != 0) {
        WriteScaled(a.q_rope + OffsetOf(pair, a.q_rope_stride, rest), rest, query + q_dim);
      }
      Reset(pair, true);
    }
    products_.Begin();
  }
  // `prepared`: another tile visited the same partition before.
  void Visit(const Partition<Element>& partition, bool prepared) {
    s_.now = partition;
    s_.next = {partition.origin, {0, 0}, partition.k_rows, partition.v_rows};
    s_.prepared = prepared;
    RunPartition();
  }
  void Finish() {
    MergeLast(VisibleTo(tile_->rows - 1).end);
    for (size_t pair = 0; pair < s_.pairs; ++pair) FinishPair(pair);
  }

 private:
  Range VisibleTo(size_t row) const { return VisibleKeys(s_.args, *tile_, row); }

  void Attend(Range all) {
    all_ = all;
    FindRows(all_.begin / kPartitionKeys * kPartitionKeys, s_.next);
    s_.PrefetchValues(s_.next.keys);
    while (!s_.next.keys.empty()) {
      const Partition<Element> free = s_.now;
      s_.now = s_.next;
      s_.next = free;
      FindRows(s_.now.origin + kPartitionKeys, s_.next);
      if constexpr (kIsDecoded<Element>) DecodeRows();
      RunPartition();
    }
  }

  PairState StateOf(size_t pair) const {
    return {s_.sums + pair * s_.padded_value_dim, maxima_ + pair, totals_ + pair};
  }
  PairState StoredAt(float* states, size_t number) const {
    return StateAt(states + number * AttentionStateFloats(s_.padded_value_dim),
                   s_.padded_value_dim);
  }

  // A pair has seen nothing, or nothing of this part. A sink is a score that comes before all
  // others and has no value.
  void Reset(size_t pair, bool is_first) {
    const PairState state = StateOf(pair);
    for (size_t d = 0; d < s_.padded_value_dim; d += kLanes) Store(Zero(), state.sums + d);
    const bool sink = is_first && s_.args.sinks != nullptr;
    *state.maximum = sink ? s_.args.sinks[tile_->head + pair % heads_] : kMinusInfinity;
    *state.total = sink ? 1.0f : 0.0f;
  }

  // Where the partition begins a part: takes away what the pairs have of the part before. What has
  // no other part stays where it is.
  void BeginPart() {
    const size_t origin = s_.now.origin;
    if (part_states_ != nullptr) {
      if (origin != all_.begin) StorePart();
      for (size_t pair = 0; pair < s_.pairs; ++pair) {
        Reset(pair, VisibleTo(pair / heads_).begin >= origin);
      }
      return;
    }
    for (size_t pair = 0; pair < s_.pairs; ++pair) {
      const Range visible = VisibleTo(pair / heads_);
      if (visible.begin >= origin || visible.end <= origin) continue;
      const PairState merged = StoredAt(merged_, pair);
      if (visible.begin / kPartKeys + 1 == origin / kPartKeys) {
        CopyState(StateOf(pair), merged, s_.padded_value_dim);
      } else {
        MergeStates(merged, StateOf(pair), merged, s_.padded_value_dim);
      }
      Reset(pair, false);
    }
  }
  // Merges the pairs' last parts before `end`.
  void MergeLast(size_t end) {
    for (size_t pair = 0; pair < s_.pairs; ++pair) {
      const Range visible = Intersect(VisibleTo(pair / heads_), {0, end});
      if (visible.empty() || (visible.end - 1) / kPartKeys == visible.begin / kPartKeys) continue;
      MergeStates(StoredAt(merged_, pair), StateOf(pair), StateOf(pair), s_.padded_value_dim);
    }
  }
  void StorePart() {
    for (size_t pair = 0; pair < s_.pairs; ++pair) {
      CopyState(StateOf(pair), StoredAt(part_states_, pair), s_.padded_value_dim);
    }
    part_states_ = StoredAt(part_states_, s_.pairs).sums;
  }

  // Where the pair's part, `dim` elements, begins in a row-major [T, H * dim] array of the given
  // stride.
  size_t OffsetOf(size_t pair, size_t stride, size_t dim) const {
    const size_t row =
        static_cast<size_t>(tile_->sequence->first_row) + tile_->first_row + pair / heads_;
    return row * stride + (tile_->head + pair % heads_) * dim;
  }

  void WriteScaled(const float* q, size_t dim, float* out) const {
    const F32 scale = Broadcast(s_.args.scale);
    WriteRow([&](size_t d, auto load) { return Mul(load(q + d), scale); }, dim, out,
             QuantizedRows{nullptr, dim}, 0);
  }

  // Finds the rows of the keys of the partition at `origin`.
  void FindRows(size_t origin, Partition<Element>& partition) {
    const Range positions = Intersect(all_, {origin, origin + kPartitionKeys});
    partition.origin = origin;
    partition.keys = positions.empty() ? Range{0, 0} : Shift(positions, origin);
    if (s_.args.rows.k != nullptr) {
      FindStepRows(partition);
    } else if (s_.args.positions != nullptr) {
      FindListedRows(partition);
    } else {
      FindCacheRows(partition);
    }
    // Whole vectors of keys are transposed, and whole partitions looked ahead to.
    for (size_t key = 0; key < partition.keys.begin; ++key) SetZeros(partition, key);
    for (size_t key = partition.keys.end; key < kPartitionKeys; ++key) SetZeros(partition, key);
  }

  void FindStepRows(Partition<Element>& partition) const {
    const StepRows& rows = s_.args.rows;
    const size_t first = static_cast<size_t>(tile_->sequence->first_row) + partition.origin;
    for (size_t key = partition.keys.begin; key < partition.keys.end; ++key) {
      partition.k_rows[key] = reinterpret_cast<const Element*>(
          rows.k + (first + key) * rows.k_stride + kv_head_ * s_.key_dim);
      partition.v_rows[key] = reinterpret_cast<const Element*>(
          rows.v + (first + key) * rows.v_stride + kv_head_ * s_.value_dim);
    }
  }

  // Looks them up in the block table.
  void FindCacheRows(Partition<Element>& partition) const {
    const size_t origin = partition.origin;
    const size_t block_tokens = s_.args.cache.block_tokens;
    const size_t stride = s_.args.cache.RowBytes() / sizeof(Element);
    for (size_t key = partition.keys.begin; key < partition.keys.end;) {
      const size_t position = origin + key;
      const auto block = static_cast<size_t>(tile_->sequence->block_table[position / block_tokens]);
      size_t offset = position % block_tokens;
      const auto rows = [](const std::byte* head) {
        return reinterpret_cast<const Element*>(head) + kRowHeader<Element>;
      };
      const Element* k = rows(s_.args.cache.K(block, s_.args.layer, kv_head_));
      const Element* v = rows(s_.args.cache.V(block, s_.args.layer, kv_head_));
      for (; offset < block_tokens && key < partition.keys.end; ++offset, ++key) {
        partition.k_rows[key] = k + offset * stride;
        partition.v_rows[key] = v + offset * stride;
      }
    }
  }
  // The same for places in the list of the tile's only row.
  void FindListedRows(Partition<Element>& partition) const {
    const size_t block_tokens = s_.args.cache.block_tokens;
    const size_t stride = s_.args.cache.RowBytes() / sizeof(Element);
    const size_t row = static_cast<size_t>(tile_->sequence->first_row) + tile_->first_row;
    const int32_t* positions = s_.args.positions + row * s_.args.top + partition.origin;
    for (size_t key = partition.keys.begin; key < partition.keys.end; ++key) {
      const auto position = static_cast<size_t>(positions[key]);
      const auto block = static_cast<size_t>(tile_->sequence->block_table[position / block_tokens]);
      // Keys and values are in one row.
      partition.k_rows[key] =
          reinterpret_cast<const Element*>(s_.args.cache.K(block, s_.args.layer, 0)) +
          position % block_tokens * stride;
    }
  }
  // Of the partition that is worked on; each row once for all pairs, and for scores and values.
  void DecodeRows() {
    for (size_t key = s_.now.keys.begin; key < s_.now.keys.end; ++key) {
      Element* row = decoded_ + key * s_.key_dim;
      DecodeFp8Row(s_.args.cache, reinterpret_cast<const std::byte*>(s_.now.k_rows[key]), row);
      s_.now.k_rows[key] = row;
    }
  }
  void SetZeros(Partition<Element>& partition, size_t key) const {
    partition.k_rows[key] = zeros_;
    partition.v_rows[key] = zeros_;
  }

  void RunPartition() {
    if (s_.now.origin % kPartKeys == 0) BeginPart();
    for (size_t row = 0; row < tile_->rows; ++row) {
      const Range visible = VisibleTo(row);
      const auto inside = [this](size_t position) {
        return Smaller(Larger(position, s_.now.origin) - s_.now.origin, kPartitionKeys);
      };
      const Range seen = {inside(visible.begin), inside(visible.end)};
      for (size_t h = 0; h < heads_; ++h) s_.seen[row * heads_ + h] = seen;
    }
    products_.Score();
    if constexpr (kRowHeader<Element> != 0) ScaleScores(s_.now.k_rows);
    for (size_t pair = 0; pair < s_.pairs; ++pair) Softmax(pair);
    if constexpr (kRowHeader<Element> != 0) ScaleScores(s_.now.v_rows);
    products_.Mix();
  }

  // Products were of codes, and will be: brings in the scales of the rows' keys, or values.
  void ScaleScores(const Element* const* rows) {
    alignas(64) float scales[kPartitionKeys];
    const auto [first, last] = s_.WholeVectors(s_.now.keys);
    for (size_t key = first; key < last; ++key) scales[key] = RowScale(rows[key]);
    for (size_t pair = 0; pair < s_.pairs; ++pair) {
      if (s_.seen[pair].empty()) continue;
      float* scores = s_.scores + pair * kPartitionKeys;
      const auto [begin, end] = s_.WholeVectors(s_.seen[pair]);
      for (size_t i = begin; i < end; i += kLanes) {
        Store(Mul(Load(scores + i), Load(scales + i)), scores + i);
      }
    }
  }

  // Turns the pair's scores of this partition into weights exp(score - maximum) and brings what was
  // summed before to the new maximum.
  void Softmax(size_t pair) {
    const Range seen = s_.seen[pair];
    if (seen.empty()) return;
    float* scores = s_.scores + pair * kPartitionKeys;
    const auto [begin, end] = s_.WholeVectors(seen);
    if (s_.args.soft_cap > 0) {
      const F32 cap = Broadcast(s_.args.soft_cap);
      for (size_t i = begin; i < end; i += kLanes) {
        Store(Mul(cap, Tanh(Div(Load(scores + i), cap))), scores + i);
      }
    }
    for (size_t i = begin; i < seen.begin; ++i) scores[i] = kMinusInfinity;
    for (size_t i = seen.end; i < end; ++i) scores[i] = kMinusInfinity;

    F32 largest = Broadcast(maxima_[pair]);
    for (size_t i = begin; i < end; i += kLanes) largest = Max(largest, Load(scores + i));
    const float maximum = MaxLanes(largest);
    // All scores may be -inf; then every weight is 0, not NaN.
    const F32 subtrahend = Broadcast(maximum == kMinusInfinity ? 0.0f : maximum);
    F32 total = Zero();
    for (size_t i = begin; i < end; i += kLanes) {
      const F32 weight = Exp(Sub(Load(scores + i), subtrahend));
      Store(weight, scores + i);
      total = Add(total, weight);
    }
    if (maximum != maxima_[pair]) {
      const F32 factor = Exp(Sub(Broadcast(maxima_[pair]), subtrahend));
      float* sums = s_.sums + pair * s_.padded_value_dim;
      for (size_t d = 0; d < s_.padded_value_dim; d += kLanes)
        Store(Mul(Load(sums + d), factor), sums + d);
      totals_[pair] *= FirstLane(factor);
      maxima_[pair] = maximum;
    }
    totals_[pair] += SumLanes(total);
  }

  // Divides by the sum of the weights and writes the result.
  void FinishPair(size_t pair) {
    const F32 factor = Broadcast(1.0f / totals_[pair]);
    const size_t dim = s_.value_dim, padded_dim = s_.padded_value_dim;
    float* sums = s_.sums + pair * padded_dim;
    for (size_t d = 0; d < padded_dim; d += kLanes) Store(Mul(Load(sums + d), factor), sums + d);
    if (s_.args.out != nullptr) {
      WriteRow([&](size_t d, auto load) { return load(sums + d); }, dim,
               s_.args.out + OffsetOf(pair, s_.args.out_stride, dim), QuantizedRows{nullptr, dim},
               0);
      return;
    }
    const size_t cols = s_.args.heads * dim;
    const QuantizedRows quantized = {s_.args.out_quantized, cols};
    const size_t row = OffsetOf(pair, cols, dim) / cols, first = OffsetOf(pair, cols, dim) % cols;
    for (size_t d = 0; d < dim; d += QuantizedRows::kBlock) {
      QuantizeBlock(sums + d, quantized, row, (first + d) / QuantizedRows::kBlock);
    }
  }

  AttentionState<Element> s_;
  Products<Element> products_;
  Element* zeros_;                // for keys that do not exist
  Element* decoded_ = nullptr;    // [kPartitionKeys][key_dim], where rows are decoded
  float* maxima_;                 // [pairs] largest score so far
  float* totals_;                 // [pairs] sum of weights so far
  float* merged_;                 // states of the pairs: the parts before
  float* part_states_ = nullptr;  // where the next states go, if each part leaves its own

  const AttentionTile* tile_ = nullptr;
  size_t heads_ = 0;
  size_t kv_head_ = 0;
  Range all_ = {0, 0};  // positions that are worked on
};

template <typename Attention>
void RunHeads(Attention& attention, const AttentionArgs& a, size_t begin, size_t end) {
  const size_t group = a.heads / a.cache.kv_heads;
  for (size_t unit = begin; unit < end;) {
    // Units that follow in the same KV head read the same keys and values: they run together.
    const AttentionTile tile = AttentionTileOf(a, unit);
    const size_t fitting = Larger(1, kTilePairs / tile.rows);
    const size_t heads = Smaller(Smaller(end - unit, group - tile.head % group), fitting);
    attention.Run(tile, heads);
    unit += heads;
  }
}

template <typename Attention>
void RunPortions(Attention& attention, const AttentionArgs& a, size_t begin, size_t end) {
  AttentionBundles bundles(a);
  for (AttentionBundle bundle; bundles.Next(bundle);) {
    if (!bundle.IsCut()) {
      if (bundle.first_portion >= begin && bundle.first_portion < end) {
        attention.Run(bundle.tile, bundle.heads);
      }
      continue;
    }
    const size_t last = Smaller(bundle.last_portion + 1, end);
    for (size_t portion = Larger(bundle.first_portion, begin); portion < last; ++portion) {
      const Range parts = bundles.PartsOf(bundle, portion);
      if (!parts.empty()) attention.RunParts(bundle, parts, a.split.states);
    }
  }
}

template <typename Attention>
void MergePortions(Attention& attention, const AttentionArgs& a, size_t begin, size_t end) {
  AttentionBundles bundles(a);
  size_t pairs = 0;  // of cut bundles before
  for (AttentionBundle bundle; pairs < end && bundles.Next(bundle);) {
    if (!bundle.IsCut()) continue;
    const Range here = Intersect({begin, end}, {pairs, pairs + bundle.Pairs()});
    if (!here.empty()) attention.MergeParts(bundle, Shift(here, pairs), a.split.states);
    pairs += bundle.Pairs();
  }
}

template <typename Element, template <typename> class Products>
void RunAttentionUnits(const AttentionArgs& a, size_t begin, size_t end, std::byte* scratch) {
  TileAttention<Element, Products> attention(a, AttentionScratchOf(a), scratch);
  if (a.split.portions == 0) {
    RunHeads(attention, a, begin, end);
  } else if (a.split.merge) {
    MergePortions(attention, a, begin, end);
  } else {
    RunPortions(attention, a, begin, end);
  }
}

template <template <typename> class Products>
void RunAttention(const AttentionArgs& a, size_t begin, size_t end, std::byte* scratch) {
  switch (a.cache.dtype) {
    case KvDType::kF32:
      return RunAttentionUnits<float, Products>(a, begin, end, scratch);
    case KvDType::kF16:
      return RunAttentionUnits<F16, Products>(a, begin, end, scratch);
    case KvDType::kQ8:
      return RunAttentionUnits<Code8, Products>(a, begin, end, scratch);
    case KvDType::kFp8:
      return RunAttentionUnits<Bf16, Products>(a, begin, end, scratch);
  }
}

}  // namespace pelton::cpu::KERNEL_ISA
