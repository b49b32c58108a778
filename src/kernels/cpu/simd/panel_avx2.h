#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace pelton::cpu::KERNEL_ISA {

// 16 lanes are two registers: rows 0..7 and 8..15.
struct F32x16 {
  __m256 lo, hi;
};
struct I32x16 {
  __m256i lo, hi;
};
struct Quad {
  __m256i lo, hi;
};
using SignedQuad = __m256i;

// Register tiles, of 16 registers.
inline constexpr int kDotTileRows = 2;
inline constexpr int kDotTilePanels = 1;
inline constexpr int kByRowTileRows = 4;
inline constexpr int kFmaTileRows = 6;
inline constexpr int kFmaTilePanels = 1;
inline constexpr size_t kDotFewRows = 1;
inline constexpr size_t kDotFewRowsScaled = 1;
inline constexpr size_t kDotChunkRows = kDotFewRowsScaled;
inline constexpr bool kDotChunked = false;
inline constexpr int kFmaFewRows = 4;
// vpmaddubsw adds two products of u8 and s8 in 16 bits, which 255 * 127 * 2 overflows. Codes of 8
// bits are therefore taken as signed numbers, 128 less: |w| * sign(w) x stays within 128 * 127 * 2.
inline constexpr int kWideBias = 128;

inline F32x16 ZeroF32() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
inline F32x16 SetF32(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
inline F32x16 LoadF32(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline void StoreF32(float* p, F32x16 v) {
  _mm256_storeu_ps(p, v.lo);
  _mm256_storeu_ps(p + 8, v.hi);
}

inline F32x16 Add(F32x16 a, F32x16 b) {
  return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)};
}
inline F32x16 Sub(F32x16 a, F32x16 b) {
  return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)};
}
inline F32x16 Mul(F32x16 a, F32x16 b) {
  return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)};
}
inline F32x16 Fma(F32x16 a, F32x16 b, F32x16 c) {
  return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}

inline I32x16 ZeroI32() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
inline I32x16 SetI32(int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
inline I32x16 LoadI32(const int32_t* p) {
  const auto* v = reinterpret_cast<const __m256i*>(p);
  return {_mm256_loadu_si256(v), _mm256_loadu_si256(v + 1)};
}
inline void StoreI32(int32_t* p, I32x16 v) {
  auto* to = reinterpret_cast<__m256i*>(p);
  _mm256_storeu_si256(to, v.lo);
  _mm256_storeu_si256(to + 1, v.hi);
}
inline I32x16 AddI32(I32x16 a, I32x16 b) {
  return {_mm256_add_epi32(a.lo, b.lo), _mm256_add_epi32(a.hi, b.hi)};
}
inline F32x16 ToF32(I32x16 v) { return {_mm256_cvtepi32_ps(v.lo), _mm256_cvtepi32_ps(v.hi)}; }

inline __m128i Load128(const std::byte* p) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
}
inline F32x16 LoadF16(const std::byte* p) {
  return {_mm256_cvtph_ps(Load128(p)), _mm256_cvtph_ps(Load128(p + 16))};
}
inline F32x16 LoadBF16(const std::byte* p) {
  const auto widened = [](__m128i v) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(v), 16));
  };
  return {widened(Load128(p)), widened(Load128(p + 16))};
}
inline F32x16 LoadI8(const std::byte* p) {
  const __m128i v = Load128(p);
  return ToF32({_mm256_cvtepi8_epi32(v), _mm256_cvtepi8_epi32(_mm_srli_si128(v, 8))});
}
inline F32x16 LoadU8(const std::byte* p) {
  const __m128i v = Load128(p);
  return ToF32({_mm256_cvtepu8_epi32(v), _mm256_cvtepu8_epi32(_mm_srli_si128(v, 8))});
}

