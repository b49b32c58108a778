#pragma once

#include <cstddef>

#include "kernels/cpu/matmul_panels.h"
#include "kernels/cpu/matmul_rows.h"
#include "kernels/cpu/panel_decode.h"

// Matmul with f32 activations. Every path below does, for one output, in the order of k:
//   acc = fma(w[k], x[k], acc)      with w[k] the decoded weight

namespace pelton::cpu::KERNEL_ISA {

template <DType kDType>
inline constexpr bool kIsScaled = PanelFormatOf(kDType)->scaled;
template <DType kDType>
inline constexpr bool kIsScalar = PanelFormatOf(kDType)->code_bits == 0 && !kIsScaled<kDType>;
template <DType kDType>
inline constexpr bool kIsByRow = PanelFormatOf(kDType)->by_row;
template <DType kDType>
inline constexpr size_t kScalarPairBytes = kDType == DType::kF32 ? 128 : 64;  // 2 columns

template <DType kDType>
inline void LoadPair(const std::byte* p, F32x16& even, F32x16& odd) {
  if constexpr (kDType == DType::kF32) LoadPairF32(p, even, odd);
  if constexpr (kDType == DType::kF16) LoadPairF16(p, even, odd);
  if constexpr (kDType == DType::kBF16) LoadPairBF16(p, even, odd);
}

// One panel of scalars and R rows, as one sequential stream.
template <DType kDType, int R>
void FmaFew(const std::byte* panel, size_t cols, const FmaRows& rows, float* y, size_t y_stride) {
  constexpr size_t kStep = kScalarPairBytes<kDType>;
  F32x16 acc[R];
  PELTON_UNROLL
  for (int r = 0; r < R; ++r) acc[r] = ZeroF32();
  RowPointers<R> x(rows.x, rows.stride * sizeof(float));
  const std::byte* w = panel;
  F32x16 even, odd;
  for (size_t k = 0; k + 2 <= cols; k += 2, w += kStep) {
    PELTON_UNROLL
    for (size_t i = 0; i < kStep; i += 64) PrefetchStreamLine(w + i);
    LoadPair<kDType>(w, even, odd);
    PELTON_UNROLL
    for (int r = 0; r < R; ++r) acc[r] = Fma(even, SetF32(AsFloats(x.At(r))[0]), acc[r]);
    PELTON_UNROLL
    for (int r = 0; r < R; ++r) acc[r] = Fma(odd, SetF32(AsFloats(x.At(r))[1]), acc[r]);
    x.Advance(2 * sizeof(float));
  }
  if (cols % 2 != 0) {
    LoadPair<kDType>(w, even, odd);
    PELTON_UNROLL
    for (int r = 0; r < R; ++r) acc[r] = Fma(even, SetF32(AsFloats(x.At(r))[0]), acc[r]);
  }
  PELTON_UNROLL
  for (int r = 0; r < R; ++r) StoreF32(y + r * y_stride, acc[r]);
}

// The scales of a group of floats of 8 bits, for what LoadPairF8 gives: 2^8 times as large.
inline F32x16 LoadScales(const std::byte* group) {
  return Mul(LoadF32(AsFloats(group)), SetF32(0x1p8f));
}
inline constexpr size_t kFloat8PairBytes = 2 * kPanelRows;  // 2 columns

// Two columns of a panel of floats of 8 bits; a weight is rounded once, as 2^8 is exact.
inline void LoadScaledPair(const std::byte* p, F32x16 scale, F32x16& even, F32x16& odd) {
  LoadPairF8(p, even, odd);
  even = Mul(even, scale);
  odd = Mul(odd, scale);
}

// P panels of floats of 8 bits, each a sequential stream, and R rows.
template <DType kDType, int R, int P>
void FmaFewScaled(const std::byte* panels, size_t panel_bytes, size_t cols, const FmaRows& rows,
                  float* y, size_t y_stride) {
  using C = PanelCodes<kDType>;
  F32x16 acc[R][P];
  PELTON_UNROLL
  for (int r = 0; r < R; ++r) {
    PELTON_UNROLL
    for (int p = 0; p < P; ++p) acc[r][p] = ZeroF32();
  }
  RowPointers<R> x(rows.x, rows.stride * sizeof(float));
  const auto load = [&](const std::byte* pair, F32x16* even, F32x16* odd, const F32x16* scale) {
    PELTON_UNROLL
    for (int p = 0; p < P; ++p) {
      LoadScaledPair(pair + p * panel_bytes, scale[p], even[p], odd[p]);
    }
  };
  const auto multiply = [&](const F32x16* weights, int column) {
    PELTON_UNROLL
    for (int r = 0; r < R; ++r) {
      const F32x16 activation = SetF32(AsFloats(x.At(r))[column]);
      PELTON_UNROLL
      for (int p = 0; p < P; ++p) acc[r][p] = Fma(weights[p], activation, acc[r][p]);
    }
  };
  const std::byte* w = panels;
  for (size_t done = 0; done < cols; done += kScaledCols) {
    const size_t count = cols - done < kScaledCols ? cols - done : kScaledCols;
    F32x16 scale[P];
    PELTON_UNROLL
    for (int p = 0; p < P; ++p) {
      scale[p] = LoadScales(w + p * panel_bytes);
      PrefetchStreamLine(w + p * panel_bytes);
    }
    w += C::HeaderBytes(1);
    for (size_t first = 0; first < count; first += kBlockCols, w += C::kCodeBytes) {
      const size_t here = count - first < kBlockCols ? count - first : kBlockCols;
      PELTON_UNROLL
      for (int p = 0; p < P; ++p) {
        PELTON_UNROLL
        for (size_t i = 0; i < C::kCodeBytes; i += 64) PrefetchStreamLine(w + p * panel_bytes + i);
      }
      const std::byte* pair = w;
      F32x16 even[P], odd[P];
      size_t k = 0;
      for (; k + 2 <= here; k += 2, pair += kFloat8PairBytes) {
        load(pair, even, odd, scale);
        multiply(even, 0);
        multiply(odd, 1);
        x.Advance(2 * sizeof(float));
      }
      if (k < here) {  // there is no activation beyond the last column
        load(pair, even, odd, scale);
        multiply(even, 0);
      }
    }
  }
  PELTON_UNROLL
  for (int r = 0; r < R; ++r) {
    PELTON_UNROLL
    for (int p = 0; p < P; ++p) StoreF32(y + r * y_stride + 16 * p, acc[r][p]);
  }
}

// R rows by P panels over a decoded piece [k][2 panels][16]; adds to y unless `first`.
template <int R, int P>
void FmaTile(const float* w, size_t cols, const FmaRows& rows, float* y, size_t y_stride,
             bool first) {
  F32x16 acc[R][P];
  PELTON_UNROLL
  for (int r = 0; r < R; ++r) {
    PELTON_UNROLL
    for (int p = 0; p < P; ++p) {
      acc[r][p] = first ? ZeroF32() : LoadF32(y + r * y_stride + 16 * p);
    }
  }
  RowPointers<R> x(rows.x, rows.stride * sizeof(float));
  for (size_t k = 0; k < cols; ++k, w += 32) {
    F32x16 weights[P];
    PELTON_UNROLL
    for (int p = 0; p < P; ++p) weights[p] = LoadF32(w + 16 * p);
    PELTON_UNROLL
    for (int r = 0; r < R; ++r) {
      const F32x16 activation = SetF32(AsFloats(x.At(r))[0]);
      PELTON_UNROLL
      for (int p = 0; p < P; ++p) acc[r][p] = Fma(weights[p], activation, acc[r][p]);
    }
    x.Advance(sizeof(float));
  }
  PELTON_UNROLL
  for (int r = 0; r < R; ++r) {
    PELTON_UNROLL
    for (int p = 0; p < P; ++p) StoreF32(y + r * y_stride + 16 * p, acc[r][p]);
  }
}

inline constexpr size_t kFmaPieceCols = 256;

// Columns of one panel, `panel` being where the panel's column 0 is and `first` a multiple of 256,
// into `out` [cols][2][16] (already at the panel's place in a pair).
template <DType kDType>
void DecodeFloats(const std::byte* panel, size_t first, size_t cols, size_t all_cols, float* out) {
  if constexpr (kIsScalar<kDType>) {
    const std::byte* w = panel + first / 2 * kScalarPairBytes<kDType>;
    for (size_t k = 0; k < cols; k += 2, w += kScalarPairBytes<kDType>, out += 64) {
      F32x16 even, odd;
      LoadPair<kDType>(w, even, odd);
      StoreF32(out, even);
      if (k + 1 < cols) StoreF32(out + 32, odd);
    }
  } else if constexpr (kIsScaled<kDType>) {
    using C = PanelCodes<kDType>;
    const std::byte* w = panel + C::PanelBytes(first / kBlockCols);
    for (size_t done = 0; done < cols; done += kScaledCols) {
      const F32x16 scale = LoadScales(w);
      PrefetchStreamLine(w);
      w += C::HeaderBytes(1);
      // Whole blocks: a piece has room for the zeros that follow the last column.
      const size_t left = cols - done < kScaledCols ? cols - done : kScaledCols;
      for (size_t k = 0; k < left; k += kBlockCols) {
        PELTON_UNROLL
        for (size_t i = 0; i < C::kCodeBytes; i += 64) PrefetchStreamLine(w + i);
        for (size_t i = 0; i < kBlockCols; i += 2, w += kFloat8PairBytes, out += 64) {
          F32x16 even, odd;
          LoadScaledPair(w, scale, even, odd);
          StoreF32(out, even);
          StoreF32(out + 32, odd);
        }
      }
    }
  } else if constexpr (kIsByRow<kDType>) {
    const F32x16 scale = LoadF32(AsFloats(panel));
    const std::byte* codes = panel + kRowScaleBytes + first * kPanelRows;
    for (size_t k = 0; k < cols; k += 4, codes += 64, out += 4 * 32) {
      PrefetchStreamLine(codes);
      F32x16 columns[4];
      DecodeQuad<kDType>(LoadQuad(codes), scale, scale, columns);
      PELTON_UNROLL
      for (int j = 0; j < 4; ++j) StoreF32(out + j * 32, columns[j]);
    }
  } else {
    using C = PanelCodes<kDType>;
    const size_t blocks_left = (all_cols - first + kBlockCols - 1) / kBlockCols;
    const size_t count = (cols + kBlockCols - 1) / kBlockCols;
    const std::byte* group = panel + C::PanelBytes(first / kBlockCols);
    for (size_t done = 0; done < count; done += C::kGroup) {
      const size_t n = blocks_left - done < C::kGroup ? blocks_left - done : C::kGroup;
      const std::byte* codes = group + C::HeaderBytes(n);
      for (size_t b = 0; b < n; ++b, codes += C::kCodeBytes, out += kBlockCols * 32) {
        for (size_t i = 0; i < C::kCodeBytes; i += 64) PrefetchStreamLine(codes + i);
        const F32x16 scale0 = SubScale<kDType>(group, b, 0);
        const F32x16 scale1 = C::kSubs == 2 ? SubScale<kDType>(group, b, 1) : scale0;
        F32x16 minimum0 = ZeroF32(), minimum1 = minimum0;
        if constexpr (C::kMinimum) {
          minimum0 = SubMinimum<kDType>(group, n, b, 0);
          minimum1 = C::kSubs == 2 ? SubMinimum<kDType>(group, n, b, 1) : minimum0;
        }
        ForEachQuadPair<kDType>(codes, [&](int i, Quad low, Quad high) {
          F32x16 columns[4];
          DecodeQuad<kDType>(low, scale0, minimum0, columns);
          PELTON_UNROLL
          for (int j = 0; j < 4; ++j) StoreF32(out + (4 * i + j) * 32, columns[j]);
          DecodeQuad<kDType>(high, scale1, minimum1, columns);
          PELTON_UNROLL
          for (int j = 0; j < 4; ++j) StoreF32(out + (16 + 4 * i + j) * 32, columns[j]);
        });
      }
      group = codes;
    }
  }
}

template <DType kDType>
constexpr size_t FloatPanelBytes(size_t cols) {
  const size_t blocks = (cols + kBlockCols - 1) / kBlockCols;
  if constexpr (kIsScalar<kDType>) {
    return blocks * kBlockCols / 2 * kScalarPairBytes<kDType>;
  } else if constexpr (kIsByRow<kDType>) {
    return kRowScaleBytes + blocks * PanelCodes<kDType>::kCodeBytes;
  } else {
    return PanelCodes<kDType>::PanelBytes(blocks);
  }
}

template <int R>
void FmaTileOf(size_t r, const float* w, size_t cols, const FmaRows& rows, float* y,
               size_t y_stride, bool first) {
  if constexpr (R > 1) {
    if (r < R) return FmaTileOf<R - 1>(r, w, cols, rows, y, y_stride, first);
  }
  for (int p = 0; p < 2; p += kFmaTilePanels) {
    FmaTile<R, kFmaTilePanels>(w + 16 * p, cols, rows, y + 16 * p, y_stride, first);
  }
}

template <DType kDType, int R>
void FmaFewOf(size_t r, const std::byte* panel, size_t cols, const FmaRows& rows, float* y,
              size_t y_stride) {
  if constexpr (R > 1) {
    if (r < R) return FmaFewOf<kDType, R - 1>(r, panel, cols, rows, y, y_stride);
  }
  FmaFew<kDType, R>(panel, cols, rows, y, y_stride);
}

// With few accumulators both panels at once: one's additions fill the latency of the other's.
template <DType kDType, int R>
void FmaFewScaledOf(size_t r, const std::byte* panels, size_t panel_bytes, size_t cols,
                    const FmaRows& rows, float* y, size_t y_stride) {
  if constexpr (R > 1) {
    if (r < R) {
      return FmaFewScaledOf<kDType, R - 1>(r, panels, panel_bytes, cols, rows, y, y_stride);
    }
  }
  constexpr int kPanels = R <= kFmaTilePanels ? 2 : 1;
  for (int p = 0; p < 2; p += kPanels) {
    FmaFewScaled<kDType, R, kPanels>(panels + p * panel_bytes, panel_bytes, cols, rows, y + 16 * p,
                                     y_stride);
  }
}

template <DType kDType>
void FmaPanelPair(const std::byte* panels, size_t cols, const FmaRows& rows, float* y,
                  size_t y_stride, std::byte* scratch) noexcept {
  const size_t panel_bytes = FloatPanelBytes<kDType>(cols);
  if constexpr (kIsScalar<kDType>) {
    if (rows.count <= kFmaFewRows) {
      for (int p = 0; p < 2; ++p) {
        FmaFewOf<kDType, kFmaFewRows>(rows.count, panels + p * panel_bytes, cols, rows, y + 16 * p,
                                      y_stride);
      }
      return;
    }
  }
  if constexpr (kIsScaled<kDType>) {
    if (rows.count <= kFmaFewRows) {
      return FmaFewScaledOf<kDType, kFmaFewRows>(rows.count, panels, panel_bytes, cols, rows, y,
                                                 y_stride);
    }
  }
  float* piece = reinterpret_cast<float*>(scratch);
  const size_t tiles = (rows.count + kFmaTileRows - 1) / kFmaTileRows;
  for (size_t k = 0; k < cols; k += kFmaPieceCols) {
    const size_t count = cols - k < kFmaPieceCols ? cols - k : kFmaPieceCols;
    DecodeFloats<kDType>(panels, k, count, cols, piece);
    DecodeFloats<kDType>(panels + panel_bytes, k, count, cols, piece + 16);
    size_t row = 0;
    for (size_t tile = 0; tile < tiles; ++tile) {
      const size_t end = rows.count * (tile + 1) / tiles;
      const FmaRows part = {rows.x + row * rows.stride + k, rows.stride, end - row};
      FmaTileOf<kFmaTileRows>(end - row, piece, count, part, y + row * y_stride, y_stride, k == 0);
      row = end;
    }
  }
  // A matrix without columns has sums of nothing.
  if (cols == 0) {
    for (size_t r = 0; r < rows.count; ++r) {
      StoreF32(y + r * y_stride, ZeroF32());
      StoreF32(y + r * y_stride + 16, ZeroF32());
    }
  }
}

}  // namespace pelton::cpu::KERNEL_ISA
