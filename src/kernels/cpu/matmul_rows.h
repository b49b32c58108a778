#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/cpu/panel_decode.h"

namespace pelton::cpu::KERNEL_ISA {

// Pointers to R rows at one stride. Three rows share a register, since an x86 address can add a
// stride once or twice.
template <int R>
struct RowPointers {
  const std::byte* base[(R + 2) / 3];
  size_t stride;

  RowPointers(const void* first, size_t stride_bytes) : stride(stride_bytes) {
    PELTON_UNROLL
    for (int i = 0; i < (R + 2) / 3; ++i) {
      base[i] = static_cast<const std::byte*>(first) + 3 * i * stride;
    }
  }
  const std::byte* At(int r) const { return base[r / 3] + (r % 3) * stride; }
  void Advance(size_t bytes) {
    PELTON_UNROLL
    for (int i = 0; i < (R + 2) / 3; ++i) base[i] += bytes;
  }
};

inline const float* AsFloats(const std::byte* p) { return reinterpret_cast<const float*>(p); }
inline const int8_t* AsInt8(const std::byte* p) { return reinterpret_cast<const int8_t*>(p); }
inline int32_t LoadInt(const float* p) {
  int32_t x;
  std::memcpy(&x, p, sizeof(x));
  return x;
}

// How far ahead of use a stream of weights is fetched: into the L2 cache by the time to memory,
// some 100 ns at 16 to 30 GB/s, twice; into L1 by the time to L2. Measured on Emerald Rapids, one
// thread, weights in memory, as a share of the read probe: one L1 prefetch 4 KB ahead gives 92, 78
// and 75 % for 1, 4 and 8 rows of Q8_0 and 86 % for a row of Q4_0; these two 97, 90, 81 and 94 %.
inline constexpr size_t kPrefetchBytes = 4096;  // for streams with one prefetch
inline constexpr size_t kFarPrefetchBytes = 6144;
inline constexpr size_t kNearPrefetchBytes = 640;

// For every 64 bytes of a stream that is read front to back.
inline void PrefetchStreamLine(const std::byte* p) {
  PrefetchLineToL2(p + kFarPrefetchBytes);
  PrefetchLine(p + kNearPrefetchBytes);
}

}  // namespace pelton::cpu::KERNEL_ISA
