#pragma once

#include "kernels/ops/op.h"

namespace pelton {

// Row-wise ops on f32 [rows, dim] with row strides; unit: a row; `out` may be an input.
enum class BinaryKind : uint8_t {
  kAdd,
  kMul,
  kSiluMul,  // silu(a) * b
  kGeluTanhMul,
  kSwigluOaiMul,  // a / (1 + exp(-1.702 a)) * (b + 1), as in gpt-oss
};

// out = kind(a, b). With b_stride == 0 every row uses the same b (a bias or a scale per column).
struct BinaryArgs {
  BinaryKind kind;
  const float* a;
  const float* b;
  float* out;            // or null
  std::byte* quantized;  // QuantizedRows [rows, dim] of the result; or null
  size_t rows;
  size_t dim;
  size_t a_stride;
  size_t b_stride;
  size_t out_stride;
  // Not 0: a is min(a, limit) first and b is clamped to [-limit, limit].
  float limit = 0;
};
std::span<const OpImpl<BinaryArgs>> BinaryImpls();

enum class UnaryKind : uint8_t {
  kCopy,
  kScale,    // x * parameter
  kSoftCap,  // parameter * tanh(x / parameter)
  kSilu,
  kGeluTanh,
  kGeluErf,  // x / 2 * (1 + erf(x / sqrt(2)))
};
struct UnaryArgs {
  UnaryKind kind;
  float parameter;
  const float* x;
  float* out;
  size_t rows;
  size_t dim;
  size_t x_stride;
  size_t out_stride;
};
std::span<const OpImpl<UnaryArgs>> UnaryImpls();

// f32 rows to QuantizedRows. Unit: a row.
struct QuantizeRowsArgs {
  const float* x;
  std::byte* out;  // QuantizedRows [rows, dim]
  size_t rows;
  size_t dim;
  size_t x_stride;
};
std::span<const OpImpl<QuantizeRowsArgs>> QuantizeRowsImpls();

// out[r] = x[indices[r]]. Unit: a row. Requires: indices inside x.
struct GatherRowsArgs {
  const float* x;
  const int32_t* indices;  // [rows]
  float* out;
  size_t rows;
  size_t dim;
  size_t x_stride;
  size_t out_stride;
};
std::span<const OpImpl<GatherRowsArgs>> GatherRowsImpls();

}  // namespace pelton
