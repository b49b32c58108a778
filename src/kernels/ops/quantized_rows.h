#pragma once

#include <cstddef>
#include <cstdint>

#include "base/checked_math.h"

namespace pelton {

// Activations in 8 bits: rows of `cols` values in blocks of 32, quantised once and shared by every
// matmul that reads them. One row is
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

  std::byte* data;  // [rows] of RowBytes(cols), 64-byte aligned
  size_t cols;

  int8_t* Values(size_t row) const {
    return reinterpret_cast<int8_t*>(data + row * RowBytes(cols));
  }
  float* Scales(size_t row) const {
    return reinterpret_cast<float*>(data + row * RowBytes(cols) + PaddedCols(cols));
  }
  int32_t* Sums(size_t row) const {
    return reinterpret_cast<int32_t*>(data + row * RowBytes(cols) + PaddedCols(cols) +
                                      PaddedCols(cols) / kBlock * sizeof(float));
  }
};

}  // namespace pelton
