#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/matmul_dot_piece.h"

// Matmul with 8-bit activations over W8, where weights and activations have one scale a row. For
// one output, whoever makes the sum:
//   dot = -zero * sum x + sum code * x      integers of 32 bits, in any order
//   y = float(dot) * (scale_w * scale_x)

namespace pelton::cpu::KERNEL_ISA {

// A piece of a pair of panels: quads [columns / 4][2 panels] of codes, 16 KiB, half an L1 cache.
inline constexpr size_t kByRowBlockBytes = kBlockCols * kPanelRows;
inline constexpr size_t kByRowPieceBlocks = 16;
inline constexpr size_t kPieceQuadBytes = 128;

// Copies `blocks` blocks of one panel's codes to its place in a piece, through `prepare`.
template <typename Prepare>
void CopyPiece(const std::byte* codes, size_t blocks, std::byte* out, Prepare prepare) {
  for (size_t q = 0; q < blocks * 8; ++q) {
    StoreQuad(out + q * kPieceQuadBytes, prepare(LoadQuad(codes + q * 64)));
  }
}

// The sums lie where the results will.
inline int32_t* AsSums(float* y) { return reinterpret_cast<int32_t*>(y); }

// Makes results of them, in place. `panels` begin with their scales.
inline void ScaleSums(const std::byte* panels, size_t panel_bytes, const DotRows& rows, float* y,
                      size_t y_stride) {
  const F32x16 scale[2] = {LoadF32(AsFloats(panels)), LoadF32(AsFloats(panels + panel_bytes))};
  for (size_t r = 0; r < rows.count; ++r) {
    const F32x16 factor = SetF32(rows.factors[r * rows.factor_stride]);
    PELTON_UNROLL
    for (int p = 0; p < 2; ++p) {
      float* const out = y + r * y_stride + 16 * p;
      StoreF32(out, Mul(ToF32(LoadI32(AsSums(out))), Mul(scale[p], factor)));
    }
  }
}

}  // namespace pelton::cpu::KERNEL_ISA
