// Compiled once per ISA by pelton_isa_kernels(); include no std containers or algorithms here.
//
// A unit's rows and heads are *pairs*, ordered by row, then head. For each partition of keys:
// scores = q . K by blocks of keys that are transposed first (a lane per key, additions in the
// order of d), softmax over the partition with the running maximum, then the weighted sum of V (a
// lane per d, additions in the order of the keys). One row and many take the same steps.
#include "kernels/ops/attention.h"

#include "kernels/cpu/attention_tiles.h"
#include "kernels/cpu/mul_add_block.h"
#include "kernels/cpu/row_output.h"

namespace pelton::cpu::KERNEL_ISA {
namespace {

constexpr size_t kLanes = F32::kLanes;
constexpr float kMinusInfinity = -__builtin_inff();

size_t Smaller(size_t a, size_t b) { return a < b ? a : b; }
size_t Larger(size_t a, size_t b) { return a > b ? a : b; }

// Positions [begin, end); empty if end <= begin.
struct Range {
  size_t begin;
  size_t end;
  bool empty() const { return end <= begin; }
};
Range Intersect(Range a, Range b) { return {Larger(a.begin, b.begin), Smaller(a.end, b.end)}; }
Range Shift(Range a, size_t origin) { return {a.begin - origin, a.end - origin}; }

// Up to kPartitionKeys keys and values of one KV head.
template <typename Element>
struct Partition {
  size_t origin;           // position of its first key, a multiple of kPartitionKeys
  Range keys;              // those that some pair of the tile sees, counted from origin
  const Element** k_rows;  // [kPartitionKeys]
  const Element** v_rows;  // [kPartitionKeys]
};

template <typename Element>
class TileAttention {
 public:
  TileAttention(const AttentionArgs& args, std::byte* scratch)
      : args_(args), dim_(args.cache.head_dim) {
    const AttentionScratch layout = AttentionScratchOf(args);
    padded_dim_ = layout.padded_dim;
    const auto k_rows = reinterpret_cast<const Element**>(scratch + layout.keys);
    const auto v_rows = reinterpret_cast<const Element**>(scratch + layout.values);
    now_ = {0, {0, 0}, k_rows, v_rows};
    next_ = {0, {0, 0}, k_rows + kPartitionKeys, v_rows + kPartitionKeys};
    zeros_ = reinterpret_cast<Element*>(scratch + layout.zeros);
    seen_ = reinterpret_cast<Range*>(scratch + layout.seen);
    const auto floats = [scratch](size_t offset) {
      return reinterpret_cast<float*>(scratch + offset);
    };
    queries_ = floats(layout.queries);
    key_block_ = floats(layout.key_block);
    value_block_ = floats(layout.value_block);
    scores_ = floats(layout.scores);
    sums_ = floats(layout.sums);
    maxima_ = floats(layout.maxima);
    totals_ = floats(layout.totals);
    for (size_t d = 0; d < dim_; ++d) zeros_[d] = Element{};
  }

  // Heads [tile.head, tile.head + heads), which share a KV head.
  void Run(const AttentionTile& tile, size_t heads) {
    tile_ = &tile;
    heads_ = heads;
    pairs_ = tile.rows * heads;
    direct_ = pairs_ <= kDirectRows && dim_ % kLanes == 0 && dim_ % 8 == 0;
    block_rows_ = direct_ ? pairs_ : kBlockRows;
    kv_head_ = tile.head / (args_.heads / args_.cache.kv_heads);
    first_position_ =
        static_cast<size_t>(tile.sequence->context - tile.sequence->count) + tile.first_row;
    Begin();
    all_ = {VisibleTo(0).begin, VisibleTo(tile.rows - 1).end};
    FindRows(all_.begin / kPartitionKeys * kPartitionKeys, next_);
    PrefetchRows(next_.v_rows, next_.keys);
    while (!next_.keys.empty()) {
      const Partition<Element> free = now_;
      now_ = next_;
      next_ = free;
      FindRows(now_.origin + kPartitionKeys, next_);
      RunPartition();
    }
    for (size_t pair = 0; pair < pairs_; ++pair) Finish(pair);
  }

