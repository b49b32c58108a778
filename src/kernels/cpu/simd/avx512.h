#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/simd/bf16.h"
#include "kernels/cpu/simd/code8.h"
#include "kernels/cpu/simd/f16.h"

// The vocabulary of generic.h in 16 lanes.
namespace pelton::cpu::avx512 {

struct F32 {
  static constexpr size_t kLanes = 16;
  __m512 v;
};
namespace internal {
inline __mmask16 FirstLanes(size_t count) { return static_cast<__mmask16>((1u << count) - 1); }
}  // namespace internal

inline F32 Broadcast(float x) { return {_mm512_set1_ps(x)}; }
inline F32 Zero() { return {_mm512_setzero_ps()}; }
inline F32 Load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline void Store(F32 a, float* p) { _mm512_storeu_ps(p, a.v); }
inline F32 LoadPartial(const float* p, size_t count) {
  return {_mm512_maskz_loadu_ps(internal::FirstLanes(count), p)};
}
inline void StorePartial(F32 a, float* p, size_t count) {
  _mm512_mask_storeu_ps(p, internal::FirstLanes(count), a.v);
}

inline F32 Add(F32 a, F32 b) { return {_mm512_add_ps(a.v, b.v)}; }
inline F32 Sub(F32 a, F32 b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline F32 Mul(F32 a, F32 b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline F32 Div(F32 a, F32 b) { return {_mm512_div_ps(a.v, b.v)}; }
inline F32 Max(F32 a, F32 b) { return {_mm512_max_ps(a.v, b.v)}; }
inline F32 Min(F32 a, F32 b) { return {_mm512_min_ps(a.v, b.v)}; }
inline F32 Abs(F32 a) { return {_mm512_abs_ps(a.v)}; }
inline F32 MulAdd(F32 a, F32 b, F32 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline F32 NegMulAdd(F32 a, F32 b, F32 c) { return {_mm512_fnmadd_ps(a.v, b.v, c.v)}; }
inline F32 SelectLess(F32 a, F32 b, F32 yes, F32 no) {
  return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ), no.v, yes.v)};
}
inline F32 CopySign(F32 magnitude, F32 sign) {
  return {_mm512_or_ps(Abs(magnitude).v, _mm512_and_ps(_mm512_set1_ps(-0.0f), sign.v))};
}
inline F32 Round(F32 a) {
  return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
inline F32 ScaleByPow2(F32 a, F32 n) { return {_mm512_scalef_ps(a.v, n.v)}; }

inline float FirstLane(F32 a) { return _mm512_cvtss_f32(a.v); }
inline float SumLanes(F32 a) {
  const __m256 high = _mm512_extractf32x8_ps(a.v, 1);
  const __m256 s8 = _mm256_add_ps(_mm512_castps512_ps256(a.v), high);
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
inline float MaxLanes(F32 a) {
  const __m256 high = _mm512_extractf32x8_ps(a.v, 1);
  const __m256 s8 = _mm256_max_ps(_mm512_castps512_ps256(a.v), high);
  __m128 s = _mm_max_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
  s = _mm_max_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}

inline F32 SwapPairs(F32 a) { return {_mm512_permute_ps(a.v, 0xb1)}; }
inline F32 LoadTwice(const float* p) {
  const __m512i twice = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
  return {_mm512_permutexvar_ps(twice, _mm512_castps256_ps512(_mm256_loadu_ps(p)))};
}
inline F32 LoadTwicePartial(const float* p, size_t count) {
  const __m512i twice = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
  return {_mm512_permutexvar_ps(twice, LoadPartial(p, count).v)};
}
inline F32 NegateEven(F32 a) {
  return {_mm512_mask_xor_ps(a.v, 0x5555, a.v, _mm512_set1_ps(-0.0f))};
}

namespace internal {
inline __m256i ToHalves(F32 a) {
  const __m512 limit = _mm512_set1_ps(kMaxF16);
  const __m512 magnitude = _mm512_abs_ps(a.v);
  const __mmask16 finite =
      _mm512_cmp_ps_mask(magnitude, _mm512_set1_ps(__builtin_inff()), _CMP_LT_OQ);
  const __mmask16 too_large = _mm512_mask_cmp_ps_mask(finite, magnitude, limit, _CMP_GT_OQ);
  const __m512 clamped = _mm512_mask_mov_ps(a.v, too_large, CopySign({limit}, a).v);
  return _mm512_cvtps_ph(clamped, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
}  // namespace internal
inline F32 Load(const F16* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
inline void Store(F32 a, F16* p) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), internal::ToHalves(a));
}
inline F32 LoadPartial(const F16* p, size_t count) {
  return {_mm512_cvtph_ps(_mm256_maskz_loadu_epi16(internal::FirstLanes(count), p))};
}
inline void StorePartial(F32 a, F16* p, size_t count) {
  _mm256_mask_storeu_epi16(p, internal::FirstLanes(count), internal::ToHalves(a));
}

namespace internal {
inline F32 FromBf16(__m256i halves) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16))};
}
}  // namespace internal
inline F32 Load(const Bf16* p) {
  return internal::FromBf16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
inline F32 LoadPartial(const Bf16* p, size_t count) {
  return internal::FromBf16(_mm256_maskz_loadu_epi16(internal::FirstLanes(count), p));
}

inline F32 Load(const Code8* p) {
  return {_mm512_cvtepi32_ps(
      _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))))};
}
inline F32 LoadPartial(const Code8* p, size_t count) {
  return {_mm512_cvtepi32_ps(
      _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(internal::FirstLanes(count), p)))};
}

