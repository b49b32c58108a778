#pragma once

#include <cstddef>

#include "kernels/ops/matmul.h"

namespace pelton {

// Rows that one sweep over the weights serves. Decoding a panel costs as much as two rows of
// arithmetic, so 192 rows make it 1 %, while their activations (0.25 KB per 128 columns and row)
// and sums stay in the L2 cache. A multiple of the register tiles' 6 and 12 rows.
inline constexpr size_t kMatmulRowBlock = 192;

// A decoded piece of a pair of panels: 256 columns of f32, or 512 of codes and their scales.
inline constexpr size_t kPanelScratchBytes = 32 * 1024;

// Scratch of the vector implementations, in order: the decoded piece, the sums [rows][32 or 64],
// the factors of quantised activations. Every part is a multiple of 64 bytes.
constexpr size_t MatmulSumsBytes(size_t rows, bool gated) {
  return (rows < kMatmulRowBlock ? rows : kMatmulRowBlock) * (gated ? 64 : 32) * sizeof(float);
}
constexpr size_t MatmulFactorBytes(size_t rows, size_t cols) {
  return (rows < kMatmulRowBlock ? rows : kMatmulRowBlock) * ((cols + 31) / 32) * 4 * sizeof(float);
}

}  // namespace pelton
