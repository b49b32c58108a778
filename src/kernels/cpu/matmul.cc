#include "kernels/ops/matmul.h"

#include <algorithm>

#include "base/cpu_features.h"
#include "kernels/cpu/matmul_amx.h"
#include "kernels/cpu/matmul_choices.h"
#include "kernels/cpu/matmul_entry.h"
#include "kernels/cpu/matmul_scratch.h"

namespace pelton {
namespace {

bool SupportsAll(bool quantized_x, DType weights) {
  const std::optional<PanelFormat> format = PanelFormatOf(weights);
  return format.has_value() && (!quantized_x || format->code_bits != 0);
}

size_t VectorScratchBytes(const MatmulArgs& args) {
  const size_t rows = args.rows;
  size_t bytes = kPanelScratchBytes + MatmulSumsBytes(rows, args.gate != GateActivation::kNone);
  if (args.x_quantized != nullptr) bytes += MatmulFactorBytes(rows, args.weights.cols);
  return RoundUp(bytes, 64);
}

// Two scales a block would take twice the tiles.
bool TilesSupport(bool quantized_x, DType weights) {
  return quantized_x && SupportsAll(quantized_x, weights) && PanelFormatOf(weights)->sub == 32;
}

// Floats, and formats without scales to decode, have but one way.
bool DecodeOnceSupports(bool quantized_x, DType weights) {
  return quantized_x && SupportsAll(quantized_x, weights) && !PanelFormatOf(weights)->by_row;
}

// Below, a sweep of tiles is no faster than vector dot products: measured on Emerald Rapids, 24 to
// 32 rows are equal, 64 take 0.75 to 0.9 of the time.
constexpr size_t kLeastTileRows = 48;
// Without scales between them, products of tiles are added up in tiles: measured there, 6 rows take
// 0.9 of the time of vectors, 16 rows 0.55, 32 and more 0.5.
constexpr size_t kLeastTileRowsOfW8 = 6;

// Fewer rows decode the weights again for every 8 of them, in registers. That takes more loads and
// less arithmetic, and processors differ: on Zen 4 it is the faster way up to some 96 rows
// (panel_avx512.h), on Emerald Rapids it never is; 16 to 128 rows take 1.1 to 1.7 times as long.
constexpr size_t kLeastDecodeOnceRows = 97;
constexpr size_t kLeastDecodeOnceRowsWithAmx = 13;

constexpr MatmulImpl kImpls[] = {
    kAmxMatmulImpl,
    {"amx_int8", kCpuAmx | kCpuAvx512 | kCpuAvx512Vnni, true, kLeastTileRows, TilesSupport,
     VectorScratchBytes, cpu::amx::RunMatmul},
    {"avx512_decode_once", kCpuAvx512 | kCpuAvx512Vnni, true, kLeastDecodeOnceRows,
     DecodeOnceSupports, VectorScratchBytes, cpu::avx512::RunMatmulDecodeOnce},
    {"avx512", kCpuAvx512 | kCpuAvx512Vnni, true, 1, SupportsAll, VectorScratchBytes,
     cpu::avx512::RunMatmul},
    {"avx2", kCpuAvx2, true, 1, SupportsAll, VectorScratchBytes, cpu::avx2::RunMatmul},
    {"generic", kCpuGeneric, true, 1, SupportsAll, VectorScratchBytes, cpu::generic::RunMatmul},
};

// M below which it is not worth choosing for these weights on this processor.
size_t LeastRows(const MatmulImpl& impl, DType weights) {
  if (impl.run == cpu::avx512::RunMatmulDecodeOnce && (DetectedCpuFeatures() & kCpuAmx) != 0) {
    return kLeastDecodeOnceRowsWithAmx;
  }
  if (impl.run == cpu::amx::RunMatmul && weights == DType::kW8) return kLeastTileRowsOfW8;
  return impl.min_rows;
}

}  // namespace

size_t MatmulUnits(const MatmulArgs& args) {
  const bool gated = args.gate != GateActivation::kNone;
  return DivUp(gated ? args.weights.rows / 2 : args.weights.rows, 2 * kPanelRows);
}

std::span<const MatmulImpl> MatmulImpls() { return kImpls; }

const MatmulImpl& ChooseMatmul(const MatmulArgs& args, MatmulRows rows) {
  if (args.x_quantized != nullptr) {
    const MatmulImpl* chosen = ChosenMatmul(args.weights.dtype, rows, args.rows);
    if (chosen != nullptr) return *chosen;
  }
  const std::span<const MatmulImpl> impls = MatmulImpls();
  for (const MatmulImpl& impl : impls) {
    if ((impl.required_features & ~CpuFeatures()) != 0) continue;
    if (rows == MatmulRows::kGenerated && !impl.invariant) continue;
    const bool whatever_rows = rows == MatmulRows::kPrompt && !impl.invariant;
    if (args.rows < LeastRows(impl, args.weights.dtype) && !whatever_rows) continue;
    if (impl.supports(args.x_quantized != nullptr, args.weights.dtype)) return impl;
  }
  return impls.back();
}

size_t MatmulScratchBytes(const MatmulArgs& args) {
  size_t most = 0;
  for (const MatmulImpl& impl : MatmulImpls()) {
    const bool permitted = (impl.required_features & ~CpuFeatures()) == 0;
    if (permitted && impl.supports(args.x_quantized != nullptr, args.weights.dtype)) {
      most = std::max(most, impl.scratch_bytes(args));
    }
  }
  return most;
}

}  // namespace pelton
