#include "kernels/ops/matmul.h"

#include <algorithm>

#include "base/cpu_features.h"
#include "kernels/cpu/matmul_amx.h"
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

// Below, a sweep of tiles is no faster than vector dot products: measured on Emerald Rapids, 24 to
// 32 rows are equal, 64 take 0.75 to 0.9 of the time.
constexpr size_t kLeastTileRows = 48;

constexpr MatmulImpl kImpls[] = {
    kAmxMatmulImpl,
    {"amx_int8", kCpuAmx | kCpuAvx512 | kCpuAvx512Vnni, true, kLeastTileRows, TilesSupport,
     VectorScratchBytes, cpu::amx::RunMatmul},
    {"avx512", kCpuAvx512 | kCpuAvx512Vnni, true, 1, SupportsAll, VectorScratchBytes,
     cpu::avx512::RunMatmul},
    {"avx2", kCpuAvx2, true, 1, SupportsAll, VectorScratchBytes, cpu::avx2::RunMatmul},
    {"generic", kCpuGeneric, true, 1, SupportsAll, VectorScratchBytes, cpu::generic::RunMatmul},
};

}  // namespace

size_t MatmulUnits(const MatmulArgs& args) {
  const bool gated = args.gate != GateActivation::kNone;
  return DivUp(gated ? args.weights.rows / 2 : args.weights.rows, 2 * kPanelRows);
}

std::span<const MatmulImpl> MatmulImpls() { return kImpls; }

const MatmulImpl& ChooseMatmul(const MatmulArgs& args, MatmulRows rows) {
  const std::span<const MatmulImpl> impls = MatmulImpls();
  for (const MatmulImpl& impl : impls) {
    if ((impl.required_features & ~CpuFeatures()) != 0) continue;
    if (rows == MatmulRows::kGenerated && !impl.invariant) continue;
    const bool whatever_rows = rows == MatmulRows::kPrompt && !impl.invariant;
    if (args.rows < impl.min_rows && !whatever_rows) continue;
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
