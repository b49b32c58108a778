#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/matmul_dot_piece.h"
#if defined(__AMX_TILE__)
#include "kernels/cpu/amx/tile.h"
#else
#include "kernels/cpu/amx/tile_emulated.h"
#endif

// Matmul with 8-bit activations whose integer dot products AMX makes: 16 rows by 16 columns of a
// block at once. They are exact whoever makes them, and the float half is that of all other paths,
// so the results are the same bits. Only for formats with one scale a block: two would take twice
// the tiles, which is no faster than without them. Codes are made signed when they are decoded, so
// that no term for their zero point is left.

namespace pelton::cpu::KERNEL_ISA {

inline constexpr int kTileRows = 16;

// The shapes that the tiles have here: 0 to 3 sums, 4 and 5 activations, 6 and 7 weights of a
// block.
inline TileConfig DotTileConfig(int rows) {
  TileConfig config;
  for (int tile = 0; tile < 6; ++tile) config.rows[tile] = static_cast<uint8_t>(rows);
  for (int tile = 4; tile < 6; ++tile) config.row_bytes[tile] = 32;
  for (int tile = 6; tile < 8; ++tile) config.rows[tile] = 8;
  return config;
}

// The sums of 16 rows by one panel of a block.
struct BlockDots {
  alignas(64) int32_t sums[kTileRows][16];
};

// Makes them for a block of a decoded piece: `w` is already at the panel's place in the pair.
// Blocks take turns with the tiles, so that one need not wait for the other.
template <bool kMinimum, int kTurn>
inline void MakeBlockDots(const std::byte* w, const int8_t* x, size_t x_stride, BlockDots* dots) {
  constexpr int kSum = kTurn % 4, kX = 4 + kTurn % 2, kW = 6 + kTurn % 2;
  TileLoad<kX>(x, x_stride);
  TileLoad<kW>(w + DecodedBlock<1, kMinimum>::kQuads, 128);
  TileZero<kSum>();
  TileDotI8<kSum, kX, kW>();
  TileStore<kSum>(dots->sums, 64);
}

// Blocks between a block's dot products and their use: a store of a tile is not forwarded to loads,
// which wait until it is in the cache.
inline constexpr size_t kAhead = 4;

// The last R of a tile's rows by one panel over a decoded piece of `blocks` blocks; adds to y
// unless `first`. `x` is the tile's first row, `rows` begins at the first of the R.
template <bool kMinimum, int R>
void DotTile(const std::byte* w, size_t blocks, const int8_t* x, int skip, const DotRows& rows,
             float* y, size_t y_stride, bool first, PrefetchStream prefetch) {
  using D = DecodedBlock<1, kMinimum>;
  constexpr size_t kFactorBytes = 8;
  F32x16 acc[R];
  PELTON_UNROLL
  for (int r = 0; r < R; ++r) acc[r] = first ? ZeroF32() : LoadF32(y + r * y_stride);
  RowPointers<R> factors(rows.factors, rows.factor_stride * sizeof(float));
  BlockDots dots[kAhead];
  const auto add = [&](size_t b, const BlockDots& of) __attribute__((always_inline)) {
    for (size_t line = 0; line < prefetch.per_block; ++line, prefetch.at += 64)
      PrefetchLineToL2(prefetch.at);
    const std::byte* block = w + b * D::kBytes;
    const F32x16 scale = LoadF32(AsFloats(block));
    F32x16 minimum;
    if constexpr (kMinimum) minimum = LoadF32(AsFloats(block + D::kMinima));
    PELTON_UNROLL
    for (int r = 0; r < R; ++r) {
      acc[r] = AddScaled<kMinimum>(acc[r], LoadI32(of.sums[skip + r]), scale, &minimum,
                                   AsFloats(factors.At(r)), 0);
      KeepInOrder(acc[r]);
    }
    factors.Advance(kFactorBytes);
  };
  const auto make = [&]<int kTurn>(size_t b) __attribute__((always_inline)) {
    MakeBlockDots<kMinimum, kTurn>(w + b * D::kBytes, x + b * kBlockCols, rows.values_stride,
                                   &dots[kTurn]);
  };
  // Takes in block b and makes the dot products of the one that is kAhead blocks on.
  const auto turn = [&]<int kTurn>(size_t b) __attribute__((always_inline)) {
    add(b, dots[kTurn]);
    make.template operator()<kTurn>(b + kAhead);
  };
  if (blocks > 0) make.template operator()<0>(0);
  if (blocks > 1) make.template operator()<1>(1);
  if (blocks > 2) make.template operator()<2>(2);
  if (blocks > 3) make.template operator()<3>(3);
  size_t b = 0;
  for (; b + 2 * kAhead <= blocks; b += kAhead) {
    turn.template operator()<0>(b);
    turn.template operator()<1>(b + 1);
    turn.template operator()<2>(b + 2);
    turn.template operator()<3>(b + 3);
  }
  const size_t last = blocks - (blocks < kAhead ? blocks : kAhead);
  if (b < last) turn.template operator()<0>(b);
  if (b + 1 < last) turn.template operator()<1>(b + 1);
  if (b + 2 < last) turn.template operator()<2>(b + 2);
  for (size_t i = last; i < blocks; ++i) add(i, dots[i % kAhead]);
  PELTON_UNROLL
  for (int r = 0; r < R; ++r) StoreF32(y + r * y_stride, acc[r]);
}

template <bool kMinimum, int R>
void DotTileOf(size_t r, const std::byte* w, size_t blocks, const int8_t* x, int skip,
               const DotRows& rows, float* y, size_t y_stride, bool first,
               PrefetchStream prefetch) {
  if constexpr (R > 1) {
    if (r < R) {
      return DotTileOf<kMinimum, R - 1>(r, w, blocks, x, skip, rows, y, y_stride, first, prefetch);
    }
  }
  for (int p = 0; p < 2; ++p) {
    DotTile<kMinimum, R>(w + p * 64, blocks, x, skip, rows, y + 16 * p, y_stride, first, prefetch);
    prefetch.per_block = 0;
  }
}

// A piece of both panels is decoded once, then every tile of rows sweeps it. The last tile goes
// back to rows that others had where there are not 16 left, and passes over those.
template <DType kDType>
void DotPanelPair(const std::byte* panels, size_t cols, const DotRows& rows, float* y,
                  size_t y_stride, std::byte* piece) noexcept {
  using C = PanelCodes<kDType>;
  static_assert(kDotPieceBlocks % C::kGroup == 0 && C::kSubs == 1);
  const size_t blocks = (cols + kBlockCols - 1) / kBlockCols;
  const size_t panel_bytes = C::PanelBytes(blocks);
  const size_t tiles = (rows.count + kTileRows - 1) / kTileRows;
  const auto tile_rows = static_cast<int>(rows.count < kTileRows ? rows.count : kTileRows);
  const TileSession session(DotTileConfig(tile_rows));
  const auto prepare = [](Quad codes) {
    if constexpr (C::kMinimum || C::kZero == 0) return codes;
    return SubBytes(codes, C::kZero);
  };
  for (size_t done = 0; done < blocks; done += kDotPieceBlocks) {
    const size_t left = blocks - done;
    const size_t count = left < kDotPieceBlocks ? left : kDotPieceBlocks;
    const std::byte* at = panels + C::PanelBytes(done);
    DecodePiece<kDType>(at, count, left, piece, prepare);
    DecodePiece<kDType>(at + panel_bytes, count, left, piece + 64, prepare);
    // After the last piece of this pair comes the first of the next.
    const std::byte* next =
        count == left ? panels + 2 * panel_bytes : at + C::PanelBytes(kDotPieceBlocks);
    NextPiece prefetch(next, next + panel_bytes, C::PanelBytes(count), tiles, count);
    for (size_t row = 0; row < rows.count; row += kTileRows) {
      const size_t own = rows.count - row < kTileRows ? rows.count - row : kTileRows;
      const size_t skip = static_cast<size_t>(tile_rows) - own;
      const int8_t* x = rows.values + (row - skip) * rows.values_stride + done * kBlockCols;
      const DotRows part = {
          x, rows.values_stride,
          rows.factors + row * rows.factor_stride + done * FactorWords(C::kFormat),
          rows.factor_stride, own};
      DotTileOf<C::kMinimum, kTileRows>(own, piece, count, x, static_cast<int>(skip), part,
                                        y + row * y_stride, y_stride, done == 0,
                                        prefetch.ForTile());
    }
  }
}

}  // namespace pelton::cpu::KERNEL_ISA