namespace internal {
// 16 bytes each of rows k, k + 4, k + 8 and k + 12. Insertions from memory do not need the one
// port that shuffles.
inline __m512i FourRows(const void* a, const void* b, const void* c, const void* d) {
  __m512i out = _mm512_castsi128_si512(_mm_loadu_si128(static_cast<const __m128i*>(a)));
  out = _mm512_inserti32x4(out, _mm_loadu_si128(static_cast<const __m128i*>(b)), 1);
  out = _mm512_inserti32x4(out, _mm_loadu_si128(static_cast<const __m128i*>(c)), 2);
  return _mm512_inserti32x4(out, _mm_loadu_si128(static_cast<const __m128i*>(d)), 3);
}
// out[i] = 32-bit word i, i < 4, of the 16 rows at `first` elements.
template <typename Element>
inline void TransposeWords(const Element* const* rows, size_t first, __m512i (&out)[4]) {
  __m512i in[4];
#pragma GCC unroll 4
  for (int k = 0; k < 4; ++k) {
    in[k] =
        FourRows(rows[k] + first, rows[k + 4] + first, rows[k + 8] + first, rows[k + 12] + first);
  }
  const __m512i low01 = _mm512_unpacklo_epi32(in[0], in[1]);
  const __m512i high01 = _mm512_unpackhi_epi32(in[0], in[1]);
  const __m512i low23 = _mm512_unpacklo_epi32(in[2], in[3]);
  const __m512i high23 = _mm512_unpackhi_epi32(in[2], in[3]);
  out[0] = _mm512_unpacklo_epi64(low01, low23);
  out[1] = _mm512_unpackhi_epi64(low01, low23);
  out[2] = _mm512_unpacklo_epi64(high01, high23);
  out[3] = _mm512_unpackhi_epi64(high01, high23);
}
}  // namespace internal
inline void Transpose8(const float* const* rows, size_t first, F32 (&out)[8]) {
  __m512i low[4], high[4];
  internal::TransposeWords(rows, first, low);
  internal::TransposeWords(rows, first + 4, high);
  for (int i = 0; i < 4; ++i) {
    out[i] = {_mm512_castsi512_ps(low[i])};
    out[i + 4] = {_mm512_castsi512_ps(high[i])};
  }
}
inline void Transpose8(const F16* const* rows, size_t first, F32 (&out)[8]) {
  // A word holds two halves; all the even ones go to the lower 256 bits.
  const __m512i split = _mm512_set_epi16(31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1,
                                         30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
  __m512i words[4];
  internal::TransposeWords(rows, first, words);
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const __m512i halves = _mm512_permutexvar_epi16(split, words[i]);
    out[2 * i] = {_mm512_cvtph_ps(_mm512_castsi512_si256(halves))};
    out[2 * i + 1] = {_mm512_cvtph_ps(_mm512_extracti64x4_epi64(halves, 1))};
  }
}

