#pragma once

#include <cstddef>
#include <cstdint>

#include "base/checked_math.h"

namespace pelton {

// Activations in 8 bits: rows of `cols` values in blocks of 32, quantised once and shared by every
// matmul that reads them. A row is
//   int8  values[padded]         x[k] ~ values[k] * scales[k / 32]; zero beyond cols
//   float scales[padded / 32]    max_abs(block) / 127, 0 for a block of zeros
//   int32 sums[padded / 32]      sum of values in the block
// with padded = cols rounded up to 32, and the row padded to 64 bytes. Values are rounded to
// nearest, ties to even, so |x - value * scale| <= scale / 2 (and a NaN or infinity in the block
// makes its scale NaN, which reaches the output).
struct QuantizedRows {
  static constexpr size_t kBlock = 32;

  static constexpr size_t PaddedCols(size_t cols) { return RoundUp(cols, kBlock); }
  static constexpr size_t RowBytes(size_t cols) {
    return RoundUp(PaddedCols(cols) + PaddedCols(cols) / kBlock * (sizeof(float) + sizeof(int32_t)),
                   64);
  }
  // Of a row that holds bf16 [padded] instead, for matmuls on tiles.
  static constexpr size_t Bf16RowBytes(size_t cols) { return PaddedCols(cols) * 2; }

  std::byte* data;  // [rows] of RowBytes(cols), 64-byte aligned
  size_t cols;

  std::byte* Row(size_t row) const { return data + row * RowBytes(cols); }
  int8_t* Values(size_t row) const { return reinterpret_cast<int8_t*>(Row(row)); }
  float* Scales(size_t row) const { return reinterpret_cast<float*>(Row(row) + PaddedCols(cols)); }
  int32_t* Sums(size_t row) const {
    return reinterpret_cast<int32_t*>(Row(row) + PaddedCols(cols) +
                                      PaddedCols(cols) / kBlock * sizeof(float));
  }
};

}  // namespace pelton
