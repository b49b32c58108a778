#pragma once

#include <cstddef>

#include "kernels/ops/attention.h"

// How attention is cut into units and what its scratch memory holds; the same for every ISA.
namespace pelton::cpu {

// Keys whose scores are held at once. Softmax state is rescaled once per partition, so that this
// number is part of the arithmetic; partitions begin at its multiples.
inline constexpr size_t kPartitionKeys = 256;

// Keys that are transposed and multiplied at once: with D = 64, 16 KiB of f32 in the L1 cache.
inline constexpr size_t kKeyBlock = 64;

// Rows of one sequence that share a unit. A transposed block costs about as much as 4 rows of
// products, and 48 is a multiple of the register tile's 6 rows.
inline constexpr size_t kTileRows = 48;

// (row, head) pairs computed together when a call's units hold several heads of one KV head:
// 144 KiB of scores, which stay in the L2 cache.
inline constexpr size_t kTilePairs = 144;

// The unit `unit`: one head of up to kTileRows rows of a sequence.
struct AttentionTile {
  const SequenceSpan* sequence;
  size_t first_row;  // of the sequence's new rows
  size_t rows;
  size_t head;
};
AttentionTile AttentionTileOf(const AttentionArgs& args, size_t unit) noexcept;

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
  size_t sums;         // f32 [pairs][padded_value_dim]: weighted sums of V
  size_t maxima;       // f32 [pairs]: largest score so far
  size_t totals;       // f32 [pairs]: sum of weights so far
  size_t query_tiles;  // bf16 [pairs / 16][key dim / 32] tiles
  size_t tile_bytes;
  size_t bytes;  // of all tiles
};
AttentionScratch AttentionScratchOf(const AttentionArgs& args) noexcept;
// For `tiles` tiles of up to `pairs` pairs that take turns with each partition; value_tiles is the
// caller's.
AttentionScratch TileScratchOf(const AttentionArgs& args, size_t pairs, size_t tiles) noexcept;

}  // namespace pelton::cpu
