#include "kernels/ops/embedding.h"

#include <cstring>

#include "base/check.h"
#include "kernels/ops/packed_weights.h"
#include "kernels/reference/half.h"

namespace pelton {
namespace {

// OCP 8-bit floating point v1.0, E5M2: the upper half of an f16.
float E5M2Value(std::byte code) {
  return HalfToFloat(static_cast<uint16_t>(std::to_integer<unsigned>(code) << 8));
}

template <typename Number>
void ConvertRow(const std::byte* row, size_t dim, float* out) {
  for (size_t d = 0; d < dim; ++d) {
    Number value;
    std::memcpy(&value, row + d * sizeof(value), sizeof(value));
    out[d] = static_cast<float>(value);
  }
}

void DecodeTableRow(const EmbeddingArgs& a, const std::byte* row, float* out) {
  switch (a.dtype) {
    case DType::kF64:
      return ConvertRow<double>(row, a.dim, out);
    case DType::kI32:
      return ConvertRow<int32_t>(row, a.dim, out);
    case DType::kI64:
      return ConvertRow<int64_t>(row, a.dim, out);
    case DType::kF8E5M2:
      for (size_t d = 0; d < a.dim; ++d) out[d] = E5M2Value(row[d]);
      return;
    default:
      PELTON_CHECK(PanelFormatOf(a.dtype).has_value(), "plans embed tables of numbers");
      DecodeRow(a.dtype, row, a.dim, out);
  }
}

void Embedding(const EmbeddingArgs& a, size_t begin, size_t end, std::byte*) noexcept {
  for (size_t token = begin; token < end; ++token) {
    const auto row = static_cast<size_t>(a.ids[token]);
    float* out = a.out + token * a.out_stride;
    DecodeTableRow(a, a.table + row * a.row_bytes, out);
    ScaleRow(a.scales, row, a.dim, out);
  }
}

}  // namespace

std::span<const OpImpl<EmbeddingArgs>> EmbeddingImpls() {
  static constexpr OpImpl<EmbeddingArgs> kImpls[] = {{"generic", kCpuGeneric, Embedding}};
  return kImpls;
}

}  // namespace pelton
