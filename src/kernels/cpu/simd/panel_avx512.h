#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace pelton::cpu::KERNEL_ISA {

using F32x16 = __m512;
using I32x16 = __m512i;
using Quad = __m512i;
using SignedQuad = __m512i;

// Register tiles, of 32 registers. Dots: 6 x 2 integer sums, as many float sums, 2 of weights and
// an activation. Floats: 12 x 2 sums. More than the latency of 5 times the rate of 2 in each.
inline constexpr int kDotTileRows = 6;
inline constexpr int kDotTilePanels = 2;
// Sums of integers alone: 12 x 2.
inline constexpr int kByRowTileRows = 12;
inline constexpr int kFmaTileRows = 12;
inline constexpr int kFmaTilePanels = 2;
// Rows up to which a block of weights stays in registers (8 of codes) while every row uses it; for
// formats with a minimum or two scales per block, which need more registers, fewer.
inline constexpr size_t kDotFewRows = 12;
inline constexpr size_t kDotFewRowsScaled = 8;
// More rows may pass a panel in chunks like these: it is in a cache by then. Measured on Zen 4, one
// thread: 16 rows take 0.6 of the time that register tiles over a decoded piece do, 32 rows 0.8, 64
// rows 0.9 to 0.95, and 80 % of the peak is reached, which is all that integers, products and sums
// together allow.
inline constexpr size_t kDotChunkRows = 8;
inline constexpr bool kDotChunked = true;
inline constexpr int kFmaFewRows = 8;
inline constexpr int kWideBias = 0;

inline F32x16 ZeroF32() { return _mm512_setzero_ps(); }
inline F32x16 SetF32(float x) { return _mm512_set1_ps(x); }
inline F32x16 LoadF32(const float* p) { return _mm512_loadu_ps(p); }
inline void StoreF32(float* p, F32x16 v) { _mm512_storeu_ps(p, v); }

inline F32x16 Add(F32x16 a, F32x16 b) { return _mm512_add_ps(a, b); }
inline F32x16 Sub(F32x16 a, F32x16 b) { return _mm512_sub_ps(a, b); }
inline F32x16 Mul(F32x16 a, F32x16 b) { return _mm512_mul_ps(a, b); }
inline F32x16 Fma(F32x16 a, F32x16 b, F32x16 c) { return _mm512_fmadd_ps(a, b, c); }

inline I32x16 ZeroI32() { return _mm512_setzero_si512(); }
inline I32x16 SetI32(int32_t x) { return _mm512_set1_epi32(x); }
inline I32x16 LoadI32(const int32_t* p) { return _mm512_loadu_si512(p); }
inline void StoreI32(int32_t* p, I32x16 v) { _mm512_storeu_si512(p, v); }
inline I32x16 AddI32(I32x16 a, I32x16 b) { return _mm512_add_epi32(a, b); }
inline F32x16 ToF32(I32x16 v) { return _mm512_cvtepi32_ps(v); }

