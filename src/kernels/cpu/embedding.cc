#include "kernels/ops/embedding.h"

#include <cmath>
#include <cstring>

#include "base/check.h"
#include "kernels/ops/packed_weights.h"

namespace pelton {
namespace {

// OCP 8-bit floating point v1.0: E4M3 without infinities, E5M2 the upper half of an f16.
float Float8Value(DType dtype, uint8_t bits) {
  const int mantissa_bits = dtype == DType::kF8E4M3 ? 3 : 2;
  const int bias = dtype == DType::kF8E4M3 ? 7 : 15;
  const int magnitude = bits & 0x7f;
  const int exponent = magnitude >> mantissa_bits;
  const int mantissa = magnitude & ((1 << mantissa_bits) - 1);
  float value;
  if (dtype == DType::kF8E4M3 && magnitude == 0x7f) {
    value = std::nanf("");
  } else if (dtype == DType::kF8E5M2 && exponent == 31) {
    value = mantissa == 0 ? HUGE_VALF : std::nanf("");
  } else if (exponent == 0) {
    value = std::ldexp(static_cast<float>(mantissa), 1 - bias - mantissa_bits);
  } else {
    value = std::ldexp(static_cast<float>(mantissa + (1 << mantissa_bits)),
                       exponent - bias - mantissa_bits);
  }
  return (bits & 0x80) != 0 ? -value : value;
}

void DecodeTableRow(const EmbeddingArgs& a, const std::byte* row, float* out) {
  switch (a.dtype) {
    case DType::kF64:
      for (size_t d = 0; d < a.dim; ++d) {
        double value;
        std::memcpy(&value, row + d * sizeof(value), sizeof(value));
        out[d] = static_cast<float>(value);
      }
      return;
    case DType::kF8E4M3:
    case DType::kF8E5M2:
      for (size_t d = 0; d < a.dim; ++d) {
        out[d] = Float8Value(a.dtype, std::to_integer<uint8_t>(row[d]));
      }
      return;
    default:
      PELTON_CHECK(PanelFormatOf(a.dtype).has_value(),
                   "plans embed tables of floating-point types");
      DecodeRow(a.dtype, row, a.dim, out);
  }
}

void Embedding(const EmbeddingArgs& a, size_t begin, size_t end, std::byte*) noexcept {
  for (size_t token = begin; token < end; ++token) {
    DecodeTableRow(a, a.table + static_cast<size_t>(a.ids[token]) * a.row_bytes,
                   a.out + token * a.out_stride);
  }
}

}  // namespace

std::span<const OpImpl<EmbeddingArgs>> EmbeddingImpls() {
  static constexpr OpImpl<EmbeddingArgs> kImpls[] = {{"generic", kCpuGeneric, Embedding}};
  return kImpls;
}

}  // namespace pelton
