#pragma once

#include "kernels/cpu/attention_flow.h"
#include "kernels/cpu/expanded_tiles.h"
#include "kernels/cpu/fp8_row.h"

// Compiled once per ISA; no std containers or algorithms here.
namespace pelton::cpu::KERNEL_ISA {

// The flow of expanded attention over one unit. For each partition of keys: latent rows become keys
// and values of the head, then every tile of rows attends to them (attention_flow.h).
// `Session` lives while a partition's tiles are at work; matmuls may have one of their own.
template <typename Element, template <typename> class Products, typename Session>
class ExpandedHead {
 public:
  ExpandedHead(const ExpandedAttentionArgs& args, const ExpandedScratch& layout, std::byte* scratch)
      : a_(args),
        layout_(layout),
        scratch_(scratch),
        rank_(args.cache.value_dim),
        rope_(args.cache.head_dim - args.cache.value_dim),
        key_dim_(args.key.rows + rope_),
        value_dim_(args.value.rows),
        latent_(reinterpret_cast<float*>(scratch + layout.latent)),
        keys_(reinterpret_cast<float*>(scratch + layout.keys)),
        values_(reinterpret_cast<float*>(scratch + layout.values)),
        attention_args_(AttentionOverExpanded(args, keys_, values_)) {
    partition_.k_rows = reinterpret_cast<const float**>(scratch + layout.attention.keys);
    partition_.v_rows = reinterpret_cast<const float**>(scratch + layout.attention.values);
  }

  void Run(const ExpandedUnit& unit) {
    const size_t tiles = (unit.rows + kTilePairs - 1) / kTilePairs;
    const size_t first_position =
        static_cast<size_t>(unit.sequence->context - unit.sequence->count) + unit.first_row;
    const auto end_of = [&](size_t tile) {  // of what it sees
      return first_position + Smaller((tile + 1) * kTilePairs, unit.rows);
    };
    for (size_t tile = 0; tile < tiles; ++tile) {
      OnTile(unit, tile, [](auto& attention) { attention.Begin(); });
    }
    for (size_t key = 0; key < kPartitionKeys; ++key) {
      partition_.k_rows[key] = keys_ + key * key_dim_;
      partition_.v_rows[key] = values_ + key * value_dim_;
    }
    const size_t end = end_of(tiles - 1);
    for (size_t origin = 0; origin < end; origin += kPartitionKeys) {
      partition_.origin = origin;
      partition_.keys = {0, Smaller(end - origin, kPartitionKeys)};
      Expand(unit);
      const Session session;
      bool prepared = false;
      for (size_t tile = 0; tile < tiles; ++tile) {
        if (end_of(tile) <= origin) continue;
        OnTile(unit, tile, [&](auto& attention) { attention.Visit(partition_, prepared); });
        prepared = true;
      }
    }
    for (size_t tile = 0; tile < tiles; ++tile) {
      OnTile(unit, tile, [](auto& attention) { attention.Finish(); });
    }
  }

 private:
  template <typename Action>
  void OnTile(const ExpandedUnit& unit, size_t tile, const Action& action) {
    AttentionScratch layout = layout_.attention;
    const size_t shift = tile * layout.tile_bytes;
    layout.queries += shift;
    layout.sums += shift;
    layout.maxima += shift;
    layout.totals += shift;
    layout.merged += shift;
    layout.query_tiles += shift;
    const size_t first = tile * kTilePairs;
    const AttentionTile rows = {unit.sequence, unit.first_row + first,
                                Smaller(kTilePairs, unit.rows - first), unit.head};
    TileAttention<float, Products> attention(attention_args_, layout, scratch_);
    attention.Open(rows, 1);
    action(attention);
  }

  // Keys and values of the partition; zeros for those that do not exist.
  void Expand(const ExpandedUnit& unit) {
    const size_t count = partition_.keys.end;
    for (size_t key = 0; key < count; ++key) {
      const Element* row = RowAt(unit, partition_.origin + key);
      [[maybe_unused]] alignas(64) Element decoded[kIsDecoded<Element> ? kFp8MaxDim : 1];
      if constexpr (kIsDecoded<Element>) {
        DecodeFp8Row(a_.cache, reinterpret_cast<const std::byte*>(row), decoded);
        row = decoded;
      }
      Widen(row, rank_, latent_ + key * rank_);
      Widen(row + rank_, rope_, keys_ + key * key_dim_ + (key_dim_ - rope_));
    }
    Multiply(*a_.key_impl, a_.key, unit.head * a_.key_bytes, count, keys_, key_dim_);
    Multiply(*a_.value_impl, a_.value, unit.head * a_.value_bytes, count, values_, value_dim_);
    const size_t missing = (kPartitionKeys - count) * sizeof(float);
    __builtin_memset(keys_ + count * key_dim_, 0, missing * key_dim_);
    __builtin_memset(values_ + count * value_dim_, 0, missing * value_dim_);
  }

  const Element* RowAt(const ExpandedUnit& unit, size_t position) const {
    const size_t block_tokens = a_.cache.block_tokens;
    const auto block = static_cast<size_t>(unit.sequence->block_table[position / block_tokens]);
    const std::byte* rows = a_.cache.K(block, a_.layer, 0);
    return reinterpret_cast<const Element*>(rows + position % block_tokens * a_.cache.RowBytes()) +
           kRowHeader<Element>;
  }

  static void Widen(const Element* row, size_t count, float* out) {
    size_t d = 0;
    for (; d + kLanes <= count; d += kLanes) Store(Load(row + d), out + d);
    if (d < count) StorePartial(LoadPartial(row + d, count - d), out + d, count - d);
  }

  void Multiply(const MatmulImpl& impl, PackedWeights weights, size_t offset, size_t rows,
                float* out, size_t out_stride) const {
    weights.data += offset;
    MatmulArgs args{};
    args.x_f32 = latent_;
    args.x_stride = rank_;
    args.rows = rows;
    args.weights = weights;
    args.out = out;
    args.out_stride = out_stride;
    constexpr size_t kUnitColumns = 2 * kPanelRows;
    impl.run(args, 0, (weights.rows + kUnitColumns - 1) / kUnitColumns, scratch_ + layout_.matmul);
  }

  const ExpandedAttentionArgs& a_;
  const ExpandedScratch& layout_;
  std::byte* scratch_;
  const size_t rank_;
  const size_t rope_;
  const size_t key_dim_;
  const size_t value_dim_;
  float* latent_;
  float* keys_;
  float* values_;
  const AttentionArgs attention_args_;
  Partition<float> partition_;
};

template <typename Element, template <typename> class Products, typename Session>
void RunExpandedUnits(const ExpandedAttentionArgs& a, size_t begin, size_t end,
                      std::byte* scratch) {
  const ExpandedScratch layout = ExpandedScratchOf(a);
  ExpandedHead<Element, Products, Session> head(a, layout, scratch);
  for (size_t unit = begin; unit < end; ++unit) head.Run(ExpandedUnitOf(a, unit));
}

template <template <typename> class Products, typename Session>
void RunExpanded(const ExpandedAttentionArgs& a, size_t begin, size_t end, std::byte* scratch) {
  switch (a.cache.dtype) {
    case KvDType::kF32:
      return RunExpandedUnits<float, Products, Session>(a, begin, end, scratch);
    case KvDType::kF16:
      return RunExpandedUnits<F16, Products, Session>(a, begin, end, scratch);
    case KvDType::kFp8:
      return RunExpandedUnits<Bf16, Products, Session>(a, begin, end, scratch);
    case KvDType::kQ8:  // no latent cache
      return;
  }
}

}  // namespace pelton::cpu::KERNEL_ISA
