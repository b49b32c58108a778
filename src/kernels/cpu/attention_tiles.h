#pragma once

#include <cstddef>

#include "kernels/ops/attention.h"

// How attention is cut into units and what its scratch memory holds; the same for every ISA.
namespace pelton::cpu {

// Keys whose scores are held at once. Softmax state is rescaled once per partition, so that this
// number is part of the arithmetic; partitions begin at its multiples.
inline constexpr size_t kPartitionKeys = 256;

// Keys of a part, a multiple of kPartitionKeys. A row's softmax begins anew at every multiple of
// this number and is merged into what came before when the part ends, so that parts may be computed
// by different workers: this number is part of the arithmetic, too. Merging 1,024 keys takes a
// thousandth of their products.
inline constexpr size_t kPartKeys = 1024;
static_assert(kPartKeys % kPartitionKeys == 0);

// Keys that are transposed and multiplied at once: with D = 64, 16 KiB of f32 in the L1 cache.
inline constexpr size_t kKeyBlock = 64;

// Rows of one sequence that share a unit. A transposed block costs about as much as 4 rows of
// products, and 48 is a multiple of the register tile's 6 rows.
inline constexpr size_t kTileRows = 48;

// (row, head) pairs computed together when a call's units hold several heads of one KV head:
// 144 KiB of scores, which stay in the L2 cache.
inline constexpr size_t kTilePairs = 144;

// Positions, places in a list or numbers of parts [begin, end); empty if end <= begin. Always
// inline, as what follows: kernels of each instruction set would export copies of their own.
struct Range {
  size_t begin;
  size_t end;
  [[gnu::always_inline]] bool empty() const { return end <= begin; }
};

// The unit `unit`: one head of up to kTileRows rows of a sequence.
struct AttentionTile {
  const SequenceSpan* sequence;
  size_t first_row;  // of the sequence's new rows
  size_t rows;
  size_t head;
};
AttentionTile AttentionTileOf(const AttentionArgs& args, size_t unit) noexcept;

// Most rows of a tile.
size_t AttentionTileRows(const AttentionArgs& args) noexcept;
// Tile `turn`, in the order of units, of the `tiles` of a sequence, from head 0 on.
AttentionTile AttentionTileOfTurn(const AttentionArgs& args, const SequenceSpan& sequence,
                                  size_t tiles, size_t turn) noexcept;

// What a row of a tile may see: positions, or places in its list of them. Both ends grow with the
// row.
[[gnu::always_inline]] inline Range VisibleKeys(const AttentionArgs& args,
                                                const AttentionTile& tile, size_t row) {
  const auto context = static_cast<size_t>(tile.sequence->context);
  if (!args.causal) return {0, context};
  const size_t end = context - static_cast<size_t>(tile.sequence->count) + tile.first_row + row + 1;
  if (args.positions != nullptr) return {0, end < args.top ? end : args.top};
  const auto window = static_cast<size_t>(args.window);
  return {window == 0 || window >= end ? 0 : end - window, end};
}

// Byte offsets of the arrays in a thread's scratch memory; `pairs` is their capacity.
struct AttentionScratch {
  size_t pairs;  // a multiple of 16
  size_t padded_value_dim;
  size_t keys;         // const void* [2][kPartitionKeys]: K rows of this and the next partition
  size_t values;       // const void* [2][kPartitionKeys]: V rows of the same, unless they are K's
  size_t zeros;        // [key dim, or padded_value_dim] elements of value 0, for missing keys
  size_t decoded;      // bf16 [kPartitionKeys][key dim]: rows of KvDType::kFp8
  size_t seen;         // size_t [pairs][2]: keys of the partition that a pair sees
  size_t key_block;    // f32 [key dim][kKeyBlock]
  size_t value_block;  // f32 [kKeyBlock][padded_value_dim]
  size_t scores;       // f32 [pairs][kPartitionKeys]
  // Tiles of bf16 of 1 KiB, where attention of prompts has them: keys of a partition; its values,
  // in the place of the keys where each tile makes them anew; weights of 32 pairs.
  size_t row_tiles;
  size_t value_tiles;
  size_t weight_tiles;
  // What is a tile's own; that of the next tile lies tile_bytes on.
  size_t queries;      // f32 [pairs][key dim], scaled
  size_t sums;         // f32 [pairs][padded_value_dim]: weighted sums of V, of a part of the keys
  size_t maxima;       // f32 [pairs]: largest score so far
  size_t totals;       // f32 [pairs]: sum of weights so far
  size_t merged;       // f32 [pairs][AttentionStateFloats]: all parts before
  size_t query_tiles;  // bf16 [pairs / 16][key dim / 32] tiles
  size_t tile_bytes;
  size_t bytes;  // of all tiles
};
// A pair's result over some keys: weighted sums of V [padded_value_dim], the largest score, the sum
// of the weights; padded to 64 bytes.
[[gnu::always_inline]] constexpr size_t AttentionStateFloats(size_t padded_value_dim) {
  return padded_value_dim + 16;
}

AttentionScratch AttentionScratchOf(const AttentionArgs& args) noexcept;
// For `tiles` tiles of up to `pairs` pairs that take turns with each partition; value_tiles is the
// caller's.
AttentionScratch TileScratchOf(const AttentionArgs& args, size_t pairs, size_t tiles) noexcept;

}  // namespace pelton::cpu
