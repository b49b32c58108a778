#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/ops/packed_weights.h"

// The inner kernels of matmul, one instance per weight format and instruction set. Each computes
// y[r][0..31] += nothing else but the sums over all of K, for one pair of panels.

namespace pelton::cpu::KERNEL_ISA {

// Rows of 8-bit activations. Factors of row r, block b are at factors + r * factor_stride + b * w:
// the block's scale, then a term per half of the block when the weights have sub 16 (w = 4), else
// one (w = 2). A term is scale * sum of the activations for weights with a minimum; otherwise the
// int32 -zero * sum, from which the integer dot product starts.
struct DotRows {
  const int8_t* values;
  size_t values_stride;
  const float* factors;
  size_t factor_stride;
  size_t count;
  // Whether many rows sweep pieces of weights that are decoded once. Else they pass the panel in
  // chunks that decode it again, where the instruction set has registers for that.
  bool decode_once = false;
};

struct FmaRows {
  const float* x;
  size_t stride;
  size_t count;
};

constexpr size_t FactorWords(const PanelFormat& format) { return format.sub == 16 ? 4 : 2; }

// `panels` is the first of the two; y has row stride y_stride. `scratch` holds a decoded piece of
// the pair (kPanelScratchBytes).
template <DType kDType>
void DotPanelPair(const std::byte* panels, size_t cols, const DotRows& rows, float* y,
                  size_t y_stride, std::byte* scratch) noexcept;
// Of W8; of a row's factors only the first two count, the second being the term of all columns.
void DotPanelPairByRow(const std::byte* panels, size_t cols, const DotRows& rows, float* y,
                       size_t y_stride, std::byte* scratch) noexcept;
template <DType kDType>
void FmaPanelPair(const std::byte* panels, size_t cols, const FmaRows& rows, float* y,
                  size_t y_stride, std::byte* scratch) noexcept;

}  // namespace pelton::cpu::KERNEL_ISA
