#include <cstring>

#include "base/check.h"
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
    const float scale = HalfToFloat(block.scale);
    const float minimum = HalfToFloat(block.minimum);
    for (size_t i = 0; i < kBlockCols; ++i) {
      const int code = CodeAt(block.codes, i);
      const int level = kFormat.table ? kIq4NlValues[code] : code - kFormat.zero;
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

}  // namespace pelton
