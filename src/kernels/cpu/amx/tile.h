#pragma once

#include <cstddef>
#include <cstdint>

// The tile vocabulary on processors with AMX. Own instructions instead of the compiler's
// intrinsics: GCC 12 drops the stores that fill a tile configuration and lets stores move past
// tile loads. Tiles are named by number, so the compiler has none of its own to allocate.
namespace pelton::cpu::KERNEL_ISA {

// 8 tiles of 16 rows of 64 bytes.
struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileConfig) == 64);

// While it lives, the 8 tiles of the calling thread have this form.
class TileSession {
 public:
  explicit TileSession(const TileConfig& config = {}) {
    asm volatile("ldtilecfg %0" ::"m"(config));
  }
  ~TileSession() { asm volatile("tilerelease"); }
  TileSession(const TileSession&) = delete;
  TileSession& operator=(const TileSession&) = delete;
};

template <int kTile>
inline void TileZero() {
  asm volatile("tilezero %%tmm%c0" ::"i"(kTile));
}

// Row r of the tile comes from `from` + r * stride_bytes.
template <int kTile>
inline void TileLoad(const void* from, size_t stride_bytes) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(stride_bytes), "i"(kTile)
               : "memory");
}

template <int kTile>
inline void TileStore(void* to, size_t stride_bytes) {
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to), "r"(stride_bytes), "i"(kTile)
               : "memory");
}

// sum[m][n] += a[m] . b[n] in f32, with a [16 m][32 k] and b [16 k / 2][16 n][2 k] in bf16 and
// sum [16 m][16 n] in f32. Subnormal inputs count as zero.
template <int kSum, int kA, int kB>
inline void TileDotBf16() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kSum), "i"(kA), "i"(kB));
}

// sum[m][n] += a[m] . b[n], with a [m][k] and b [k / 4][n][4 k] in int8 and sum [m][n] in int32.
template <int kSum, int kA, int kB>
inline void TileDotI8() {
  asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kSum), "i"(kA), "i"(kB));
}

// The same with b in uint8.
template <int kSum, int kA, int kB>
inline void TileDotI8U8() {
  asm volatile("tdpbsud %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kSum), "i"(kA), "i"(kB));
}

}  // namespace pelton::cpu::KERNEL_ISA
