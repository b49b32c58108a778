#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/matmul_dot_piece.h"

// Matmul with 8-bit activations in vector registers.

namespace pelton::cpu::KERNEL_ISA {

// One panel and R rows: each block of weights is decoded once into registers and used by every
// row. The panel is one sequential stream.
template <DType kDType, int R>
void DotFew(const std::byte* panel, size_t blocks, const DotRows& rows, float* y, size_t y_stride) {
  using C = PanelCodes<kDType>;
  constexpr size_t kFactorBytes = 4 * FactorWords(C::kFormat);
  F32x16 acc[R];
  PELTON_UNROLL
  for (int r = 0; r < R; ++r) acc[r] = ZeroF32();
  RowPointers<R> values(rows.values, rows.values_stride);
  RowPointers<R> factors(rows.factors, rows.factor_stride * sizeof(float));
  const std::byte* group = panel;
  for (size_t done = 0; done < blocks; done += C::kGroup) {
    const size_t n = blocks - done < C::kGroup ? blocks - done : C::kGroup;
    const std::byte* codes = group + C::HeaderBytes(n);
    for (size_t i = 0; i < C::HeaderBytes(n); i += 64) PrefetchStreamLine(group + i);
    for (size_t b = 0; b < n; ++b, codes += C::kCodeBytes) {
      PELTON_UNROLL
      for (size_t i = 0; i < C::kCodeBytes; i += 64) PrefetchStreamLine(codes + i);
      if constexpr (R == 1) {
        // Two sums, of the two halves of the block, halve the latency.
        F32x16 scale[C::kSubs], minimum[C::kSubs];
        PELTON_UNROLL
        for (int s = 0; s < C::kSubs; ++s) {
          scale[s] = SubScale<kDType>(group, b, s);
          if constexpr (C::kMinimum) minimum[s] = SubMinimum<kDType>(group, n, b, s);
        }
        const float* f = AsFloats(factors.At(0));
        I32x16 low = FirstTerm<C::kMinimum>(f, 0), high = ZeroI32();
        if constexpr (C::kSubs == 2) high = FirstTerm<C::kMinimum>(f, 1);
        ForEachQuadPair<kDType>(codes, [&](int i, Quad w0, Quad w1) {
          if constexpr (C::kWide) {
            w0 = WidePrepared(w0);
            w1 = WidePrepared(w1);
          }
          low = Dot<C::kWide>(low, w0, LoadSignedQuad(AsInt8(values.At(0)) + 4 * i));
          high = Dot<C::kWide>(high, w1, LoadSignedQuad(AsInt8(values.At(0)) + 4 * (i + 4)));
        });
        if constexpr (C::kSubs == 1) {
          acc[0] = AddScaled<C::kMinimum>(acc[0], AddI32(low, high), scale[0], minimum, f, 0);
        } else {
          acc[0] = AddScaled<C::kMinimum>(acc[0], low, scale[0], minimum, f, 0);
          acc[0] = AddScaled<C::kMinimum>(acc[0], high, scale[1], minimum + 1, f, 1);
        }
      } else {
        // Half by half, so that 8 rows with two scales fit the registers too.
        PELTON_UNROLL
        for (int s = 0; s < C::kSubs; ++s) {
          constexpr int kQuads = 8 / C::kSubs;
          Quad w[kQuads];
          const F32x16 scale = SubScale<kDType>(group, b, s);
          F32x16 minimum;
          if constexpr (C::kMinimum) minimum = SubMinimum<kDType>(group, n, b, s);
          if constexpr (C::kSubs == 1) {
            ForEachQuadPair<kDType>(codes, [&](int i, Quad w0, Quad w1) {
              w[i] = C::kWide ? WidePrepared(w0) : w0;
              w[i + 4] = C::kWide ? WidePrepared(w1) : w1;
            });
          } else {
            ForEachQuadPair<kDType>(codes,
                                    [&](int i, Quad w0, Quad w1) { w[i] = s == 0 ? w0 : w1; });
          }
          PELTON_UNROLL
          for (int r = 0; r < R; ++r) {
            const float* f = AsFloats(factors.At(r));
            const int8_t* x = AsInt8(values.At(r)) + s * 16;
            I32x16 dot = FirstTerm<C::kMinimum>(f, s);
            PELTON_UNROLL
            for (int q = 0; q < kQuads; ++q) {
              dot = Dot<C::kWide>(dot, w[q], LoadSignedQuad(x + 4 * q));
            }
            acc[r] = AddScaled<C::kMinimum>(acc[r], dot, scale, &minimum, f, s);
          }
        }
      }
      values.Advance(kBlockCols);
      factors.Advance(kFactorBytes);
    }
    group = codes;
  }
  PELTON_UNROLL
  for (int r = 0; r < R; ++r) StoreF32(y + r * y_stride, acc[r]);
}

// R rows by P panels over a decoded piece of `blocks` blocks; adds to y unless `first`.
template <int kSubs, bool kMinimum, bool kWide, int R, int P>
void DotTile(const std::byte* w, size_t blocks, const DotRows& rows, float* y, size_t y_stride,
             bool first, PrefetchStream prefetch) {
  using D = DecodedBlock<kSubs, kMinimum>;
  constexpr size_t kFactorBytes = kSubs == 2 ? 16 : 8;
  F32x16 acc[R][P];
  PELTON_UNROLL
  for (int r = 0; r < R; ++r) {
    PELTON_UNROLL
    for (int p = 0; p < P; ++p) {
      acc[r][p] = first ? ZeroF32() : LoadF32(y + r * y_stride + 16 * p);
    }
  }
  RowPointers<R> values(rows.values, rows.values_stride);
  RowPointers<R> factors(rows.factors, rows.factor_stride * sizeof(float));
  for (size_t b = 0; b < blocks; ++b, w += D::kBytes) {
    for (size_t i = 0; i < prefetch.per_block; ++i, prefetch.at += 64)
      PrefetchLineToL2(prefetch.at);
    PELTON_UNROLL
    for (int s = 0; s < kSubs; ++s) {
      I32x16 dot[R][P];
      PELTON_UNROLL
      for (int r = 0; r < R; ++r) {
        PELTON_UNROLL
        for (int p = 0; p < P; ++p) dot[r][p] = FirstTerm<kMinimum>(AsFloats(factors.At(r)), s);
      }
      PELTON_UNROLL
      for (int q = s * 8 / kSubs; q < (s + 1) * 8 / kSubs; ++q) {
        Quad codes[P];
        PELTON_UNROLL
        for (int p = 0; p < P; ++p) codes[p] = LoadQuad(w + D::kQuads + q * 128 + p * 64);
        PELTON_UNROLL
        for (int r = 0; r < R; ++r) {
          const SignedQuad x = LoadSignedQuad(AsInt8(values.At(r)) + 4 * q);
          PELTON_UNROLL
          for (int p = 0; p < P; ++p) dot[r][p] = Dot<kWide>(dot[r][p], codes[p], x);
        }
      }
      F32x16 scale[P], minimum[P];
      PELTON_UNROLL
      for (int p = 0; p < P; ++p) {
        scale[p] = LoadF32(AsFloats(w + s * 128 + p * 64));
        if constexpr (kMinimum) minimum[p] = LoadF32(AsFloats(w + D::kMinima + s * 128 + p * 64));
      }
      PELTON_UNROLL
      for (int r = 0; r < R; ++r) {
        PELTON_UNROLL
        for (int p = 0; p < P; ++p) {
          acc[r][p] = AddScaled<kMinimum>(acc[r][p], dot[r][p], scale[p], minimum + p,
                                          AsFloats(factors.At(r)), s);
        }
      }
    }
    values.Advance(kBlockCols);
    factors.Advance(kFactorBytes);
  }
  PELTON_UNROLL
  for (int r = 0; r < R; ++r) {
    PELTON_UNROLL
    for (int p = 0; p < P; ++p) StoreF32(y + r * y_stride + 16 * p, acc[r][p]);
  }
}

template <DType kDType, int R>
void DotFewOf(int r, const std::byte* panel, size_t blocks, const DotRows& rows, float* y,
              size_t y_stride) {
  if constexpr (R > 1) {
    if (r < R) return DotFewOf<kDType, R - 1>(r, panel, blocks, rows, y, y_stride);
  }
  DotFew<kDType, R>(panel, blocks, rows, y, y_stride);
}

template <int kSubs, bool kMinimum, bool kWide, int R>
void DotTileOf(size_t r, const std::byte* w, size_t blocks, const DotRows& rows, float* y,
               size_t y_stride, bool first, PrefetchStream prefetch) {
  if constexpr (R > 1) {
    if (r < R) {
      return DotTileOf<kSubs, kMinimum, kWide, R - 1>(r, w, blocks, rows, y, y_stride, first,
                                                      prefetch);
    }
  }
  for (int p = 0; p < 2; p += kDotTilePanels) {
    DotTile<kSubs, kMinimum, kWide, R, kDotTilePanels>(w + p * 64, blocks, rows, y + 16 * p,
                                                       y_stride, first, prefetch);
    prefetch.per_block = 0;
  }
}

// Many rows: a piece of both panels is decoded once, then every tile of rows sweeps it.
template <DType kDType>
void DotMany(const std::byte* panels, size_t blocks, const DotRows& rows, float* y, size_t y_stride,
             std::byte* piece) {
  using C = PanelCodes<kDType>;
  using D = DecodedBlock<C::kSubs, C::kMinimum>;
  static_assert(kDotPieceBlocks % C::kGroup == 0);
  const size_t panel_bytes = C::PanelBytes(blocks);
  const size_t tiles = (rows.count + kDotTileRows - 1) / kDotTileRows;
  for (size_t done = 0; done < blocks; done += kDotPieceBlocks) {
    const size_t left = blocks - done;
    const size_t count = left < kDotPieceBlocks ? left : kDotPieceBlocks;
    const std::byte* at = panels + C::PanelBytes(done);
    const auto prepare = [](Quad codes) { return C::kWide ? WidePrepared(codes) : codes; };
    DecodePiece<kDType>(at, count, left, piece, prepare);
    DecodePiece<kDType>(at + panel_bytes, count, left, piece + 64, prepare);
    // After the last piece of this pair comes the first of the next.
    const std::byte* next =
        count == left ? panels + 2 * panel_bytes : at + C::PanelBytes(kDotPieceBlocks);
    NextPiece prefetch(next, next + panel_bytes, C::PanelBytes(count), tiles, count);
    size_t row = 0;
    for (size_t tile = 0; tile < tiles; ++tile) {
      // Tiles as equal as possible: a short one would wait for its own latencies.
      const size_t end = rows.count * (tile + 1) / tiles;
      const DotRows part = {
          rows.values + row * rows.values_stride + done * kBlockCols, rows.values_stride,
          rows.factors + row * rows.factor_stride + done * FactorWords(C::kFormat),
          rows.factor_stride, end - row};
      DotTileOf<C::kSubs, C::kMinimum, C::kWide, kDotTileRows>(end - row, piece, count, part,
                                                               y + row * y_stride, y_stride,
                                                               done == 0, prefetch.ForTile());
      row = end;
    }
  }
  static_assert(kDotPieceBlocks * D::kBytes <= 32 * 1024);
}

template <DType kDType>
void DotPanelPair(const std::byte* panels, size_t cols, const DotRows& rows, float* y,
                  size_t y_stride, std::byte* scratch) noexcept {
  const size_t blocks = (cols + kBlockCols - 1) / kBlockCols;
  using C = PanelCodes<kDType>;
  constexpr size_t kFew = C::kMinimum || C::kSubs == 2 ? kDotFewRowsScaled : kDotFewRows;
  if (rows.count <= kFew || (kDotChunked && !rows.decode_once)) {
    // In chunks of nearly equal size: a short one would wait for its own latencies.
    const size_t most = rows.count <= kFew ? kFew : kDotChunkRows;
    const size_t chunks = (rows.count + most - 1) / most;
    for (int p = 0; p < 2; ++p) {
      for (size_t chunk = 0; chunk < chunks; ++chunk) {
        const size_t row = rows.count * chunk / chunks;
        const DotRows part = {rows.values + row * rows.values_stride, rows.values_stride,
                              rows.factors + row * rows.factor_stride, rows.factor_stride,
                              rows.count * (chunk + 1) / chunks - row};
        DotFewOf<kDType, kFew>(static_cast<int>(part.count), panels + p * C::PanelBytes(blocks),
                               blocks, part, y + 16 * p + row * y_stride, y_stride);
      }
    }
  } else {
    DotMany<kDType>(panels, blocks, rows, y, y_stride, scratch);
  }
}

}  // namespace pelton::cpu::KERNEL_ISA
