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

template <typename Element>
class TileAttention {
 public:
  TileAttention(const AttentionArgs& args, std::byte* scratch)
      : args_(args), dim_(args.cache.head_dim) {
    const AttentionScratch layout = AttentionScratchOf(args);
    padded_dim_ = layout.padded_dim;
    keys_ = reinterpret_cast<const Element**>(scratch + layout.keys);
    values_ = reinterpret_cast<const Element**>(scratch + layout.values);
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
  }

  // Heads [tile.head, tile.head + heads), which share a KV head.
  void Run(const AttentionTile& tile, size_t heads) {
    tile_ = &tile;
    heads_ = heads;
    pairs_ = tile.rows * heads;
    kv_head_ = tile.head / (args_.heads / args_.cache.kv_heads);
    first_position_ =
        static_cast<size_t>(tile.sequence->context - tile.sequence->count) + tile.first_row;
    Begin();
    const Range all = {VisibleTo(0).begin, VisibleTo(pairs_ - 1).end};
    for (size_t origin = all.begin / kPartitionKeys * kPartitionKeys; origin < all.end;
         origin += kPartitionKeys) {
      origin_ = origin;
      partition_ = Shift(Intersect(all, {origin, origin + kPartitionKeys}), origin);
      FindRows();
      for (size_t block = 0; block < partition_.end; block += kKeyBlock) {
        if (block + kKeyBlock > partition_.begin) ScoreBlock(block);
      }
      for (size_t pair = 0; pair < pairs_; ++pair) Softmax(pair);
      for (size_t block = 0; block < partition_.end; block += kKeyBlock) {
        if (block + kKeyBlock > partition_.begin) MixBlock(block);
      }
    }
    for (size_t pair = 0; pair < pairs_; ++pair) Finish(pair);
  }

 private:
  size_t RowOf(size_t pair) const { return pair / heads_; }

  // Positions that the pair's row may see; both ends grow with the pair.
  Range VisibleTo(size_t pair) const {
    const size_t end = first_position_ + RowOf(pair) + 1;
    const auto window = static_cast<size_t>(args_.window);
    return {window == 0 || window >= end ? 0 : end - window, end};
  }
  // The same inside the current partition, counted from its first key.
  Range VisibleInPartition(size_t pair) const {
    const Range in = Intersect(VisibleTo(pair), {origin_, origin_ + kPartitionKeys});
    return in.empty() ? Range{0, 0} : Shift(in, origin_);
  }