inline F32x16 LoadF16(const std::byte* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
inline F32x16 LoadBF16(const std::byte* p) {
  const __m256i v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(v), 16));
}
inline F32x16 LoadI8(const std::byte* p) {
  return ToF32(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
inline F32x16 LoadU8(const std::byte* p) {
  return ToF32(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}

// Two columns of a scalar panel, stored as [16 rows][2 k].
inline void LoadPairF32(const std::byte* p, F32x16& even, F32x16& odd) {
  const __m512 a = _mm512_loadu_ps(p), b = _mm512_loadu_ps(p + 64);
  const __m512i evens =
      _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  even = _mm512_permutex2var_ps(a, evens, b);
  odd = _mm512_permutex2var_ps(a, _mm512_add_epi32(evens, _mm512_set1_epi32(1)), b);
}
inline void LoadPairF16(const std::byte* p, F32x16& even, F32x16& odd) {
  const __m512i v = _mm512_loadu_si512(p);
  even = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(v));
  odd = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(v, 16)));
}
inline void LoadPairBF16(const std::byte* p, F32x16& even, F32x16& odd) {
  const __m512i v = _mm512_loadu_si512(p);
  even = _mm512_castsi512_ps(_mm512_slli_epi32(v, 16));
  odd = _mm512_castsi512_ps(_mm512_and_si512(v, _mm512_set1_epi32(static_cast<int>(0xffff0000))));
}
// Likewise of floats of 8 bits (E4M3, every code a number), 2^-8 of their values: as f16, whose
// exponents have a bias that is 8 larger. Shifting right copies the sign into the exponent's top
// bit, which is zero in every code.
inline void LoadPairF8(const std::byte* p, F32x16& even, F32x16& odd) {
  const __m256i v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  const __m256i mask = _mm256_set1_epi16(static_cast<int16_t>(0xbf80));
  even = _mm512_cvtph_ps(_mm256_and_si256(_mm256_srai_epi16(_mm256_slli_epi16(v, 8), 1), mask));
  odd = _mm512_cvtph_ps(_mm256_and_si256(_mm256_srai_epi16(v, 1), mask));
}

// What comes after is not begun before this value is there: the compiler would rather spill.
inline void KeepInOrder(F32x16& v) { asm volatile("" : "+v"(v)::"memory"); }

inline Quad LoadQuad(const std::byte* p) { return _mm512_loadu_si512(p); }
inline void StoreQuad(std::byte* p, Quad q) { _mm512_storeu_si512(p, q); }
inline Quad LowNibbles(Quad q) { return _mm512_and_si512(q, _mm512_set1_epi8(15)); }
inline Quad HighNibbles(Quad q) {
  return _mm512_and_si512(_mm512_srli_epi16(q, 4), _mm512_set1_epi8(15));
}
// low | 16 * (bits 2i, 2i + 1 of tops).
template <int i>
inline Quad WithTops(Quad low, Quad tops) {
  Quad shifted = tops;
  if constexpr (i == 0) shifted = _mm512_slli_epi16(tops, 4);
  if constexpr (i == 1) shifted = _mm512_slli_epi16(tops, 2);
  if constexpr (i == 3) shifted = _mm512_srli_epi16(tops, 2);
  return _mm512_ternarylogic_epi32(shifted, _mm512_set1_epi8(0x30), low, 0xea);  // (a & b) | c
}
// table[code], for codes below 16; 16-byte table.
inline Quad LookUp(const uint8_t* table, Quad codes) {
  const __m512i t =
      _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table)));
  return _mm512_shuffle_epi8(t, codes);
}
inline Quad WidePrepared(Quad q) { return q; }
inline Quad SubBytes(Quad q, int x) {
  return _mm512_sub_epi8(q, _mm512_set1_epi8(static_cast<char>(x)));
}
// Column j of a quad as unsigned codes.
template <int j>
inline F32x16 CodeColumn(Quad q) {
  return ToF32(_mm512_and_si512(_mm512_srli_epi32(q, 8 * j), _mm512_set1_epi32(255)));
}

inline SignedQuad LoadSignedQuad(const int8_t* p) {
  int32_t x;
  std::memcpy(&x, p, sizeof(x));
  return _mm512_set1_epi32(x);
}
template <bool kWide>
inline I32x16 Dot(I32x16 acc, Quad w, SignedQuad x) {
  return _mm512_dpbusd_epi32(acc, w, x);
}
// Sum of the first 16 activations of a block.
inline int32_t SumOf16(const int8_t* p) {
  const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  __m128i s = _mm_dpbusd_epi32(_mm_setzero_si128(), _mm_set1_epi8(1), v);
  s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}

inline void PrefetchLine(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }
inline void PrefetchLineToL2(const void* p) {
  _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1);
}

}  // namespace pelton::cpu::KERNEL_ISA
