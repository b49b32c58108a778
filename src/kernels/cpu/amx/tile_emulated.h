#pragma once

#include <cstddef>
#include <cstdint>

// The tile vocabulary of tile.h in plain C++, for tests on processors without AMX.
namespace pelton::cpu::KERNEL_ISA {

struct EmulatedTile {
  alignas(64) uint8_t rows[16][64];
};
inline constinit thread_local EmulatedTile emulated_tiles[8] = {};
inline constinit thread_local bool emulated_tiles_configured = false;

struct TileConfig {
  uint16_t row_bytes[8] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[8] = {16, 16, 16, 16, 16, 16, 16, 16};
};
inline constinit thread_local TileConfig emulated_config = {};

class TileSession {
 public:
  explicit TileSession(const TileConfig& config = {}) {
    emulated_config = config;
    emulated_tiles_configured = true;
  }
  ~TileSession() { emulated_tiles_configured = false; }
  TileSession(const TileSession&) = delete;
  TileSession& operator=(const TileSession&) = delete;
};

// The processor raises an exception where there is no configuration.
inline EmulatedTile& TileAt(int tile) {
  if (!emulated_tiles_configured) __builtin_trap();
  return emulated_tiles[tile];
}

template <int kTile>
inline void TileZero() {
  __builtin_memset(TileAt(kTile).rows, 0, sizeof(EmulatedTile));
}

template <int kTile>
inline void TileLoad(const void* from, size_t stride_bytes) {
  for (size_t r = 0; r < emulated_config.rows[kTile]; ++r) {
    __builtin_memcpy(TileAt(kTile).rows[r], static_cast<const uint8_t*>(from) + r * stride_bytes,
                     emulated_config.row_bytes[kTile]);
  }
}

template <int kTile>
inline void TileStore(void* to, size_t stride_bytes) {
  for (size_t r = 0; r < emulated_config.rows[kTile]; ++r) {
    __builtin_memcpy(static_cast<uint8_t*>(to) + r * stride_bytes, TileAt(kTile).rows[r],
                     emulated_config.row_bytes[kTile]);
  }
}

// sum += a . b with a in int8 and b in B.
template <int kSum, int kA, int kB, typename B>
inline void EmulatedDotI8() {
  const EmulatedTile& a = TileAt(kA);
  const EmulatedTile& b = TileAt(kB);
  for (size_t m = 0; m < emulated_config.rows[kSum]; ++m) {
    int32_t sums[16];
    __builtin_memcpy(sums, TileAt(kSum).rows[m], 64);
    for (size_t k = 0; k < emulated_config.row_bytes[kA]; ++k) {
      for (size_t n = 0; n < 16; ++n) {
        sums[n] += static_cast<int8_t>(a.rows[m][k]) * static_cast<B>(b.rows[k / 4][4 * n + k % 4]);
      }
    }
    __builtin_memcpy(TileAt(kSum).rows[m], sums, 64);
  }
}
template <int kSum, int kA, int kB>
inline void TileDotI8() {
  EmulatedDotI8<kSum, kA, kB, int8_t>();
}
template <int kSum, int kA, int kB>
inline void TileDotI8U8() {
  EmulatedDotI8<kSum, kA, kB, uint8_t>();
}

// Subnormals count as zero.
inline float EmulatedBf16(const uint8_t* bytes) {
  uint16_t half;
  __builtin_memcpy(&half, bytes, 2);
  if ((half & 0x7f80) == 0) half &= 0x8000;
  return __builtin_bit_cast(float, uint32_t{half} << 16);
}

// Even and odd k are summed apart, then together, then added to the tile. Source: Intel's
// instruction set reference, TDPBF16PS.
template <int kSum, int kA, int kB>
inline void TileDotBf16() {
  const EmulatedTile& a = TileAt(kA);
  const EmulatedTile& b = TileAt(kB);
  float columns[16][2][16];  // b as [k / 2][k % 2][n]
  for (int pair = 0; pair < 16; ++pair) {
    for (int n = 0; n < 16; ++n) {
      columns[pair][0][n] = EmulatedBf16(b.rows[pair] + 4 * n);
      columns[pair][1][n] = EmulatedBf16(b.rows[pair] + 4 * n + 2);
    }
  }
  for (int m = 0; m < 16; ++m) {
    float even[16] = {}, odd[16] = {};
    for (int pair = 0; pair < 16; ++pair) {
      const float a_even = EmulatedBf16(a.rows[m] + 4 * pair);
      const float a_odd = EmulatedBf16(a.rows[m] + 4 * pair + 2);
      for (int n = 0; n < 16; ++n) {
        even[n] = __builtin_fmaf(a_even, columns[pair][0][n], even[n]);
        odd[n] = __builtin_fmaf(a_odd, columns[pair][1][n], odd[n]);
      }
    }
    float sums[16];
    __builtin_memcpy(sums, TileAt(kSum).rows[m], 64);
    for (int n = 0; n < 16; ++n) sums[n] += even[n] + odd[n];
    __builtin_memcpy(TileAt(kSum).rows[m], sums, 64);
  }
}

}  // namespace pelton::cpu::KERNEL_ISA
