#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/matmul_dot_piece.h"

// Matmul with 8-bit activations over W8, where weights and activations have one scale a row. For
// one output, whoever makes the sum:
//   dot = -zero * sum x + sum code * x      integers of 32 bits, in any order
//   y = float(dot) * (scale_w * scale_x)

namespace pelton::cpu::KERNEL_ISA {

inline constexpr size_t kByRowBlockBytes = kBlockCols * kPanelRows;

// The sums lie where the results will.
inline int32_t* AsSums(float* y) { return reinterpret_cast<int32_t*>(y); }

// Makes results of them, in place. `panels` begin with their scales. The sums have the term of the
// zero point already where kHaveTerms.
template <bool kHaveTerms>
inline void ScaleSums(const std::byte* panels, size_t panel_bytes, const DotRows& rows, float* y,
                      size_t y_stride) {
  const F32x16 scale[2] = {LoadF32(AsFloats(panels)), LoadF32(AsFloats(panels + panel_bytes))};
  for (size_t r = 0; r < rows.count; ++r) {
    const float* factors = rows.factors + r * rows.factor_stride;
    const F32x16 factor = SetF32(factors[0]);
    const I32x16 term = kHaveTerms ? ZeroI32() : SetI32(LoadInt(factors + 1));
    PELTON_UNROLL
    for (int p = 0; p < 2; ++p) {
      float* const out = y + r * y_stride + 16 * p;
      StoreF32(out, Mul(ToF32(AddI32(LoadI32(AsSums(out)), term)), Mul(scale[p], factor)));
    }
  }
}

}  // namespace pelton::cpu::KERNEL_ISA