 private:
  // Positions that a row may see; both ends grow with the row.
  Range VisibleTo(size_t row) const {
    if (!args_.causal) return {0, static_cast<size_t>(tile_->sequence->context)};
    const size_t end = first_position_ + row + 1;
    const auto window = static_cast<size_t>(args_.window);
    return {window == 0 || window >= end ? 0 : end - window, end};
  }

  // Where the pair's q or output begins in a row-major [T, H * D] array of the given stride.
  size_t OffsetOf(size_t pair, size_t stride) const {
    const size_t row =
        static_cast<size_t>(tile_->sequence->first_row) + tile_->first_row + pair / heads_;
    return row * stride + (tile_->head + pair % heads_) * dim_;
  }

  void Begin() {
    const F32 scale = Broadcast(args_.scale);
    for (size_t pair = 0; pair < pairs_; ++pair) {
      const float* q = args_.q + OffsetOf(pair, args_.q_stride);
      WriteRow([&](size_t d, auto load) { return Mul(load(q + d), scale); }, dim_,
               queries_ + pair * dim_, QuantizedRows{nullptr, dim_}, 0);
      float* sums = sums_ + pair * padded_dim_;
      for (size_t d = 0; d < padded_dim_; d += kLanes) Store(Zero(), sums + d);
      maxima_[pair] = kMinusInfinity;
      totals_[pair] = 0;
    }
  }

  // Finds the rows of the keys of the partition at `origin`.
  void FindRows(size_t origin, Partition<Element>& partition) {
    const Range positions = Intersect(all_, {origin, origin + kPartitionKeys});
    partition.origin = origin;
    partition.keys = positions.empty() ? Range{0, 0} : Shift(positions, origin);
    if (args_.rows.k != nullptr) {
      FindStepRows(partition);
    } else {
      FindCacheRows(partition);
    }
    // Whole vectors of keys are transposed, and whole partitions looked ahead to.
    for (size_t key = 0; key < partition.keys.begin; ++key) SetZeros(partition, key);
    for (size_t key = partition.keys.end; key < kPartitionKeys; ++key) SetZeros(partition, key);
  }

  void FindStepRows(Partition<Element>& partition) const {
    const StepRows& rows = args_.rows;
    const size_t first = static_cast<size_t>(tile_->sequence->first_row) + partition.origin;
    for (size_t key = partition.keys.begin; key < partition.keys.end; ++key) {
      partition.k_rows[key] = reinterpret_cast<const Element*>(
          rows.k + (first + key) * rows.k_stride + kv_head_ * dim_);
      partition.v_rows[key] = reinterpret_cast<const Element*>(
          rows.v + (first + key) * rows.v_stride + kv_head_ * dim_);
    }
  }

  // Looks them up in the block table.
  void FindCacheRows(Partition<Element>& partition) const {
    const size_t origin = partition.origin;
    const size_t block_tokens = args_.cache.block_tokens;
    for (size_t key = partition.keys.begin; key < partition.keys.end;) {
      const size_t position = origin + key;
      const auto block = static_cast<size_t>(tile_->sequence->block_table[position / block_tokens]);
      size_t offset = position % block_tokens;
      const auto* k = reinterpret_cast<const Element*>(args_.cache.K(block, args_.layer, kv_head_));
      const auto* v = reinterpret_cast<const Element*>(args_.cache.V(block, args_.layer, kv_head_));
      for (; offset < block_tokens && key < partition.keys.end; ++offset, ++key) {
        partition.k_rows[key] = k + offset * dim_;
        partition.v_rows[key] = v + offset * dim_;
      }
    }
  }
  void SetZeros(Partition<Element>& partition, size_t key) const {
    partition.k_rows[key] = zeros_;
    partition.v_rows[key] = zeros_;
  }

  static Range WholeVectors(Range range) {
    return {range.begin / kLanes * kLanes, (range.end + kLanes - 1) / kLanes * kLanes};
  }

  // Long contexts are read from memory once per step: while one partition is worked on, the next
  // is on its way.
  void PrefetchRows(const Element* const* rows, Range keys) const {
    for (size_t key = keys.begin; key < keys.end; ++key) {
      const auto* row = reinterpret_cast<const std::byte*>(rows[key]);
      for (size_t i = 0; i < dim_ * sizeof(Element); i += 64) PrefetchFar(row + i);
    }
  }

