#pragma once

#include "kernels/cpu/bf16_rounding.h"
#include "kernels/cpu/matmul_rows.h"
#include "kernels/cpu/panel_decode.h"

// Panels of packed weights to tiles of bf16.
namespace pelton::cpu::KERNEL_ISA {

// A tile of weights is [16 k / 2][16 rows][2 k]: 32 columns of a panel. The tiles of the two panels
// of a pair alternate, so a panel's next tile is two tiles on.
inline constexpr size_t kTileBytes = 1024;
inline constexpr size_t kTilePairBytes = 2 * kTileBytes;

// Tiles [first, first + count) of one panel with `blocks` tiles in all. Every weight is its exact
// value rounded to f32 and then to bf16. `first` begins a group; the last tile ends one.
using DequantizePanelFn = void (*)(const std::byte* panel, size_t first, size_t count,
                                   size_t blocks, std::byte* out);

// Quad `q` of a block: rows 2 q and 2 q + 1 of its tile. The product of a scale and a zero point,
// which is a power of two, is exact, so scale * code - scale * zero is rounded once.
inline void DequantizeQuad(std::byte* tile, int q, Quad codes, F32x16 scale, F32x16 offset) {
  std::byte* rows = tile + 128 * q;
  StoreBf16Pairs(rows, Fma(scale, CodeColumn<0>(codes), offset),
                 Fma(scale, CodeColumn<1>(codes), offset));
  StoreBf16Pairs(rows + 64, Fma(scale, CodeColumn<2>(codes), offset),
                 Fma(scale, CodeColumn<3>(codes), offset));
}

template <DType kDType>
void DequantizePanel(const std::byte* panel, size_t first, size_t count, size_t blocks,
                     std::byte* out) {
  using C = PanelCodes<kDType>;
  const std::byte* group = panel + C::PanelBytes(first);
  for (size_t done = 0; done < count; done += C::kGroup) {
    const size_t left = blocks - first - done;
    const size_t n = left < C::kGroup ? left : C::kGroup;
    for (size_t i = 0; i < C::HeaderBytes(n); i += 64) PrefetchLine(group + kPrefetchBytes + i);
    const std::byte* codes = group + C::HeaderBytes(n);
    for (size_t b = 0; b < n; ++b, codes += C::kCodeBytes, out += kTilePairBytes) {
      for (size_t i = 0; i < C::kCodeBytes; i += 64) PrefetchLine(codes + kPrefetchBytes + i);
      F32x16 scale[C::kSubs], offset[C::kSubs];
      for (int s = 0; s < C::kSubs; ++s) {
        scale[s] = QuietNans(SubScale<kDType>(group, b, s));
        if constexpr (C::kMinimum) {
          offset[s] = QuietNans(SubMinimum<kDType>(group, n, b, s));
        } else {
          offset[s] = Mul(scale[s], SetF32(-static_cast<float>(C::kZero)));
        }
      }
      ForEachQuadPair<kDType>(codes, [&](int i, Quad low, Quad high) {
        DequantizeQuad(out, i, low, scale[0], offset[0]);
        DequantizeQuad(out, i + 4, high, scale[C::kSubs - 1], offset[C::kSubs - 1]);
      });
    }
    group = codes;
  }
}

inline void DequantizeF16Panel(const std::byte* panel, size_t first, size_t count, size_t,
                               std::byte* out) {
  const std::byte* stored = panel + first * kTileBytes;
  for (size_t tile = 0; tile < count; ++tile, out += kTilePairBytes) {
    for (size_t row = 0; row < kTileBytes; row += 64, stored += 64) {
      PrefetchLine(stored + kPrefetchBytes);
      F32x16 even, odd;
      LoadPairF16(stored, even, odd);
      StoreBf16Pairs(out + row, QuietNans(even), QuietNans(odd));
    }
  }
}

inline void DequantizeFloat8Panel(const std::byte* panel, size_t first, size_t count, size_t,
                                  std::byte* out) {
  using C = PanelCodes<DType::kF8E4M3>;
  const std::byte* stored = panel + C::PanelBytes(first);
  F32x16 scale = ZeroF32();
  for (size_t tile = 0; tile < count; ++tile, out += kTilePairBytes) {
    if (tile % C::kGroup == 0) {
      scale = Mul(QuietNans(LoadF32(AsFloats(stored))), SetF32(0x1p8f));  // see LoadPairF8
      PrefetchLine(stored + kPrefetchBytes);
      stored += C::HeaderBytes(1);
    }
    for (size_t row = 0; row < kTileBytes; row += 64, stored += 2 * kPanelRows) {
      if (row % 128 == 0) PrefetchLine(stored + kPrefetchBytes);
      F32x16 even, odd;
      LoadPairF8(stored, even, odd);
      StoreBf16Pairs(out + row, Mul(even, scale), Mul(odd, scale));
    }
  }
}

// Requires: AmxMatmulSupports, and not BF16, whose panels are tiles already.
inline DequantizePanelFn DequantizerOf(DType dtype) {
  switch (dtype) {
    case DType::kF16:
      return DequantizeF16Panel;
    case DType::kF8E4M3:
      return DequantizeFloat8Panel;
    case DType::kQ4_0:
      return DequantizePanel<DType::kQ4_0>;
    case DType::kQ4_1:
      return DequantizePanel<DType::kQ4_1>;
    case DType::kQ5_0:
      return DequantizePanel<DType::kQ5_0>;
    case DType::kQ5_1:
      return DequantizePanel<DType::kQ5_1>;
    case DType::kQ8_0:
      return DequantizePanel<DType::kQ8_0>;
    case DType::kIQ4_NL:
      return DequantizePanel<DType::kIQ4_NL>;
    case DType::kMXFP4:
      return DequantizePanel<DType::kMXFP4>;
    case DType::kQ2_K:
      return DequantizePanel<DType::kQ2_K>;
    case DType::kQ3_K:
      return DequantizePanel<DType::kQ3_K>;
    case DType::kQ4_K:
      return DequantizePanel<DType::kQ4_K>;
    case DType::kQ5_K:
      return DequantizePanel<DType::kQ5_K>;
    case DType::kQ6_K:
      return DequantizePanel<DType::kQ6_K>;
    default:
      return nullptr;
  }
}

}  // namespace pelton::cpu::KERNEL_ISA
