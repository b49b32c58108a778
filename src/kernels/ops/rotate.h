#pragma once

#include "kernels/ops/op.h"
#include "kernels/ops/quantized_rows.h"

namespace pelton {

// Rows of weights and of activations, turned alike so that their products stay the same while what
// is large in few columns spreads over many: then one scale in 8 bits does for a whole row. The
// turn is a Hadamard matrix H of `RotationOrder(cols)` applied to columns that are
// cols / RotationOrder(cols) apart:
//   y[i * stride + j] = sum over i' of H[i][i'] x[i' * stride + j],  H[i][i'] = +1 or -1
// Activations are multiplied by H, weights by H / order, which is a power of two: H H = order.
// Source: QuaRot (Ashkboos et al. 2024).
inline constexpr size_t kMostRotationOrder = 128;
// So that a row of f32 fits a stack, and its integer sums 32 bits.
inline constexpr size_t kMostRotatedCols = 32768;

// The largest power of two that divides cols, kMostRotationOrder at most.
constexpr size_t RotationOrder(size_t cols) {
  size_t order = 1;
  while (order < kMostRotationOrder && cols % (2 * order) == 0) order *= 2;
  return order;
}
// Whether rows of `cols` columns are worth it, and can be rotated at all.
constexpr bool MayRotate(size_t cols) {
  return cols != 0 && cols % 32 == 0 && cols <= kMostRotatedCols;
}

// x times H in place, each sum one tree of additions: the same bits wherever it is computed.
// Plain C++, for packing.
void RotateRow(float* x, size_t cols) noexcept;

// out = x times H. Unit: a row. Requires: MayRotate(dim).
struct RotateArgs {
  const float* x;  // [rows, dim], row stride x_stride
  float* out;      // [rows, dim], row stride out_stride; or null
  // QuantizedRows [rows, dim] when out is null, where all blocks of a row have one scale: 1 / 127
  // of the row's largest magnitude. A NaN or infinity makes it NaN.
  std::byte* quantized;
  size_t rows;
  size_t dim;
  size_t x_stride;
  size_t out_stride;
};
std::span<const OpImpl<RotateArgs>> RotateImpls();
size_t RotateScratchBytes(const RotateArgs& args);

}  // namespace pelton
