#include <algorithm>
#include <bit>
#include <cstring>

#include "base/check.h"
#include "base/checked_math.h"
#include "kernels/ops/packed_weights.h"
#include "kernels/reference/half.h"
#include "kernels/reference/stored_blocks.h"

namespace pelton {
namespace {

int CodeAt(const BlockCodes& codes, size_t column) {
  return static_cast<int>((codes.quads[column / 4] >> (8 * (column % 4))) & 0xff);
}

template <DType kDType>
void DecodeSimpleRow(const std::byte* row, size_t cols, float* out) {
  constexpr PanelFormat kFormat = *PanelFormatOf(kDType);
  const size_t block_bytes = BlockBytes(kDType);
  for (size_t begin = 0; begin < cols; begin += kBlockCols, row += block_bytes) {
    SimpleBlock block;
    ReadSimpleBlock<kDType>(row, block);
    const float scale = kFormat.float4 ? BFloat16ToFloat(block.scale) : HalfToFloat(block.scale);
    const float minimum = HalfToFloat(block.minimum);
    for (size_t i = 0; i < kBlockCols; ++i) {
      const int code = CodeAt(block.codes, i);
      const int level = kFormat.float4  ? kFloat4Values[code]
                        : kFormat.table ? kIq4NlValues[code]
                                        : code - kFormat.zero;
      const float product = scale * static_cast<float>(level);
      out[begin + i] = kFormat.has_minimum ? product + minimum : product;
    }
  }
}

template <DType kDType>
void DecodeSuperRow(const std::byte* row, size_t cols, float* out) {
  constexpr PanelFormat kFormat = *PanelFormatOf(kDType);
  const size_t block_bytes = BlockBytes(kDType);
  for (size_t begin = 0; begin < cols; begin += kSuperCols, row += block_bytes) {
    SuperBlock block;
    ReadSuperBlock<kDType>(row, block);
    const float d = HalfToFloat(block.d);
    const float dmin = HalfToFloat(block.dmin);
    for (size_t i = 0; i < kSuperCols; ++i) {
      const size_t sub = i / static_cast<size_t>(kFormat.sub);
      const int level = CodeAt(block.codes[i / kBlockCols], i % kBlockCols) - kFormat.zero;
      const float product = d * static_cast<float>(block.scales[sub]) * static_cast<float>(level);
      out[begin + i] =
          kFormat.has_minimum ? product - dmin * static_cast<float>(block.minima[sub]) : product;
    }
  }
}

}  // namespace

void DecodeRow(DType dtype, const std::byte* row, size_t cols, float* out) noexcept {
  switch (dtype) {
    case DType::kF32:
      std::memcpy(out, row, cols * sizeof(float));
      return;
    case DType::kF16:
      for (size_t i = 0; i < cols; ++i) out[i] = HalfToFloat(LoadUnaligned<uint16_t>(row + 2 * i));
      return;
    case DType::kBF16:
      for (size_t i = 0; i < cols; ++i) {
        out[i] = BFloat16ToFloat(LoadUnaligned<uint16_t>(row + 2 * i));
      }
      return;
    case DType::kF8E4M3:
      for (size_t i = 0; i < cols; ++i) out[i] = Float8ToFloat(std::to_integer<uint8_t>(row[i]));
      return;
    case DType::kQ4_0:
      return DecodeSimpleRow<DType::kQ4_0>(row, cols, out);
    case DType::kQ4_1:
      return DecodeSimpleRow<DType::kQ4_1>(row, cols, out);
    case DType::kQ5_0:
      return DecodeSimpleRow<DType::kQ5_0>(row, cols, out);
    case DType::kQ5_1:
      return DecodeSimpleRow<DType::kQ5_1>(row, cols, out);
    case DType::kQ8_0:
      return DecodeSimpleRow<DType::kQ8_0>(row, cols, out);
    case DType::kIQ4_NL:
      return DecodeSimpleRow<DType::kIQ4_NL>(row, cols, out);
    case DType::kMXFP4:
      return DecodeSimpleRow<DType::kMXFP4>(row, cols, out);
    case DType::kQ2_K:
      return DecodeSuperRow<DType::kQ2_K>(row, cols, out);
    case DType::kQ3_K:
      return DecodeSuperRow<DType::kQ3_K>(row, cols, out);
    case DType::kQ4_K:
      return DecodeSuperRow<DType::kQ4_K>(row, cols, out);
    case DType::kQ5_K:
      return DecodeSuperRow<DType::kQ5_K>(row, cols, out);
    case DType::kQ6_K:
      return DecodeSuperRow<DType::kQ6_K>(row, cols, out);
    default:
      PELTON_CHECK(false, "DecodeRow needs a dtype with a panel format");
  }
}

float ScaleAt(const BlockScales& scales, size_t cols, size_t row, size_t col) noexcept {
  if (scales.data == nullptr) return 1.0f;
  const size_t index =
      (scales.first_row + row) / scales.block_rows * DivUp(cols, scales.block_cols) +
      col / scales.block_cols;
  switch (scales.dtype) {
    case DType::kF32:
      return LoadUnaligned<float>(scales.data + 4 * index);
    case DType::kBF16:
      return BFloat16ToFloat(LoadUnaligned<uint16_t>(scales.data + 2 * index));
    case DType::kF8E8M0: {
      // 2^(code - 127), the smallest of which is a subnormal f32; 0xff is NaN.
      const auto code = std::to_integer<uint32_t>(scales.data[index]);
      return std::bit_cast<float>(code == 0xff ? 0x7fc00000u : code == 0 ? 1u << 22 : code << 23);
    }
    default:
      PELTON_CHECK(false, "block scales are F32, BF16 or F8_E8M0");
      return 0.0f;
  }
}

void ScaleRow(const BlockScales& scales, size_t row, size_t cols, float* values) noexcept {
  if (scales.data == nullptr) return;
  for (size_t begin = 0; begin < cols; begin += scales.block_cols) {
    const float scale = ScaleAt(scales, cols, row, begin);
    const size_t end = std::min(cols, begin + scales.block_cols);
    for (size_t i = begin; i < end; ++i) values[i] *= scale;
  }
}

}  // namespace pelton
