#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/matmul_by_row_piece.h"
#if defined(__AMX_TILE__)
#include "kernels/cpu/amx/tile.h"
#else
#include "kernels/cpu/amx/tile_emulated.h"
#endif

// The sums of matmul_by_row_piece.h on tiles: 32 rows by 32 columns stay in four of them for a
// whole piece, so that four tiles from the caches serve four products. Codes are made signed when
// they are copied, so that no term for their zero point is left.

namespace pelton::cpu::KERNEL_ISA {

inline constexpr int kSumTileRows = 16;
inline constexpr size_t kTileQuads = 16;  // of 4 columns: a tile of weights has 64
inline constexpr size_t kSumTileCols = 4 * kTileQuads;

// kParts tiles of rows by both panels over a piece of `tiles` tiles; adds to the sums at y unless
// `first`.
template <int kParts>
void SumTiles(const std::byte* w, size_t tiles, const DotRows& rows, float* y, size_t y_stride,
              bool first, PrefetchStream prefetch) {
  const size_t y_bytes = y_stride * sizeof(float);
  float* const y1 = y + kSumTileRows * y_stride;
  if (first) {
    TileZero<0>();
    TileZero<1>();
    if constexpr (kParts == 2) {
      TileZero<2>();
      TileZero<3>();
    }
  } else {
    TileLoad<0>(y, y_bytes);
    TileLoad<1>(y + 16, y_bytes);
    if constexpr (kParts == 2) {
      TileLoad<2>(y1, y_bytes);
      TileLoad<3>(y1 + 16, y_bytes);
    }
  }
  const int8_t* x = rows.values;
  const int8_t* const x1 = x + kSumTileRows * rows.values_stride;
  for (size_t t = 0; t < tiles; ++t, w += kTileQuads * kPieceQuadBytes) {
    for (size_t i = 0; i < prefetch.per_block; ++i, prefetch.at += 64)
      PrefetchLineToL2(prefetch.at);
    TileLoad<4>(x + t * kSumTileCols, rows.values_stride);
    TileLoad<6>(w, kPieceQuadBytes);
    TileLoad<7>(w + 64, kPieceQuadBytes);
    TileDotI8<0, 4, 6>();
    TileDotI8<1, 4, 7>();
    if constexpr (kParts == 2) {
      TileLoad<5>(x1 + t * kSumTileCols, rows.values_stride);
      TileDotI8<2, 5, 6>();
      TileDotI8<3, 5, 7>();
    }
  }
  TileStore<0>(y, y_bytes);
  TileStore<1>(y + 16, y_bytes);
  if constexpr (kParts == 2) {
    TileStore<2>(y1, y_bytes);
    TileStore<3>(y1 + 16, y_bytes);
  }
}

inline TileConfig SumTileConfig(size_t rows) {
  TileConfig config;
  for (int tile = 0; tile < 6; ++tile) config.rows[tile] = static_cast<uint8_t>(rows);
  return config;
}

inline void SumPairByRow(const std::byte* panels, size_t panel_bytes, size_t blocks,
                         const DotRows& rows, float* y, size_t y_stride, std::byte* piece) {
  constexpr size_t kPieceTiles = kByRowPieceBlocks * kBlockCols / kSumTileCols;
  const size_t whole = rows.count / kSumTileRows * kSumTileRows;
  const size_t sweeps = (rows.count + 2 * kSumTileRows - 1) / (2 * kSumTileRows);
  const auto prepare = [](Quad codes) { return SubBytes(codes, 128); };
  for (size_t done = 0; done < blocks; done += kByRowPieceBlocks) {
    const size_t left = blocks - done;
    const size_t count = left < kByRowPieceBlocks ? left : kByRowPieceBlocks;
    const std::byte* at = panels + kRowScaleBytes + done * kByRowBlockBytes;
    CopyPiece(at, count, piece, prepare);
    CopyPiece(at + panel_bytes, count, piece + 64, prepare);
    // Half a tile of columns is left: the other half is zeros, whatever the rows hold there, which
    // are long enough (QuantizedRows::RowBytes).
    if (count % 2 != 0) {
      for (size_t q = 0; q < 8; ++q) {
        std::byte* const zeros = piece + (count * 8 + q) * kPieceQuadBytes;
        __builtin_memset(zeros, 0, kPieceQuadBytes);
      }
    }
    const size_t tiles = (count + 1) / 2;
    static_assert(kPieceTiles * kTileQuads * kPieceQuadBytes <= 32 * 1024);
    // After the last piece of this pair comes the first of the next.
    const std::byte* next =
        count == left ? panels + 2 * panel_bytes : at + count * kByRowBlockBytes;
    NextPiece prefetch(next, next + panel_bytes, count * kByRowBlockBytes, sweeps, tiles);
    const auto part = [&](size_t row) {
      return DotRows{rows.values + row * rows.values_stride + done * kBlockCols, rows.values_stride,
                     rows.factors, rows.factor_stride, 0};
    };
    size_t row = 0;
    if (whole > 0) {
      const TileSession session(SumTileConfig(kSumTileRows));
      for (; row + 2 * kSumTileRows <= whole; row += 2 * kSumTileRows) {
        SumTiles<2>(piece, tiles, part(row), y + row * y_stride, y_stride, done == 0,
                    prefetch.ForTile());
      }
      for (; row < whole; row += kSumTileRows) {
        SumTiles<1>(piece, tiles, part(row), y + row * y_stride, y_stride, done == 0,
                    prefetch.ForTile());
      }
    }
    if (row < rows.count) {
      const TileSession session(SumTileConfig(rows.count - row));
      SumTiles<1>(piece, tiles, part(row), y + row * y_stride, y_stride, done == 0,
                  prefetch.ForTile());
    }
  }
}

}  // namespace pelton::cpu::KERNEL_ISA
