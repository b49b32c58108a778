#pragma once

#include "kernels/ops/op.h"

namespace pelton {

// s = x + add (x alone without add);  out[r, d] = s[r, d] * weight[d] / sqrt(mean_d(s^2) +
// epsilon). Sums in f32 in a fixed order. Outputs are optional and independent: the sum, the f32
// norm, the norm quantised (equal to QuantizeRows of the f32 norm, bit for bit). `sum` may be x or
// add; `out` may be x. Rows are x[r * groups + g]: with groups > 1 each of `groups` heads of a row,
// at stride dim inside the row, is normalised by itself (q and k norms). Unit: a row. Source: Zhang
// & Sennrich 2019, eq. 4.
struct RmsNormArgs {
  const float* x;        // [rows, groups * dim], row stride x_stride
  const float* add;      // the same, row stride add_stride; or null
  const float* weight;   // [dim]
  float* sum;            // [rows, dim], row stride sum_stride; or null
  float* out;            // [rows, groups * dim], row stride out_stride; or null
  std::byte* quantized;  // QuantizedRows [rows, dim]; or null; needs groups == 1
  size_t rows;
  size_t groups;
  size_t dim;
  size_t x_stride;
  size_t add_stride;
  size_t sum_stride;
  size_t out_stride;
  float epsilon;
};
std::span<const OpImpl<RmsNormArgs>> RmsNormImpls();

}  // namespace pelton
