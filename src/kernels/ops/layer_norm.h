#pragma once

#include "kernels/ops/op.h"

namespace pelton {

// out[r, d] = (x[r, d] - m) / sqrt(mean_d((x[r, d] - m)^2) + epsilon) * weight[d] + bias[d] with
// m = mean_d(x[r, d]). Sums in f32 in a fixed order; the squares are those of the centred values.
// The quantised result equals QuantizeRows of the f32 one, bit for bit. `out` may be x. Unit: a
// row. Source: Ba, Kiros & Hinton 2016, eq. 4.
struct LayerNormArgs {
  const float* x;        // [rows, dim], row stride x_stride
  const float* weight;   // [dim]
  const float* bias;     // [dim]
  float* out;            // [rows, dim], row stride out_stride; or null
  std::byte* quantized;  // QuantizedRows [rows, dim]; or null
  size_t rows;
  size_t dim;
  size_t x_stride;
  size_t out_stride;
  float epsilon;
};
std::span<const OpImpl<LayerNormArgs>> LayerNormImpls();

}  // namespace pelton
