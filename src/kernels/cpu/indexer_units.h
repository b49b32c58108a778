#pragma once

#include <cstddef>

#include "kernels/ops/indexer.h"

// How the indexer's scores are cut into units and what their scratch memory holds; the same for
// every ISA.
namespace pelton::cpu {

// Keys that are transposed and multiplied at once.
inline constexpr size_t kIndexBlock = 64;

// Keys of a unit: so few that one token with a long context keeps many threads busy.
inline constexpr size_t kIndexUnitKeys = 4 * kIndexBlock;

// Where a row of the step stands.
struct RowPlace {
  const SequenceSpan* sequence;
  size_t position;
};
RowPlace PlaceOfRow(const SequenceSpan* sequences, size_t row) noexcept;

// One row and the keys [begin, end), none where they would lie behind the row.
struct IndexUnit {
  size_t row;
  const SequenceSpan* sequence;
  size_t begin;
  size_t end;
};
IndexUnit IndexUnitOf(const IndexScoresArgs& args, size_t unit) noexcept;

// Byte offsets of the arrays in a thread's scratch memory.
struct IndexScratch {
  size_t rows;       // const void* [kIndexBlock]
  size_t key_block;  // f32 [dim][kIndexBlock]
  size_t products;   // f32 [heads][kIndexBlock]
  size_t bytes;
};
IndexScratch IndexScratchOf(const IndexScoresArgs& args) noexcept;

}  // namespace pelton::cpu
