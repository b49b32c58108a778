#pragma once

#include KERNEL_SIMD_HEADER

// The register tile of attention's two products, compiled per ISA.
namespace pelton::cpu::KERNEL_ISA {

// Rows and vectors of a tile: the accumulators, one row of b and a broadcast fit in 32 registers
// (AVX-512) or 16, and each loaded vector of b serves kBlockRows products.
inline constexpr size_t kBlockRows = 6;
inline constexpr size_t kBlockVectors = F32::kLanes == 16 ? 4 : 2;

// For r < kRows and the lanes c of kVectors vectors:
//   out[r][c] = (accumulate ? out[r][c] : 0) + a[r][0] b[0][c] + ... + a[r][n - 1] b[n - 1][c]
// added in that order, so that the result does not depend on kRows or kVectors.
template <size_t kRows, size_t kVectors>
void MulAddBlock(const float* a, size_t a_stride, const float* b, size_t b_stride, size_t n,
                 bool accumulate, float* out, size_t out_stride) {
  constexpr size_t kLanes = F32::kLanes;
  F32 sums[kRows][kVectors];
#pragma GCC unroll 8
  for (size_t r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (size_t c = 0; c < kVectors; ++c) {
      sums[r][c] = accumulate ? Load(out + r * out_stride + c * kLanes) : Zero();
    }
  }
  for (size_t k = 0; k < n; ++k) {
    F32 vectors[kVectors];
#pragma GCC unroll 4
    for (size_t c = 0; c < kVectors; ++c) vectors[c] = Load(b + k * b_stride + c * kLanes);
#pragma GCC unroll 8
    for (size_t r = 0; r < kRows; ++r) {
      const F32 factor = Broadcast(a[r * a_stride + k]);
#pragma GCC unroll 4
      for (size_t c = 0; c < kVectors; ++c) sums[r][c] = MulAdd(factor, vectors[c], sums[r][c]);
    }
  }
#pragma GCC unroll 8
  for (size_t r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (size_t c = 0; c < kVectors; ++c) Store(sums[r][c], out + r * out_stride + c * kLanes);
  }
}

using MulAddBlockFn = void (*)(const float*, size_t, const float*, size_t, size_t, bool, float*,
                               size_t);

template <size_t kVectors>
MulAddBlockFn MulAddBlockOf(size_t rows) {
  static_assert(kBlockRows == 6);
  switch (rows) {
    case 1:
      return MulAddBlock<1, kVectors>;
    case 2:
      return MulAddBlock<2, kVectors>;
    case 3:
      return MulAddBlock<3, kVectors>;
    case 4:
      return MulAddBlock<4, kVectors>;
    case 5:
      return MulAddBlock<5, kVectors>;
    default:
      return MulAddBlock<6, kVectors>;
  }
}

// MulAddBlock for any number of vectors. Requires: 0 < rows <= kBlockRows.
inline void MulAddRows(size_t rows, size_t vectors, const float* a, size_t a_stride, const float* b,
                       size_t b_stride, size_t n, bool accumulate, float* out, size_t out_stride) {
  while (vectors > 0) {
    const size_t step = vectors < kBlockVectors ? vectors : kBlockVectors;
    MulAddBlockFn block = MulAddBlockOf<kBlockVectors>(rows);
    if (step == 1) block = MulAddBlockOf<1>(rows);
    if constexpr (kBlockVectors == 4) {
      if (step == 2) block = MulAddBlockOf<2>(rows);
      if (step == 3) block = MulAddBlockOf<3>(rows);
    }
    block(a, a_stride, b, b_stride, n, accumulate, out, out_stride);
    b += step * F32::kLanes;
    out += step * F32::kLanes;
    vectors -= step;
  }
}

}  // namespace pelton::cpu::KERNEL_ISA
