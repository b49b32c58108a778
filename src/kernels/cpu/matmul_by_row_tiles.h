#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/matmul_by_row_piece.h"
#if defined(__AMX_TILE__)
#include "kernels/cpu/amx/tile.h"
#else
#include "kernels/cpu/amx/tile_emulated.h"
#endif

// The sums of matmul_by_row_piece.h on tiles. 16 quads of codes, as they lie in a panel, are a tile
// of weights, so that weights go from memory to tiles without a copy. Sums of 32 rows by 32 columns
// stay in four tiles for all of K: four tiles from the caches serve four products. The term for the
// codes' zero point is added when the sums are scaled.

namespace pelton::cpu::KERNEL_ISA {

inline constexpr size_t kSumTileRows = 16;
inline constexpr size_t kSumTileCols = 64;
inline constexpr size_t kSumTileBytes = kPanelRows * kSumTileCols;
inline constexpr bool kSumsHaveTerms = false;

// The codes of a pair of panels as tiles.
struct SumWeights {
  const std::byte* panel[2];
  size_t tiles;           // whole ones in each panel
  const std::byte* tail;  // of both panels, what comes after those; null where nothing does
  size_t next_pair;       // bytes from a panel to its place in the next pair
};

// How many tiles ahead of use weights are fetched into the L2 cache: 12 KB of both panels, some 0.7
// microseconds at the rate of a thread.
inline constexpr size_t kSumTilesAhead = 6;

// Fetches what follows tile `t`, in this pair or in the next.
inline void FetchAhead(const SumWeights& w, size_t t) {
  const size_t at = t + kSumTilesAhead;
  const size_t offset =
      at < w.tiles ? at * kSumTileBytes : w.next_pair + (at - w.tiles) * kSumTileBytes;
  for (size_t i = 0; i < kSumTileBytes; i += 64) {
    PrefetchLineToL2(w.panel[0] + offset + i);
    PrefetchLineToL2(w.panel[1] + offset + i);
  }
}

template <int kParts>
inline void AddTiles(const std::byte* w0, const std::byte* w1, const int8_t* x, size_t x_stride) {
  TileLoad<4>(x, x_stride);
  TileLoad<6>(w0, 64);
  TileLoad<7>(w1, 64);
  TileDotI8U8<0, 4, 6>();
  TileDotI8U8<1, 4, 7>();
  if constexpr (kParts == 2) {
    TileLoad<5>(x + kSumTileRows * x_stride, x_stride);
    TileDotI8U8<2, 5, 6>();
    TileDotI8U8<3, 5, 7>();
  }
}

// The sums of up to kParts * 16 rows, the first of which is `x`. `fetch`: whether the weights come
// from memory.
template <int kParts>
void SumTiles(const SumWeights& w, const int8_t* x, size_t x_stride, float* y, size_t y_stride,
              bool fetch) {
  TileZero<0>();
  TileZero<1>();
  if constexpr (kParts == 2) {
    TileZero<2>();
    TileZero<3>();
  }
  for (size_t t = 0; t < w.tiles; ++t, x += kSumTileCols) {
    if (fetch) FetchAhead(w, t);
    const size_t at = t * kSumTileBytes;
    AddTiles<kParts>(w.panel[0] + at, w.panel[1] + at, x, x_stride);
  }
  if (w.tail != nullptr) AddTiles<kParts>(w.tail, w.tail + kSumTileBytes, x, x_stride);
  const size_t y_bytes = y_stride * sizeof(float);
  TileStore<0>(y, y_bytes);
  TileStore<1>(y + 16, y_bytes);
  if constexpr (kParts == 2) {
    float* const y1 = y + kSumTileRows * y_stride;
    TileStore<2>(y1, y_bytes);
    TileStore<3>(y1 + 16, y_bytes);
  }
}

// For 1 to 32 rows.
inline TileConfig SumTileConfig(size_t rows) {
  const auto first = static_cast<uint8_t>(rows < kSumTileRows ? rows : kSumTileRows);
  const auto second = static_cast<uint8_t>(rows - first);
  TileConfig config;
  for (const int tile : {0, 1, 4}) config.rows[tile] = first;
  for (const int tile : {2, 3, 5}) config.rows[tile] = second;
  if (second == 0) {  // not used, and may not be empty
    for (const int tile : {2, 3, 5}) config.rows[tile] = 1;
  }
  return config;
}

// `piece` has room for two tiles.
inline void SumPairByRow(const std::byte* panels, size_t panel_bytes, size_t blocks,
                         const DotRows& rows, float* y, size_t y_stride, std::byte* piece) {
  constexpr size_t kStep = 2 * kSumTileRows;
  SumWeights w = {{panels + kRowScaleBytes, panels + panel_bytes + kRowScaleBytes},
                  blocks / 2,
                  nullptr,
                  2 * panel_bytes};
  // Half a tile of columns is left: the other half is zeros, whatever the rows hold there, which
  // are long enough (QuantizedRows::RowBytes).
  if (blocks % 2 != 0) {
    for (size_t p = 0; p < 2; ++p) {
      std::byte* const tail = piece + p * kSumTileBytes;
      __builtin_memcpy(tail, w.panel[p] + w.tiles * kSumTileBytes, kSumTileBytes / 2);
      __builtin_memset(tail + kSumTileBytes / 2, 0, kSumTileBytes / 2);
    }
    w.tail = piece;
  }
  const auto sum = [&](size_t row, bool both) {
    const auto multiply = both ? SumTiles<2> : SumTiles<1>;
    multiply(w, rows.values + row * rows.values_stride, rows.values_stride, y + row * y_stride,
             y_stride, row == 0);
  };
  const size_t whole = rows.count / kStep * kStep;
  if (whole > 0) {
    const TileSession session(SumTileConfig(kStep));
    for (size_t row = 0; row < whole; row += kStep) sum(row, true);
  }
  if (whole < rows.count) {
    const size_t rest = rows.count - whole;
    const TileSession session(SumTileConfig(rest));
    sum(whole, rest > kSumTileRows);
  }
}

}  // namespace pelton::cpu::KERNEL_ISA