  void RunPartition() {
    for (size_t row = 0; row < tile_->rows; ++row) {
      const Range visible = VisibleTo(row);
      const auto inside = [this](size_t position) {
        return Smaller(Larger(position, now_.origin) - now_.origin, kPartitionKeys);
      };
      const Range seen = {inside(visible.begin), inside(visible.end)};
      for (size_t h = 0; h < heads_; ++h) seen_[row * heads_ + h] = seen;
    }
    for (size_t block = 0; block < now_.keys.end; block += kKeyBlock) {
      if (!direct_) PrefetchRows(next_.k_rows, Intersect(next_.keys, {block, block + kKeyBlock}));
      ScoreBlock(Intersect(now_.keys, {block, block + kKeyBlock}));
    }
    for (size_t pair = 0; pair < pairs_; ++pair) Softmax(pair);
    for (size_t block = 0; block < now_.keys.end; block += kKeyBlock) {
      if (!direct_) PrefetchRows(next_.v_rows, Intersect(next_.keys, {block, block + kKeyBlock}));
      MixBlock(Intersect(now_.keys, {block, block + kKeyBlock}));
    }
  }

  // key_block_[d][i] = element d of key first + i, for one vector of keys.
  void TransposeKeys(size_t first, float* out) {
    const Element* const* rows = now_.k_rows + first;
    size_t d = 0;
    for (; d + 8 <= dim_; d += 8) {
      F32 columns[8];
      Transpose8(rows, d, columns);
      for (size_t i = 0; i < 8; ++i) Store(columns[i], out + (d + i) * kKeyBlock);
    }
    if (d == dim_) return;
    for (size_t i = 0; i < kLanes; ++i) {
      for (size_t e = d; e < dim_; ++e) {
        out[e * kKeyBlock + i] = FirstLane(LoadPartial(rows[i] + e, 1));
      }
    }
  }

  void ScoreBlock(Range keys) {
    if (keys.empty()) return;
    const Range whole = WholeVectors(keys);
    if (direct_) {
      for (size_t key = whole.begin; key < whole.end; key += kLanes) {
        PrefetchVector(now_.k_rows, key + kLanes);
        DotKeysOfRows(pairs_, queries_, now_.k_rows + key, next_.k_rows + key, dim_, scores_ + key,
                      kPartitionKeys);
      }
      return;
    }
    for (size_t key = whole.begin; key < whole.end; key += kLanes) {
      TransposeKeys(key, key_block_ + (key - whole.begin));
    }
    for (size_t pair = 0; pair < pairs_; pair += kBlockRows) {
      const size_t rows = Smaller(kBlockRows, pairs_ - pair);
      if (Intersect(keys, {seen_[pair].begin, seen_[pair + rows - 1].end}).empty()) continue;
      MulAddRows(rows, (whole.end - whole.begin) / kLanes, queries_ + pair * dim_, dim_,
                 DenseRows{key_block_, kKeyBlock}, dim_, false,
                 scores_ + pair * kPartitionKeys + whole.begin, kPartitionKeys);
    }
  }

  // Brings the rows of one vector of keys from `key` on near.
  void PrefetchVector(const Element* const* rows, size_t key) const {
    const size_t end = Smaller(key + kLanes, now_.keys.end);
    for (; key < end; ++key) {
      const auto* row = reinterpret_cast<const std::byte*>(rows[key]);
      for (size_t i = 0; i < dim_ * sizeof(Element); i += 64) PrefetchNear(row + i);
    }
  }

  // Turns the pair's scores of this partition into weights exp(score - maximum) and brings what was
  // summed before to the new maximum.
  void Softmax(size_t pair) {
    const Range seen = seen_[pair];
    if (seen.empty()) return;
    float* scores = scores_ + pair * kPartitionKeys;
    const auto [begin, end] = WholeVectors(seen);
    if (args_.soft_cap > 0) {
      const F32 cap = Broadcast(args_.soft_cap);
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
      float* sums = sums_ + pair * padded_dim_;
      for (size_t d = 0; d < padded_dim_; d += kLanes) Store(Mul(Load(sums + d), factor), sums + d);
      totals_[pair] *= FirstLane(factor);
      maxima_[pair] = maximum;
    }
    totals_[pair] += SumLanes(total);
  }

