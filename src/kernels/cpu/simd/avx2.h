#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/simd/bf16.h"
#include "kernels/cpu/simd/code8.h"
#include "kernels/cpu/simd/f16.h"

// The vocabulary of generic.h in 8 lanes.
namespace pelton::cpu::avx2 {

struct F32 {
  static constexpr size_t kLanes = 8;
  __m256 v;
};
namespace internal {
inline __m256i FirstLanes(size_t count) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)),
                            _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
inline __m256 SignBits() { return _mm256_set1_ps(-0.0f); }
}  // namespace internal

inline F32 Broadcast(float x) { return {_mm256_set1_ps(x)}; }
inline F32 Zero() { return {_mm256_setzero_ps()}; }
inline F32 Load(const float* p) { return {_mm256_loadu_ps(p)}; }
inline void Store(F32 a, float* p) { _mm256_storeu_ps(p, a.v); }
inline F32 LoadPartial(const float* p, size_t count) {
  return {_mm256_maskload_ps(p, internal::FirstLanes(count))};
}
inline void StorePartial(F32 a, float* p, size_t count) {
  _mm256_maskstore_ps(p, internal::FirstLanes(count), a.v);
}

inline F32 Add(F32 a, F32 b) { return {_mm256_add_ps(a.v, b.v)}; }
inline F32 Sub(F32 a, F32 b) { return {_mm256_sub_ps(a.v, b.v)}; }
inline F32 Mul(F32 a, F32 b) { return {_mm256_mul_ps(a.v, b.v)}; }
inline F32 Div(F32 a, F32 b) { return {_mm256_div_ps(a.v, b.v)}; }
inline F32 Max(F32 a, F32 b) { return {_mm256_max_ps(a.v, b.v)}; }
inline F32 Min(F32 a, F32 b) { return {_mm256_min_ps(a.v, b.v)}; }
inline F32 Abs(F32 a) { return {_mm256_andnot_ps(internal::SignBits(), a.v)}; }
inline F32 MulAdd(F32 a, F32 b, F32 c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
inline F32 NegMulAdd(F32 a, F32 b, F32 c) { return {_mm256_fnmadd_ps(a.v, b.v, c.v)}; }
inline F32 SelectLess(F32 a, F32 b, F32 yes, F32 no) {
  return {_mm256_blendv_ps(no.v, yes.v, _mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ))};
}
inline F32 CopySign(F32 magnitude, F32 sign) {
  return {_mm256_or_ps(Abs(magnitude).v, _mm256_and_ps(internal::SignBits(), sign.v))};
}
inline F32 Round(F32 a) {
  return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
inline F32 ScaleByPow2(F32 a, F32 n) {
  const __m256i integers = _mm256_cvtps_epi32(n.v);
  const __m256i half = _mm256_srai_epi32(integers, 1);
  const __m256i bias = _mm256_set1_epi32(127);
  const __m256i first = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
  const __m256i second =
      _mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(integers, half), bias), 23);
  return {
      _mm256_mul_ps(_mm256_mul_ps(a.v, _mm256_castsi256_ps(first)), _mm256_castsi256_ps(second))};
}

inline float FirstLane(F32 a) { return _mm256_cvtss_f32(a.v); }
inline float SumLanes(F32 a) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
inline float MaxLanes(F32 a) {
  __m128 s = _mm_max_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  s = _mm_max_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}

inline F32 SwapPairs(F32 a) { return {_mm256_permute_ps(a.v, 0xb1)}; }
inline F32 LoadTwice(const float* p) {
  const __m256i twice = _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3);
  return {_mm256_permutevar8x32_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)), twice)};
}
inline F32 LoadTwicePartial(const float* p, size_t count) {
  const __m256i twice = _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3);
  return {_mm256_permutevar8x32_ps(LoadPartial(p, count).v, twice)};
}
inline F32 NegateEven(F32 a) {
  return {_mm256_xor_ps(a.v, _mm256_setr_ps(-0.0f, 0.0f, -0.0f, 0.0f, -0.0f, 0.0f, -0.0f, 0.0f))};
}

