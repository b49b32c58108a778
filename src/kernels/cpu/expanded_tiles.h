#pragma once

#include <cstddef>

#include "kernels/cpu/attention_tiles.h"
#include "kernels/ops/expanded_attention.h"

// How expanded attention is cut into units and what its scratch memory holds; the same for every
// ISA.
namespace pelton::cpu {

// Most rows of a unit, in tiles of kTilePairs rows. Each unit expands the keys anew; with 1,008
// rows that is less than a third of its products, and their queries and sums still fit an L2 cache
// of 2 MB.
inline constexpr size_t kExpandedTiles = 7;

// The unit `unit`: one head of some rows of a sequence.
struct ExpandedUnit {
  const SequenceSpan* sequence;
  size_t first_row;  // of the sequence's new rows
  size_t rows;
  size_t head;
};
ExpandedUnit ExpandedUnitOf(const ExpandedAttentionArgs& args, size_t unit) noexcept;

// The attention that follows the expansion: a KV head for each head, keys and values in rows.
AttentionArgs AttentionOverExpanded(const ExpandedAttentionArgs& args, const float* keys,
                                    const float* values) noexcept;

// Byte offsets of the arrays in a thread's scratch memory.
struct ExpandedScratch {
  AttentionScratch attention;
  size_t latent;  // f32 [kPartitionKeys][rank]
  size_t keys;    // f32 [kPartitionKeys][key dim]
  size_t values;  // f32 [kPartitionKeys][value dim]
  size_t matmul;  // scratch of the two matmuls
  size_t bytes;
};
ExpandedScratch ExpandedScratchOf(const ExpandedAttentionArgs& args) noexcept;

}  // namespace pelton::cpu
