#pragma once

#include <cstddef>
#include <cstdint>

#include "base/checked_math.h"

namespace pelton {

// Activations in 8 bits: rows of `cols` values in blocks of 32, quantised once and shared by every
// matmul that reads them. A row is one term, or two, one after the other, of which the second is
// what the first leaves of x, quantised the same way: about 16 bits for twice the arithmetic over
// the same weights. One term is
//   int8  values[padded]         x[k] ~ sum of values[k] * scales[k / 32]; zero beyond cols
//   float scales[padded / 32]    max_abs(block) / 127, 0 for a block of zeros
//   int32 sums[padded / 32]      sum of values in the block
// with padded = cols rounded up to 32, and the term padded to 64 bytes. Values are rounded to
// nearest, ties to even, so |x - value * scale| <= scale / 2 (and a NaN or infinity in the block
// makes its scale NaN, which reaches the output).
struct QuantizedRows {
  static constexpr size_t kBlock = 32;

  static constexpr size_t PaddedCols(size_t cols) { return RoundUp(cols, kBlock); }
  static constexpr size_t TermBytes(size_t cols) {
    return RoundUp(PaddedCols(cols) + PaddedCols(cols) / kBlock * (sizeof(float) + sizeof(int32_t)),
                   64);
  }

  std::byte* data;  // [rows][terms] of TermBytes(cols), 64-byte aligned
  size_t cols;
  size_t terms = 1;  // 1 or 2

  size_t RowBytes() const { return terms * TermBytes(cols); }
  std::byte* Term(size_t row, size_t term) const {
    return data + (row * terms + term) * TermBytes(cols);
  }
  int8_t* Values(size_t row, size_t term = 0) const {
    return reinterpret_cast<int8_t*>(Term(row, term));
  }
  float* Scales(size_t row, size_t term = 0) const {
    return reinterpret_cast<float*>(Term(row, term) + PaddedCols(cols));
  }
  int32_t* Sums(size_t row, size_t term = 0) const {
    return reinterpret_cast<int32_t*>(Term(row, term) + PaddedCols(cols) +
                                      PaddedCols(cols) / kBlock * sizeof(float));
  }
};

}  // namespace pelton