  // Adds the pairs' weighted sums over `keys`, which value_block_ holds from `first` on, unless
  // they are used where they lie.
  void MixKeys(size_t pair, size_t rows, size_t first, Range keys) {
    if (keys.empty()) return;
    const size_t vectors = (dim_ + kLanes - 1) / kLanes, n = keys.end - keys.begin;
    const float* weights = scores_ + pair * kPartitionKeys + keys.begin;
    float* sums = sums_ + pair * padded_dim_;
    if (direct_) {
      MulAddRows(rows, vectors, weights, kPartitionKeys,
                 ScatteredRows<Element>{now_.v_rows + keys.begin, next_.v_rows + keys.begin, 0}, n,
                 true, sums, padded_dim_);
    } else {
      MulAddRows(rows, vectors, weights, kPartitionKeys,
                 DenseRows{value_block_ + (keys.begin - first) * padded_dim_, padded_dim_}, n, true,
                 sums, padded_dim_);
    }
  }

  void CopyValues(Range keys) {
    for (size_t key = keys.begin; key < keys.end; ++key) {
      const Element* v = now_.v_rows[key];
      float* out = value_block_ + (key - keys.begin) * padded_dim_;
      size_t d = 0;
      for (; d + kLanes <= dim_; d += kLanes) Store(Load(v + d), out + d);
      if (d < dim_) Store(LoadPartial(v + d, dim_ - d), out + d);
    }
  }

  void MixBlock(Range keys) {
    if (!direct_) CopyValues(keys);
    for (size_t pair = 0; pair < pairs_; pair += block_rows_) {
      const size_t rows = Smaller(block_rows_, pairs_ - pair);
      // Keys that all these pairs see are added together, those before and behind them one pair at
      // a time: a key that a pair may not see is not even multiplied by 0, which would turn an
      // infinity there into a NaN.
      const Range* seen = seen_ + pair;
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

  // Divides by the sum of the weights and writes the result.
  void Finish(size_t pair) {
    const F32 factor = Broadcast(1.0f / totals_[pair]);
    float* sums = sums_ + pair * padded_dim_;
    for (size_t d = 0; d < padded_dim_; d += kLanes) Store(Mul(Load(sums + d), factor), sums + d);
    if (args_.out != nullptr) {
      WriteRow([&](size_t d, auto load) { return load(sums + d); }, dim_,
               args_.out + OffsetOf(pair, args_.out_stride), QuantizedRows{nullptr, dim_}, 0);
      return;
    }
    const size_t cols = args_.heads * dim_;
    const QuantizedRows quantized = {args_.out_quantized, cols, args_.out_terms};
    const size_t row = OffsetOf(pair, cols) / cols, first = OffsetOf(pair, cols) % cols;
    for (size_t d = 0; d < dim_; d += QuantizedRows::kBlock) {
      QuantizeBlock(sums + d, quantized, row, (first + d) / QuantizedRows::kBlock);
    }
  }

  const AttentionArgs& args_;
  const size_t dim_;
  size_t padded_dim_;

  Element* zeros_;
  Range* seen_;
  float* queries_;
  float* key_block_;
  float* value_block_;
  float* scores_;
  float* sums_;
  float* maxima_;
  float* totals_;

  const AttentionTile* tile_ = nullptr;
  size_t heads_ = 0;
  size_t pairs_ = 0;
  bool direct_ = false;  // so few pairs that keys and values are used where they lie
  size_t block_rows_ = 0;
  size_t kv_head_ = 0;
  size_t first_position_ = 0;
  Range all_ = {0, 0};  // positions that some pair sees
  Partition<Element> now_;
  Partition<Element> next_;
};

template <typename Element>
void RunUnits(const AttentionArgs& a, size_t begin, size_t end, std::byte* scratch) {
  TileAttention<Element> attention(a, scratch);
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

}  // namespace

void Attention(const AttentionArgs& a, size_t begin, size_t end, std::byte* scratch) noexcept {
  switch (a.cache.dtype) {
    case KvDType::kF32:
      return RunUnits<float>(a, begin, end, scratch);
    case KvDType::kF16:
      return RunUnits<F16>(a, begin, end, scratch);
  }
}

}  // namespace pelton::cpu::KERNEL_ISA