// Two columns of a scalar panel, stored as [16 rows][2 k].
inline void LoadPairF32(const std::byte* p, F32x16& even, F32x16& odd) {
  const auto* f = reinterpret_cast<const float*>(p);
  const auto split = [](__m256 a, __m256 b, __m256& e, __m256& o) {
    const __m256 x = _mm256_permute2f128_ps(a, b, 0x20), y = _mm256_permute2f128_ps(a, b, 0x31);
    e = _mm256_shuffle_ps(x, y, 0x88);
    o = _mm256_shuffle_ps(x, y, 0xdd);
  };
  split(_mm256_loadu_ps(f), _mm256_loadu_ps(f + 8), even.lo, odd.lo);
  split(_mm256_loadu_ps(f + 16), _mm256_loadu_ps(f + 24), even.hi, odd.hi);
}
inline __m256i Load256(const std::byte* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}
inline void LoadPairF16(const std::byte* p, F32x16& even, F32x16& odd) {
  const auto split = [](__m256i v, __m256& e, __m256& o) {
    // Even elements to the low half of each 128 bits, odd ones to the high; then gather halves.
    const __m256i order = _mm256_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15, 0,
                                           1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
    const __m256i s = _mm256_permute4x64_epi64(_mm256_shuffle_epi8(v, order), 0xd8);
    e = _mm256_cvtph_ps(_mm256_castsi256_si128(s));
    o = _mm256_cvtph_ps(_mm256_extracti128_si256(s, 1));
  };
  split(Load256(p), even.lo, odd.lo);
  split(Load256(p + 32), even.hi, odd.hi);
}
inline void LoadPairBF16(const std::byte* p, F32x16& even, F32x16& odd) {
  const __m256i high = _mm256_set1_epi32(static_cast<int>(0xffff0000));
  const __m256i lo = Load256(p), hi = Load256(p + 32);
  even = {_mm256_castsi256_ps(_mm256_slli_epi32(lo, 16)),
          _mm256_castsi256_ps(_mm256_slli_epi32(hi, 16))};
  odd = {_mm256_castsi256_ps(_mm256_and_si256(lo, high)),
         _mm256_castsi256_ps(_mm256_and_si256(hi, high))};
}
// Likewise of floats of 8 bits (E4M3, every code a number), 2^-8 of their values: as f16, whose
// exponents have a bias that is 8 larger. Shifting right copies the sign into the exponent's top
// bit, which is zero in every code.
inline void LoadPairF8(const std::byte* p, F32x16& even, F32x16& odd) {
  const __m256i v = Load256(p), mask = _mm256_set1_epi16(static_cast<int16_t>(0xbf80));
  const __m256i e = _mm256_and_si256(_mm256_srai_epi16(_mm256_slli_epi16(v, 8), 1), mask);
  const __m256i o = _mm256_and_si256(_mm256_srai_epi16(v, 1), mask);
  even = {_mm256_cvtph_ps(_mm256_castsi256_si128(e)),
          _mm256_cvtph_ps(_mm256_extracti128_si256(e, 1))};
  odd = {_mm256_cvtph_ps(_mm256_castsi256_si128(o)),
         _mm256_cvtph_ps(_mm256_extracti128_si256(o, 1))};
}

inline Quad LoadQuad(const std::byte* p) { return {Load256(p), Load256(p + 32)}; }
inline void StoreQuad(std::byte* p, Quad q) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), q.lo);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + 32), q.hi);
}
inline Quad LowNibbles(Quad q) {
  const __m256i mask = _mm256_set1_epi8(15);
  return {_mm256_and_si256(q.lo, mask), _mm256_and_si256(q.hi, mask)};
}
inline Quad HighNibbles(Quad q) {
  return LowNibbles({_mm256_srli_epi16(q.lo, 4), _mm256_srli_epi16(q.hi, 4)});
}
// low | 16 * (bits 2i, 2i + 1 of tops).
template <int i>
inline Quad WithTops(Quad low, Quad tops) {
  const auto one = [](__m256i base, __m256i t) {
    if constexpr (i == 0) t = _mm256_slli_epi16(t, 4);
    if constexpr (i == 1) t = _mm256_slli_epi16(t, 2);
    if constexpr (i == 3) t = _mm256_srli_epi16(t, 2);
    return _mm256_or_si256(_mm256_and_si256(t, _mm256_set1_epi8(0x30)), base);
  };
  return {one(low.lo, tops.lo), one(low.hi, tops.hi)};
}
// table[code], for codes below 16; 16-byte table.
inline Quad LookUp(const uint8_t* table, Quad codes) {
  const __m256i t =
      _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table)));
  return {_mm256_shuffle_epi8(t, codes.lo), _mm256_shuffle_epi8(t, codes.hi)};
}
inline Quad WidePrepared(Quad q) {
  const __m256i bias = _mm256_set1_epi8(static_cast<char>(0x80));
  return {_mm256_xor_si256(q.lo, bias), _mm256_xor_si256(q.hi, bias)};
}
// Column j of a quad as unsigned codes.
template <int j>
inline F32x16 CodeColumn(Quad q) {
  const __m256i mask = _mm256_set1_epi32(255);
  return ToF32({_mm256_and_si256(_mm256_srli_epi32(q.lo, 8 * j), mask),
                _mm256_and_si256(_mm256_srli_epi32(q.hi, 8 * j), mask)});
}

inline SignedQuad LoadSignedQuad(const int8_t* p) {
  int32_t x;
  std::memcpy(&x, p, sizeof(x));
  return _mm256_set1_epi32(x);
}
template <bool kWide>
inline __m256i DotHalf(__m256i acc, __m256i w, __m256i x) {
  const __m256i pairs = kWide ? _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w))
                              : _mm256_maddubs_epi16(w, x);
  return _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
template <bool kWide>
inline I32x16 Dot(I32x16 acc, Quad w, SignedQuad x) {
  return {DotHalf<kWide>(acc.lo, w.lo, x), DotHalf<kWide>(acc.hi, w.hi, x)};
}
// Sum of the first 16 activations of a block.
inline int32_t SumOf16(const int8_t* p) {
  const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  __m128i s = _mm_madd_epi16(_mm_maddubs_epi16(_mm_set1_epi8(1), v), _mm_set1_epi16(1));
  s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}

inline void PrefetchLine(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }
inline void PrefetchLineToL2(const void* p) {
  _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1);
}

}  // namespace pelton::cpu::KERNEL_ISA
