#if defined(KERNEL_TILES)
#include "kernels/cpu/matmul_by_row_tiles.h"
#else
#include "kernels/cpu/matmul_by_row.h"
#endif

namespace pelton::cpu::KERNEL_ISA {

void DotPanelPairByRow(const std::byte* panels, size_t cols, const DotRows& rows, float* y,
                       size_t y_stride, std::byte* scratch) noexcept {
  const size_t blocks = (cols + kBlockCols - 1) / kBlockCols;
  const size_t panel_bytes = kRowScaleBytes + blocks * kByRowBlockBytes;
  SumPairByRow(panels, panel_bytes, blocks, rows, y, y_stride, scratch);
  ScaleSums<kSumsHaveTerms>(panels, panel_bytes, rows, y, y_stride);
}

}  // namespace pelton::cpu::KERNEL_ISA
