#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/matmul_by_row_piece.h"

// The sums of matmul_by_row_piece.h in vector registers.

namespace pelton::cpu::KERNEL_ISA {

inline constexpr bool kSumsHaveTerms = true;

// A piece of a pair of panels: quads [columns / 4][2 panels] of codes, 16 KiB, half an L1 cache.
inline constexpr size_t kByRowPieceBlocks = 16;
inline constexpr size_t kPieceQuadBytes = 128;

// Copies `blocks` blocks of one panel's codes to its place in a piece, through `prepare`.
template <typename Prepare>
void CopyPiece(const std::byte* codes, size_t blocks, std::byte* out, Prepare prepare) {
  for (size_t q = 0; q < blocks * 8; ++q) {
    StoreQuad(out + q * kPieceQuadBytes, prepare(LoadQuad(codes + q * 64)));
  }
}

// One panel and R rows: a block of codes stays in registers while every row uses it, and the panel
// is one stream.
template <int R>
void SumFewByRow(const std::byte* codes, size_t blocks, const DotRows& rows, float* y,
                 size_t y_stride) {
  I32x16 acc[R];
  PELTON_UNROLL
  for (int r = 0; r < R; ++r) {
    acc[r] = SetI32(LoadInt(rows.factors + static_cast<size_t>(r) * rows.factor_stride + 1));
  }
  I32x16 other = ZeroI32();  // a second sum halves the latency of a row alone
  RowPointers<R> x(rows.values, rows.values_stride);
  for (size_t b = 0; b < blocks; ++b, codes += 8 * 64) {
    Quad w[8];
    PELTON_UNROLL
    for (int q = 0; q < 8; ++q) {
      PrefetchStreamLine(codes + q * 64);
      w[q] = WidePrepared(LoadQuad(codes + q * 64));
    }
    PELTON_UNROLL
    for (int r = 0; r < R; ++r) {
      PELTON_UNROLL
      for (int q = 0; q < 8; ++q) {
        const SignedQuad values = LoadSignedQuad(AsInt8(x.At(r)) + 4 * q);
        if (R == 1 && q % 2 != 0) {
          other = Dot<true>(other, w[q], values);
        } else {
          acc[r] = Dot<true>(acc[r], w[q], values);
        }
      }
    }
    x.Advance(kBlockCols);
  }
  if constexpr (R == 1) acc[0] = AddI32(acc[0], other);
  PELTON_UNROLL
  for (int r = 0; r < R; ++r) StoreI32(AsSums(y + static_cast<size_t>(r) * y_stride), acc[r]);
}

// R rows by P panels over a piece of `blocks` blocks; adds to the sums at y unless `first`.
template <int R, int P>
void SumTileByRow(const std::byte* w, size_t blocks, const DotRows& rows, float* y, size_t y_stride,
                  bool first, PrefetchStream prefetch) {
  I32x16 acc[R][P];
  PELTON_UNROLL
  for (int r = 0; r < R; ++r) {
    const I32x16 term =
        SetI32(LoadInt(rows.factors + static_cast<size_t>(r) * rows.factor_stride + 1));
    PELTON_UNROLL
    for (int p = 0; p < P; ++p) {
      acc[r][p] = first ? term : LoadI32(AsSums(y + static_cast<size_t>(r) * y_stride + 16 * p));
    }
  }
  RowPointers<R> x(rows.values, rows.values_stride);
  for (size_t b = 0; b < blocks; ++b) {
    for (size_t i = 0; i < prefetch.per_block; ++i, prefetch.at += 64)
      PrefetchLineToL2(prefetch.at);
    PELTON_UNROLL
    for (int q = 0; q < 8; ++q, w += kPieceQuadBytes) {
      Quad codes[P];
      PELTON_UNROLL
      for (int p = 0; p < P; ++p) codes[p] = LoadQuad(w + p * 64);
      PELTON_UNROLL
      for (int r = 0; r < R; ++r) {
        const SignedQuad values = LoadSignedQuad(AsInt8(x.At(r)) + 4 * q);
        PELTON_UNROLL
        for (int p = 0; p < P; ++p) acc[r][p] = Dot<true>(acc[r][p], codes[p], values);
      }
    }
    x.Advance(kBlockCols);
  }
  PELTON_UNROLL
  for (int r = 0; r < R; ++r) {
    PELTON_UNROLL
    for (int p = 0; p < P; ++p) {
      StoreI32(AsSums(y + static_cast<size_t>(r) * y_stride + 16 * p), acc[r][p]);
    }
  }
}

template <int R>
void SumFewByRowOf(size_t r, const std::byte* codes, size_t blocks, const DotRows& rows, float* y,
                   size_t y_stride) {
  if constexpr (R > 1) {
    if (r < R) return SumFewByRowOf<R - 1>(r, codes, blocks, rows, y, y_stride);
  }
  SumFewByRow<R>(codes, blocks, rows, y, y_stride);
}

template <int R>
void SumTileByRowOf(size_t r, const std::byte* w, size_t blocks, const DotRows& rows, float* y,
                    size_t y_stride, bool first, PrefetchStream prefetch) {
  if constexpr (R > 1) {
    if (r < R) return SumTileByRowOf<R - 1>(r, w, blocks, rows, y, y_stride, first, prefetch);
  }
  for (int p = 0; p < 2; p += kDotTilePanels) {
    SumTileByRow<R, kDotTilePanels>(w + p * 64, blocks, rows, y + 16 * p, y_stride, first,
                                    prefetch);
    prefetch.per_block = 0;
  }
}

// Many rows: every tile of rows sweeps a piece of both panels while that is in the L1 cache.
inline void SumManyByRow(const std::byte* panels, size_t panel_bytes, size_t blocks,
                         const DotRows& rows, float* y, size_t y_stride, std::byte* piece) {
  const size_t tiles = (rows.count + kByRowTileRows - 1) / kByRowTileRows;
  const auto prepare = [](Quad codes) { return WidePrepared(codes); };
  for (size_t done = 0; done < blocks; done += kByRowPieceBlocks) {
    const size_t left = blocks - done;
    const size_t count = left < kByRowPieceBlocks ? left : kByRowPieceBlocks;
    const std::byte* at = panels + kRowScaleBytes + done * kByRowBlockBytes;
    CopyPiece(at, count, piece, prepare);
    CopyPiece(at + panel_bytes, count, piece + 64, prepare);
    // After the last piece of this pair comes the first of the next.
    const std::byte* next =
        count == left ? panels + 2 * panel_bytes : at + count * kByRowBlockBytes;
    NextPiece prefetch(next, next + panel_bytes, count * kByRowBlockBytes, tiles, count);
    size_t row = 0;
    for (size_t tile = 0; tile < tiles; ++tile) {
      // Tiles as equal as possible: a short one would wait for its own latencies.
      const size_t end = rows.count * (tile + 1) / tiles;
      const DotRows part = {rows.values + row * rows.values_stride + done * kBlockCols,
                            rows.values_stride, rows.factors + row * rows.factor_stride,
                            rows.factor_stride, end - row};
      SumTileByRowOf<kByRowTileRows>(end - row, piece, count, part, y + row * y_stride, y_stride,
                                     done == 0, prefetch.ForTile());
      row = end;
    }
  }
}

inline void SumPairByRow(const std::byte* panels, size_t panel_bytes, size_t blocks,
                         const DotRows& rows, float* y, size_t y_stride, std::byte* piece) {
  if (rows.count > kDotFewRows) {
    return SumManyByRow(panels, panel_bytes, blocks, rows, y, y_stride, piece);
  }
  for (int p = 0; p < 2; ++p) {
    SumFewByRowOf<kDotFewRows>(rows.count, panels + p * panel_bytes + kRowScaleBytes, blocks, rows,
                               y + 16 * p, y_stride);
  }
}

}  // namespace pelton::cpu::KERNEL_ISA
