#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/panel_layout.h"
#include "kernels/cpu/simd/panel.h"
#include "kernels/ops/packed_weights.h"

namespace pelton::cpu::KERNEL_ISA {

// A format of panels (kernels/ops/packed_weights.h) with everything known to the compiler.
template <DType kDType>
struct PanelCodes {
  static constexpr PanelFormat kFormat = *PanelFormatOf(kDType);
  static constexpr bool kSuper = kFormat.super;
  static constexpr bool kMinimum = kFormat.has_minimum;
  static constexpr bool kWide = HasWideCodes(kFormat);
  static constexpr int kZero = ZeroOfCodes(kFormat);
  static constexpr int kSubs = 32 / kFormat.sub;  // scales per block
  static constexpr size_t kCodeBytes = CodeBytes(kFormat);
  static constexpr size_t kGroup = kSuper ? kSuperCols / kBlockCols : kGroupBlocks;  // blocks

  // Of a group of `blocks` blocks: what stands before the codes, and all of it.
  static constexpr size_t HeaderBytes(size_t blocks) {
    return kSuper ? SuperHeaderBytes(kFormat) : GroupHeaderBytes(kFormat, blocks);
  }
  static constexpr size_t GroupBytes(size_t blocks) {
    return HeaderBytes(blocks) + blocks * kCodeBytes;
  }
  // Of the first `blocks` blocks of a panel; a whole number of groups, or all.
  static constexpr size_t PanelBytes(size_t blocks) {
    const size_t rest = blocks % kGroup;
    return blocks / kGroup * GroupBytes(kGroup) + (rest != 0 ? GroupBytes(rest) : 0);
  }
};

inline constexpr uint8_t kIq4NlCodes[16] = {  // kIq4NlValues + 128
    128 - 127, 128 - 104, 128 - 83, 128 - 65, 128 - 49, 128 - 35, 128 - 22, 128 - 10,
    128 + 1,   128 + 13,  128 + 25, 128 + 38, 128 + 53, 128 + 69, 128 + 89, 128 + 113};

inline constexpr uint8_t kFloat4Codes[16] = {  // kFloat4Values + 12
    12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};

// Quads i and i + 4 of a block.
template <DType kDType, int i>
inline void DecodeQuads(const std::byte* codes, Quad& low, Quad& high) {
  using C = PanelCodes<kDType>;
  if constexpr (C::kFormat.code_bits == 8) {
    low = LoadQuad(codes + 64 * i);
    high = LoadQuad(codes + 64 * (i + 4));
  } else {
    const Quad both = LoadQuad(codes + 64 * i);
    low = LowNibbles(both);
    high = HighNibbles(both);
    if constexpr (C::kFormat.code_bits == 6) {
      low = WithTops<i>(low, LoadQuad(codes + 256));
      high = WithTops<i>(high, LoadQuad(codes + 320));
    }
    if constexpr (C::kFormat.table) {
      const uint8_t* table = C::kFormat.float4 ? kFloat4Codes : kIq4NlCodes;
      low = LookUp(table, low);
      high = LookUp(table, high);
    }
  }
}

// Calls use(i, quad i, quad i + 4) for i in 0..3.
template <DType kDType, typename Use>
inline void ForEachQuadPair(const std::byte* codes, Use use) {
  Quad low, high;
  DecodeQuads<kDType, 0>(codes, low, high);
  use(0, low, high);
  DecodeQuads<kDType, 1>(codes, low, high);
  use(1, low, high);
  DecodeQuads<kDType, 2>(codes, low, high);
  use(2, low, high);
  DecodeQuads<kDType, 3>(codes, low, high);
  use(3, low, high);
}

// Scale and minimum of sub-block `sub` of block `b` in a group of `blocks`. The products with the
// scales of a super format are exact in f32.
template <DType kDType>
inline F32x16 SubScale(const std::byte* group, size_t b, int sub) {
  using C = PanelCodes<kDType>;
  if constexpr (C::kSuper) {
    return Mul(LoadF16(group), LoadI8(group + 64 + (b * C::kSubs + sub) * kPanelRows));
  } else if constexpr (C::kFormat.float4) {
    return LoadBF16(group + b * 2 * kPanelRows);
  } else {
    return LoadF16(group + b * 2 * kPanelRows);
  }
}
template <DType kDType>
inline F32x16 SubMinimum(const std::byte* group, size_t blocks, size_t b, int sub) {
  using C = PanelCodes<kDType>;
  if constexpr (C::kSuper) {
    const F32x16 minima =
        LoadU8(group + 64 + (SuperScales(C::kFormat) + b * C::kSubs + sub) * kPanelRows);
    return Sub(ZeroF32(), Mul(LoadF16(group + 32), minima));
  } else {
    return LoadF16(group + (blocks + b) * 2 * kPanelRows);
  }
}

// The weights of columns 4q .. 4q + 3 of a block, each rounded at most once.
template <DType kDType>
inline void DecodeQuad(Quad q, F32x16 scale, F32x16 minimum, F32x16 out[4]) {
  using C = PanelCodes<kDType>;
  out[0] = CodeColumn<0>(q);
  out[1] = CodeColumn<1>(q);
  out[2] = CodeColumn<2>(q);
  out[3] = CodeColumn<3>(q);
  PELTON_UNROLL
  for (int j = 0; j < 4; ++j) {
    if constexpr (C::kMinimum) {
      out[j] = Fma(scale, out[j], minimum);
    } else {
      if constexpr (C::kZero != 0) out[j] = Sub(out[j], SetF32(C::kZero));
      out[j] = Mul(scale, out[j]);
    }
  }
}

}  // namespace pelton::cpu::KERNEL_ISA
