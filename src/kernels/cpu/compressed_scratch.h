#pragma once

#include <cstddef>

#include "kernels/ops/compressed.h"

// What the scratch memory of compression and of attention over entries holds; the same for every
// ISA.
namespace pelton::cpu {

// Byte offsets.
struct CompressScratch {
  size_t rows;   // const void* [2 * ratio]
  size_t entry;  // f32 [dim]
  size_t bytes;
};
CompressScratch CompressScratchOf(const CompressArgs& args) noexcept;

struct CompressedAttentionScratch {
  size_t keys;     // const void* [kCompressedPartition]
  size_t queries;  // f32 [kCompressedHeads][D], scaled
  size_t scores;   // f32 [kCompressedHeads][kCompressedPartition], then weights
  size_t sums;     // f32 [kCompressedHeads][D]
  size_t bytes;
};
CompressedAttentionScratch CompressedAttentionScratchOf(
    const CompressedAttentionArgs& args) noexcept;

}  // namespace pelton::cpu