inline void Transpose8(const Bf16* const* rows, size_t first, F32 (&out)[8]) {
  __m512i words[4];
  internal::TransposeWords(rows, first, words);
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    // A word holds two; where a float has its upper half, the other's bits are cleared.
    const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xffff0000));
    out[2 * i] = {_mm512_castsi512_ps(_mm512_slli_epi32(words[i], 16))};
    out[2 * i + 1] = {_mm512_castsi512_ps(_mm512_and_si512(words[i], upper))};
  }
}

inline void Transpose8(const Code8* const* rows, size_t first, F32 (&out)[8]) {
  // 8 bytes each of rows k, k + 4, k + 8 and k + 12.
  __m512i in[4];
#pragma GCC unroll 4
  for (int k = 0; k < 4; ++k) {
    const auto load = [&](int row) {
      return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(rows[row] + first));
    };
    in[k] = _mm512_castsi128_si512(load(k));
    in[k] = _mm512_inserti32x4(in[k], load(k + 4), 1);
    in[k] = _mm512_inserti32x4(in[k], load(k + 8), 2);
    in[k] = _mm512_inserti32x4(in[k], load(k + 12), 3);
  }
  const __m512i low = _mm512_unpacklo_epi32(in[0], in[1]);
  const __m512i high = _mm512_unpacklo_epi32(in[2], in[3]);
  const __m512i words[2] = {_mm512_unpacklo_epi64(low, high), _mm512_unpackhi_epi64(low, high)};
#pragma GCC unroll 2
  for (int w = 0; w < 2; ++w) {
    // Each lane has 4 codes, of which the last is the highest byte.
    F32* to = out + 4 * w;
    to[0] = {_mm512_cvtepi32_ps(_mm512_srai_epi32(_mm512_slli_epi32(words[w], 24), 24))};
    to[1] = {_mm512_cvtepi32_ps(_mm512_srai_epi32(_mm512_slli_epi32(words[w], 16), 24))};
    to[2] = {_mm512_cvtepi32_ps(_mm512_srai_epi32(_mm512_slli_epi32(words[w], 8), 24))};
    to[3] = {_mm512_cvtepi32_ps(_mm512_srai_epi32(words[w], 24))};
  }
}

inline uint32_t MaxMagnitudeBits32(const float* x) {
  const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
  const __m512i a = _mm512_and_si512(_mm512_loadu_si512(x), magnitude);
  const __m512i b = _mm512_and_si512(_mm512_loadu_si512(x + 16), magnitude);
  return static_cast<uint32_t>(_mm512_reduce_max_epi32(_mm512_max_epi32(a, b)));
}
inline int32_t RoundToInt8x32(const float* x, float inverse, int8_t* out) {
  const __m512 factor = _mm512_set1_ps(inverse);
  const __m512i a = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x), factor));
  const __m512i b = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + 16), factor));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm512_cvtepi32_epi8(a));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 16), _mm512_cvtepi32_epi8(b));
  return _mm512_reduce_add_epi32(_mm512_add_epi32(a, b));
}

inline void PrefetchNear(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }
inline void PrefetchFar(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1); }

}  // namespace pelton::cpu::avx512
