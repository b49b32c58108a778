#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/simd/panel.h"

// f32 to bf16, rounded to nearest, ties away from zero: two instructions fewer than ties to even
// and no less exact. Rounding adds to the bits, so a NaN with a full payload would run into the
// sign; where NaNs of any payload may come, they pass QuietNans first.
namespace pelton::cpu::KERNEL_ISA {

#if defined(__AVX512F__)

// Every NaN becomes the default one.
inline F32x16 QuietNans(F32x16 v) {
  // Not a comparison, which Clang 19 takes apart into single floats when v was just widened.
  const __mmask16 nan = _mm512_fpclass_ps_mask(v, 0x81);
  return _mm512_mask_mov_ps(v, nan, _mm512_set1_ps(__builtin_nanf("")));
}

inline __m512i RoundedInHighHalf(F32x16 v) {
  return _mm512_add_epi32(_mm512_castps_si512(v), _mm512_set1_epi32(0x8000));
}

// 16 consecutive bf16.
inline void StoreBf16(std::byte* to, F32x16 v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to),
                      _mm512_cvtepi32_epi16(_mm512_srli_epi32(RoundedInHighHalf(v), 16)));
}

// [16 lanes][even, odd].
inline void StoreBf16Pairs(std::byte* to, F32x16 even, F32x16 odd) {
  const __m512i low = _mm512_srli_epi32(RoundedInHighHalf(even), 16);
  _mm512_storeu_si512(to, _mm512_mask_blend_epi16(0xaaaaaaaa, low, RoundedInHighHalf(odd)));
}

#else

inline F32x16 QuietNans(F32x16 v) {
  for (float& x : v.v) x = x == x ? x : __builtin_nanf("");
  return v;
}

inline void StoreRoundedBf16(std::byte* to, float x) {
  const auto half = static_cast<uint16_t>((__builtin_bit_cast(uint32_t, x) + 0x8000u) >> 16);
  __builtin_memcpy(to, &half, 2);
}

inline void StoreBf16(std::byte* to, F32x16 v) {
  for (int i = 0; i < 16; ++i) StoreRoundedBf16(to + 2 * i, v.v[i]);
}

inline void StoreBf16Pairs(std::byte* to, F32x16 even, F32x16 odd) {
  for (int i = 0; i < 16; ++i) {
    StoreRoundedBf16(to + 4 * i, even.v[i]);
    StoreRoundedBf16(to + 4 * i + 2, odd.v[i]);
  }
}

#endif

}  // namespace pelton::cpu::KERNEL_ISA