inline F32 Load(const F16* p) {
  return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
inline void Store(F32 a, F16* p) {
  const __m256 limit = _mm256_set1_ps(kMaxF16);
  const __m256 magnitude = Abs(a).v;
  const __m256 infinity = _mm256_set1_ps(__builtin_inff());
  const __m256 too_large = _mm256_and_ps(_mm256_cmp_ps(magnitude, limit, _CMP_GT_OQ),
                                         _mm256_cmp_ps(magnitude, infinity, _CMP_LT_OQ));
  const __m256 clamped = _mm256_blendv_ps(a.v, CopySign({limit}, a).v, too_large);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                   _mm256_cvtps_ph(clamped, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
inline F32 LoadPartial(const F16* p, size_t count) {
  F16 lanes[F32::kLanes] = {};
  for (size_t i = 0; i < count; ++i) lanes[i] = p[i];
  return Load(lanes);
}
inline void StorePartial(F32 a, F16* p, size_t count) {
  F16 lanes[F32::kLanes];
  Store(a, lanes);
  for (size_t i = 0; i < count; ++i) p[i] = lanes[i];
}

inline F32 Load(const Bf16* p) {
  const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16))};
}
inline F32 LoadPartial(const Bf16* p, size_t count) {
  Bf16 lanes[F32::kLanes] = {};
  for (size_t i = 0; i < count; ++i) lanes[i] = p[i];
  return Load(lanes);
}

inline F32 Load(const Code8* p) {
  return {_mm256_cvtepi32_ps(
      _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))))};
}
inline F32 LoadPartial(const Code8* p, size_t count) {
  Code8 lanes[F32::kLanes] = {};
  for (size_t i = 0; i < count; ++i) lanes[i] = p[i];
  return Load(lanes);
}

template <typename Element>
inline void Transpose8(const Element* const* rows, size_t first, F32 (&out)[8]) {
  __m256 a[8], b[8];
  for (int i = 0; i < 8; i += 2) {
    const __m256 x = Load(rows[i] + first).v, y = Load(rows[i + 1] + first).v;
    a[i] = _mm256_unpacklo_ps(x, y);
    a[i + 1] = _mm256_unpackhi_ps(x, y);
  }
  for (int i = 0; i < 8; i += 4) {
    b[i] = _mm256_shuffle_ps(a[i], a[i + 2], 0x44);
    b[i + 1] = _mm256_shuffle_ps(a[i], a[i + 2], 0xee);
    b[i + 2] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0x44);
    b[i + 3] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0xee);
  }
  for (size_t i = 0; i < 4; ++i) {
    out[i] = {_mm256_permute2f128_ps(b[i], b[i + 4], 0x20)};
    out[i + 4] = {_mm256_permute2f128_ps(b[i], b[i + 4], 0x31)};
  }
}

inline uint32_t MaxMagnitudeBits32(const float* x) {
  const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
  __m256i largest = _mm256_setzero_si256();
  for (int i = 0; i < 32; i += 8) {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + i));
    largest = _mm256_max_epi32(largest, _mm256_and_si256(bits, magnitude));
  }
  __m128i m = _mm_max_epi32(_mm256_castsi256_si128(largest), _mm256_extracti128_si256(largest, 1));
  m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0x4e));
  m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0xb1));
  return static_cast<uint32_t>(_mm_cvtsi128_si32(m));
}
inline int32_t RoundToInt8x32(const float* x, float inverse, int8_t* out) {
  const __m256 factor = _mm256_set1_ps(inverse);
  const __m256i a = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x), factor));
  const __m256i b = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + 8), factor));
  const __m256i c = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + 16), factor));
  const __m256i d = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + 24), factor));
  // The packs work inside 128-bit halves; the permutation puts the quads back in order.
  const __m256i bytes = _mm256_permutevar8x32_epi32(
      _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d)),
      _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), bytes);
  const __m256i sum = _mm256_add_epi32(_mm256_add_epi32(a, b), _mm256_add_epi32(c, d));
  __m128i s = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
  s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
  s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1));
  return _mm_cvtsi128_si32(s);
}

inline void PrefetchNear(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }
inline void PrefetchFar(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1); }

}  // namespace pelton::cpu::avx2