  // Where the pair's q or output begins in a row-major [T, H * D] array of the given stride.
  size_t OffsetOf(size_t pair, size_t stride) const {
    const size_t row =
        static_cast<size_t>(tile_->sequence->first_row) + tile_->first_row + RowOf(pair);
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

  // Looks the partition's keys up in the block table.
  void FindRows() {
    const size_t block_tokens = args_.cache.block_tokens;
    for (size_t key = partition_.begin; key < partition_.end;) {
      const size_t position = origin_ + key;
      const auto block = static_cast<size_t>(tile_->sequence->block_table[position / block_tokens]);
      size_t offset = position % block_tokens;
      const auto* k = reinterpret_cast<const Element*>(args_.cache.K(block, args_.layer, kv_head_));
      const auto* v = reinterpret_cast<const Element*>(args_.cache.V(block, args_.layer, kv_head_));
      for (; offset < block_tokens && key < partition_.end; ++offset, ++key) {
        keys_[key] = k + offset * dim_;
        values_[key] = v + offset * dim_;
      }
    }
  }

  // key_block_[d][i] = element d of key block + i, for `groups` vectors of keys; 0 for keys outside
  // the partition.
  void TransposeKeys(size_t block, size_t groups) {
    for (size_t g = 0; g < groups; ++g) {
      const size_t first = block + g * kLanes;
      for (size_t d = 0; d < dim_; d += kLanes) {
        const size_t count = Smaller(kLanes, dim_ - d);
        F32 v[kLanes];
        for (size_t i = 0; i < kLanes; ++i) {
          const size_t key = first + i;
          if (key < partition_.begin || key >= partition_.end) {
            v[i] = Zero();
          } else {
            v[i] = count == kLanes ? Load(keys_[key] + d) : LoadPartial(keys_[key] + d, count);
          }
        }
        Transpose(v);
        float* out = key_block_ + d * kKeyBlock + g * kLanes;
        for (size_t i = 0; i < count; ++i) Store(v[i], out + i * kKeyBlock);
      }
    }
  }

  void ScoreBlock(size_t block) {
    const size_t groups = (Smaller(partition_.end - block, kKeyBlock) + kLanes - 1) / kLanes;
    TransposeKeys(block, groups);
    for (size_t pair = 0; pair < pairs_; pair += kBlockRows) {
      const size_t rows = Smaller(kBlockRows, pairs_ - pair);
      const Range seen = {VisibleTo(pair).begin, VisibleTo(pair + rows - 1).end};
      const size_t first = origin_ + block;
      if (Intersect(seen, {first, first + kKeyBlock}).empty()) continue;
      MulAddRows(rows, groups, queries_ + pair * dim_, dim_, key_block_, kKeyBlock, dim_, false,
                 scores_ + pair * kPartitionKeys + block, kPartitionKeys);
    }
  }

  // Turns the pair's scores of this partition into weights exp(score - maximum) and brings what was
  // summed before to the new maximum.
  void Softmax(size_t pair) {
    const Range seen = VisibleInPartition(pair);
    if (seen.empty()) return;
    float* scores = scores_ + pair * kPartitionKeys;
    const size_t begin = seen.begin / kLanes * kLanes;
    const size_t end = (seen.end + kLanes - 1) / kLanes * kLanes;
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

  // Adds the pairs' weighted sums over the keys `keys` of the block that begins at `block`.
  void MixKeys(size_t pair, size_t rows, size_t block, Range keys) {
    if (keys.empty()) return;
    MulAddRows(rows, (dim_ + kLanes - 1) / kLanes, scores_ + pair * kPartitionKeys + keys.begin,
               kPartitionKeys, value_block_ + (keys.begin - block) * padded_dim_, padded_dim_,
               keys.end - keys.begin, true, sums_ + pair * padded_dim_, padded_dim_);
  }

  void MixBlock(size_t block) {
    const Range keys = Intersect(partition_, {block, block + kKeyBlock});
    for (size_t key = keys.begin; key < keys.end; ++key) {
      const Element* v = values_[key];
      float* out = value_block_ + (key - block) * padded_dim_;
      size_t d = 0;
      for (; d + kLanes <= dim_; d += kLanes) Store(Load(v + d), out + d);
      if (d < dim_) Store(LoadPartial(v + d, dim_ - d), out + d);
    }
    for (size_t pair = 0; pair < pairs_; pair += kBlockRows) {
      const size_t rows = Smaller(kBlockRows, pairs_ - pair);
      // Keys that all these pairs see are added together; a key that a pair may not see is not even
      // multiplied by 0, which would turn an infinity there into a NaN.
      const Range first = Intersect(VisibleInPartition(pair), keys);
      const Range last = Intersect(VisibleInPartition(pair + rows - 1), keys);
      Range common = {last.begin, first.end};
      if (first.empty() || last.empty() || common.empty()) common = {keys.end, keys.end};
      for (size_t i = 0; i < rows; ++i) {
        const Range seen = Intersect(VisibleInPartition(pair + i), keys);
        MixKeys(pair + i, 1, block, {seen.begin, Smaller(seen.end, common.begin)});
      }
      MixKeys(pair, rows, block, common);
      for (size_t i = 0; i < rows; ++i) {
        const Range seen = Intersect(VisibleInPartition(pair + i), keys);
        MixKeys(pair + i, 1, block, {Larger(seen.begin, common.end), seen.end});
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
    const QuantizedRows quantized = {args_.out_quantized, cols};
    const size_t row = OffsetOf(pair, cols) / cols, first = OffsetOf(pair, cols) % cols;
    for (size_t d = 0; d < dim_; d += QuantizedRows::kBlock) {
      const size_t b = (first + d) / QuantizedRows::kBlock;
      QuantizeBlock(sums + d, quantized.Values(row) + first + d, quantized.Scales(row) + b,
                    quantized.Sums(row) + b);
    }
  }

  const AttentionArgs& args_;
  const size_t dim_;
  size_t padded_dim_;

  const Element** keys_;
  const Element** values_;
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
  size_t kv_head_ = 0;
  size_t first_position_ = 0;
  size_t origin_ = 0;         // position of the partition's first key
  Range partition_ = {0, 0};  // its keys that some pair sees, counted from origin_
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
