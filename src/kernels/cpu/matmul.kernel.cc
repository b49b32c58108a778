#include "kernels/ops/matmul.h"

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/cpu/matmul_entry.h"
#include "kernels/cpu/matmul_epilogue.h"
#include "kernels/cpu/matmul_panels.h"
#include "kernels/cpu/matmul_scratch.h"
#include "kernels/cpu/panel_layout.h"
#include "kernels/cpu/simd/panel.h"

namespace pelton::cpu::KERNEL_ISA {
namespace {

#if defined(KERNEL_TILES)
constexpr size_t kTileAlign = 16;
#else
constexpr size_t kTileAlign = 12;  // register tiles have 6 or 12 rows
using FmaFn = void (*)(const std::byte*, size_t, const FmaRows&, float*, size_t,
                       std::byte*) noexcept;
#endif

// What the rows' activations contribute beside the integer dot products; see DotRows.
void ComputeFactors(const QuantizedRows& x, size_t row, const PanelFormat& format, float* out) {
  const size_t blocks = QuantizedRows::PaddedCols(x.cols) / QuantizedRows::kBlock;
  const int8_t* values = x.Values(row);
  const float* scales = x.Scales(row);
  const int32_t* sums = x.Sums(row);
  const int32_t zero = ZeroOfCodes(format) - (HasWideCodes(format) ? kWideBias : 0);
  const auto term = [&](size_t b, int32_t sum) {
    if (format.has_minimum) return scales[b] * static_cast<float>(sum);
    float bits;
    const int32_t start = -zero * sum;
    std::memcpy(&bits, &start, sizeof(bits));
    return bits;
  };
  if (format.by_row) {
    int32_t sum = 0;
    for (size_t b = 0; b < blocks; ++b) sum += sums[b];
    out[0] = scales[0];
    out[1] = term(0, sum);
    return;
  }
  if (format.sub == 32) {
    for (size_t b = 0; b < blocks; ++b) {
      out[2 * b] = scales[b];
      out[2 * b + 1] = term(b, sums[b]);
    }
    return;
  }
  for (size_t b = 0; b < blocks; ++b) {
    const int32_t first = SumOf16(values + b * QuantizedRows::kBlock);
    out[4 * b] = scales[b];
    out[4 * b + 1] = term(b, first);
    out[4 * b + 2] = term(b, sums[b] - first);
    out[4 * b + 3] = 0.0f;
  }
}

using DotFn = void (*)(const std::byte*, size_t, const DotRows&, float*, size_t,
                       std::byte*) noexcept;

DotFn DotFor(DType dtype) {
  switch (dtype) {
    case DType::kQ4_0:
      return DotPanelPair<DType::kQ4_0>;
    case DType::kQ4_1:
      return DotPanelPair<DType::kQ4_1>;
    case DType::kQ5_0:
      return DotPanelPair<DType::kQ5_0>;
    case DType::kQ5_1:
      return DotPanelPair<DType::kQ5_1>;
    case DType::kQ8_0:
      return DotPanelPair<DType::kQ8_0>;
    case DType::kIQ4_NL:
      return DotPanelPair<DType::kIQ4_NL>;
    case DType::kMXFP4:
      return DotPanelPair<DType::kMXFP4>;
    case DType::kW8:
      return DotPanelPairByRow;
    case DType::kQ4_K:
      return DotPanelPair<DType::kQ4_K>;
    case DType::kQ5_K:
      return DotPanelPair<DType::kQ5_K>;
#if !defined(KERNEL_TILES)  // tiles take formats with one scale a block
    case DType::kQ2_K:
      return DotPanelPair<DType::kQ2_K>;
    case DType::kQ3_K:
      return DotPanelPair<DType::kQ3_K>;
    case DType::kQ6_K:
      return DotPanelPair<DType::kQ6_K>;
#endif
    default:
      return nullptr;
  }
}

#if !defined(KERNEL_TILES)  // and activations of 8 bits
FmaFn FmaFor(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return FmaPanelPair<DType::kF32>;
    case DType::kF16:
      return FmaPanelPair<DType::kF16>;
    case DType::kBF16:
      return FmaPanelPair<DType::kBF16>;
    case DType::kF8E4M3:
      return FmaPanelPair<DType::kF8E4M3>;
    case DType::kQ4_0:
      return FmaPanelPair<DType::kQ4_0>;
    case DType::kQ4_1:
      return FmaPanelPair<DType::kQ4_1>;
    case DType::kQ5_0:
      return FmaPanelPair<DType::kQ5_0>;
    case DType::kQ5_1:
      return FmaPanelPair<DType::kQ5_1>;
    case DType::kQ8_0:
      return FmaPanelPair<DType::kQ8_0>;
    case DType::kIQ4_NL:
      return FmaPanelPair<DType::kIQ4_NL>;
    case DType::kMXFP4:
      return FmaPanelPair<DType::kMXFP4>;
    case DType::kQ2_K:
      return FmaPanelPair<DType::kQ2_K>;
    case DType::kQ3_K:
      return FmaPanelPair<DType::kQ3_K>;
    case DType::kQ4_K:
      return FmaPanelPair<DType::kQ4_K>;
    case DType::kQ5_K:
      return FmaPanelPair<DType::kQ5_K>;
    case DType::kQ6_K:
      return FmaPanelPair<DType::kQ6_K>;
    case DType::kW8:
      return FmaPanelPair<DType::kW8>;
    default:
      return nullptr;
  }
}
#endif

// Of any format, as PanelBytes of packed_weights.h, which this object may not call.
size_t BytesOfPanel(const PanelFormat& format, DType dtype, size_t cols) {
  const size_t blocks = (cols + kBlockCols - 1) / kBlockCols;
  if (format.code_bits == 0 && !format.scaled) {
    return blocks * kBlockCols * kPanelRows * (dtype == DType::kF32 ? 4 : 2);
  }
  const size_t codes = blocks * CodeBytes(format);
  if (format.super) return blocks * kBlockCols / kSuperCols * SuperHeaderBytes(format) + codes;
  if (format.by_row) return kRowScaleBytes + codes;
  const size_t rest = blocks % kGroupBlocks;
  return blocks / kGroupBlocks * GroupHeaderBytes(format, kGroupBlocks) +
         GroupHeaderBytes(format, rest) + codes;
}

void RunRows(const MatmulArgs& args, size_t begin, size_t end, std::byte* scratch,
             bool decode_once) {
  const bool gated = args.gate != GateActivation::kNone;
  const DType dtype = args.weights.dtype;
  const PanelFormat format = *PanelFormatOf(dtype);
  const size_t cols = args.weights.cols;
  const size_t columns = gated ? args.weights.rows / 2 : args.weights.rows;
  const size_t pairs = gated ? 2 : 1;  // of panels in a unit
  const size_t pair_bytes = 2 * BytesOfPanel(format, dtype, cols);
  const size_t y_stride = 32 * pairs;

  std::byte* piece = scratch;
  float* y = reinterpret_cast<float*>(piece + kPanelScratchBytes);
  auto* factors =
      reinterpret_cast<float*>(piece + kPanelScratchBytes + MatmulSumsBytes(args.rows, gated));
  const QuantizedRows x = {const_cast<std::byte*>(args.x_quantized), cols};
  const size_t factor_stride =
      format.by_row ? 2 : (cols + kBlockCols - 1) / kBlockCols * FactorWords(format);

  // Nearly equal blocks of rows that begin at whole tiles.
  static_assert(kMatmulRowBlock % kTileAlign == 0);
  const size_t row_blocks = (args.rows + kMatmulRowBlock - 1) / kMatmulRowBlock;
  const auto block_start = [&](size_t i) {
    const size_t start = (args.rows * i / row_blocks + kTileAlign - 1) / kTileAlign * kTileAlign;
    return start < args.rows ? start : args.rows;
  };
  for (size_t i = 0; i < row_blocks; ++i) {
    const size_t row = block_start(i);
    const size_t rows = block_start(i + 1) - row;
    if (args.x_quantized != nullptr) {
      for (size_t r = 0; r < rows; ++r) {
        ComputeFactors(x, row + r, format, factors + r * factor_stride);
      }
    }
    for (size_t unit = begin; unit < end; ++unit) {
      for (size_t pair = 0; pair < pairs; ++pair) {
        const std::byte* panels = args.weights.data + (unit * pairs + pair) * pair_bytes;
        if (args.x_quantized != nullptr) {
          const DotRows dot_rows = {x.Values(row), QuantizedRows::RowBytes(cols),
                                    factors,       factor_stride,
                                    rows,          decode_once};
          DotFor(dtype)(panels, cols, dot_rows, y + 32 * pair, y_stride, piece);
          continue;
        }
#if !defined(KERNEL_TILES)
        const FmaRows fma_rows = {args.x_f32 + row * args.x_stride, args.x_stride, rows};
        FmaFor(dtype)(panels, cols, fma_rows, y + 32 * pair, y_stride, piece);
#endif
      }
      FinishUnit(args, unit, columns, row, rows, y, y_stride);
    }
  }
}

}  // namespace

void RunMatmul(const MatmulArgs& args, size_t begin, size_t end, std::byte* scratch) noexcept {
  RunRows(args, begin, end, scratch, false);
}

#if defined(__AVX512VNNI__) && !defined(KERNEL_TILES)
void RunMatmulDecodeOnce(const MatmulArgs& args, size_t begin, size_t end,
                         std::byte* scratch) noexcept {
  RunRows(args, begin, end, scratch, true);
}
#endif

}  // namespace pelton::cpu::KERNEL_ISA
