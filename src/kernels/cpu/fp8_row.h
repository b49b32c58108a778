#pragma once

#if defined(__AVX512BW__)
#include <immintrin.h>
#endif

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/simd/bf16.h"
#include "kernels/ops/kv_cache.h"

// Rows of a latent cache of KvDType::kFp8, compiled per ISA: plain loops over integers that the
// compiler turns into vectors, with the same bits everywhere. Attention decodes each row of a
// context for a token: with AVX-512 in half of the time that the compiler's vectors take.
namespace pelton::cpu::KERNEL_ISA {

// Nearest, ties to even. A NaN stays one; what is finite does not become an infinity.
inline Bf16 RoundToBf16(float x) {
  const uint32_t bits = __builtin_bit_cast(uint32_t, x);
  const uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return {static_cast<uint16_t>((bits >> 16) | 0x40)};
  if (magnitude >= 0x7f7f8000 && magnitude < 0x7f800000) {
    return {static_cast<uint16_t>(((bits >> 16) & 0x8000) | 0x7f7f)};
  }
  return {static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16)};
}

// Bits of the scale of kFp8Group numbers: the smallest power of two that brings all of them to 448,
// E4M3's largest, with 1e-4 for those that are smaller. FlashMLA has the same rule.
inline uint32_t Fp8ScaleBits(const float* x) {
  uint32_t largest = __builtin_bit_cast(uint32_t, 1e-4f);
  for (size_t i = 0; i < kFp8Group; ++i) {
    const uint32_t magnitude = __builtin_bit_cast(uint32_t, x[i]) & 0x7fffffff;
    largest = magnitude > largest ? magnitude : largest;
  }
  if (largest >= 0x7f800000) return 0x7fc00000;
  // 448 is 1.75 * 2^8: a larger fraction carries into the exponent.
  return (((largest + 0x1fffff) >> 23) - 8) << 23;
}

// Numbers over a power of two as E4M3: nearest, ties to even.
inline void EncodeFp8Group(const float* x, uint32_t scale_bits, uint8_t* __restrict codes) {
  if (scale_bits >= 0x7f800000) {
    __builtin_memset(codes, 0, kFp8Group);
    return;
  }
  const float inverse = __builtin_bit_cast(float, (254u << 23) - scale_bits);
  // With the largest scale 256 would be beyond the range of floats, and 240 is next.
  const float limit = scale_bits == 247u << 23 ? 240.0f : 448.0f;
  const uint32_t limit_bits = __builtin_bit_cast(uint32_t, limit);
  for (size_t i = 0; i < kFp8Group; ++i) {
    const uint32_t bits = __builtin_bit_cast(uint32_t, x[i] * inverse);
    uint32_t magnitude = bits & 0x7fffffff;
    magnitude = magnitude < limit_bits ? magnitude : limit_bits;
    // 20 bits of the fraction go, and the exponent's bias is 7 instead of 127.
    const uint32_t normal = ((magnitude + 0x7ffff + ((magnitude >> 20) & 1)) >> 20) - (120 << 3);
    // Beside 2^14 the lowest bit of a float is worth 2^-9, as that of a subnormal code.
    const float sum = __builtin_bit_cast(float, magnitude) + 0x1p14f;
    const uint32_t subnormal = __builtin_bit_cast(uint32_t, sum) - (141u << 23);
    const uint32_t code = magnitude < (121u << 23) ? subnormal : normal;
    codes[i] = static_cast<uint8_t>(((bits >> 24) & 0x80) | code);
  }
}

#if defined(__AVX512BW__)

// codes[i] * 2^(shift >> 7) for kFp8Group codes.
inline void DecodeCodes(const uint8_t* codes, uint16_t shift, Bf16* out) {
  // What codes below 8 are, subnormal ones: 0 and m * 2^-9, which bf16 has as normal numbers.
  const __m512i subnormal =
      _mm512_castsi128_si512(_mm_setr_epi16(0, 118 << 7, 119 << 7, (119 << 7) + 64, 120 << 7,
                                            (120 << 7) + 32, (120 << 7) + 64, (120 << 7) + 96));
  const __m512i shifts = _mm512_set1_epi16(static_cast<int16_t>(shift));
  const __m512i table = _mm512_mask_add_epi16(subnormal, 0xfe, subnormal, shifts);
  const __m512i first = _mm512_add_epi16(shifts, _mm512_set1_epi16(120 << 7));
  for (size_t i = 0; i < kFp8Group; i += 32) {
    const __m512i code =
        _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes + i)));
    const __m512i m = _mm512_and_si512(code, _mm512_set1_epi16(0x7f));
    const __m512i normal = _mm512_add_epi16(_mm512_slli_epi16(m, 4), first);
    const __mmask32 small = _mm512_cmplt_epu16_mask(m, _mm512_set1_epi16(8));
    const __m512i bits = _mm512_mask_permutexvar_epi16(normal, small, m, table);
    // bits | (sign & 0x8000)
    const __m512i signed_bits = _mm512_ternarylogic_epi32(bits, _mm512_slli_epi16(code, 8),
                                                          _mm512_set1_epi16(INT16_MIN), 0xf8);
    _mm512_storeu_si512(out + i, signed_bits);
  }
}

#else

inline void DecodeCodes(const uint8_t* codes, uint16_t shift, Bf16* __restrict out) {
  for (size_t i = 0; i < kFp8Group; ++i) {
    const uint16_t code = codes[i];
    const auto m = static_cast<uint16_t>(code & 0x7f);
    const auto normal = static_cast<uint16_t>((m << 4) + (120 << 7));
    // Subnormal codes are m * 2^-9 with m < 8, which bf16 has as normal numbers.
    const auto of_4 = static_cast<uint16_t>(((m - 4) << 5) + (120 << 7));
    const auto of_2 = static_cast<uint16_t>(((m - 2) << 6) + (119 << 7));
    const auto of_1 = static_cast<uint16_t>(118 << 7);
    uint16_t bits = m >= 8 ? normal : m >= 4 ? of_4 : m >= 2 ? of_2 : of_1;
    bits = static_cast<uint16_t>(bits + shift);
    bits = m == 0 ? uint16_t{0} : bits;
    out[i].bits = static_cast<uint16_t>(bits | ((code & 0x80) << 8));
  }
}

#endif

// The other way, exact: 4 significant bits and a power of two fit bf16.
inline void DecodeFp8Group(const uint8_t* codes, uint32_t scale_bits, Bf16* out) {
  const uint32_t exponent = (scale_bits >> 23) & 0xff;
  if (exponent == 0xff || exponent == 0) {
    const auto value = static_cast<uint16_t>(exponent == 0 ? 0 : 0x7fc0);
    for (size_t i = 0; i < kFp8Group; ++i) out[i].bits = value;
    return;
  }
  DecodeCodes(codes, static_cast<uint16_t>((exponent - 127) << 7), out);
}

// Writes a token's row: `latent` of cache.value_dim elements, `rest` of the others.
inline void EncodeFp8Row(const KvCacheView& cache, const float* latent, const float* rest,
                         std::byte* row) {
  const size_t groups = cache.value_dim / kFp8Group;
  auto* codes = reinterpret_cast<uint8_t*>(row);
  std::byte* scales = row + cache.value_dim;
  for (size_t g = 0; g < groups; ++g) {
    const uint32_t scale_bits = Fp8ScaleBits(latent + g * kFp8Group);
    EncodeFp8Group(latent + g * kFp8Group, scale_bits, codes + g * kFp8Group);
    __builtin_memcpy(scales + g * sizeof(float), &scale_bits, sizeof(scale_bits));
  }
  std::byte* halves = scales + groups * sizeof(float);
  for (size_t d = 0; d < cache.head_dim - cache.value_dim; ++d) {
    const Bf16 half = RoundToBf16(rest[d]);
    __builtin_memcpy(halves + d * sizeof(half), &half, sizeof(half));
  }
}

// What a row holds, cache.head_dim elements; exact.
inline void DecodeFp8Row(const KvCacheView& cache, const std::byte* row, Bf16* out) {
  const size_t groups = cache.value_dim / kFp8Group;
  const auto* codes = reinterpret_cast<const uint8_t*>(row);
  const std::byte* scales = row + cache.value_dim;
  for (size_t g = 0; g < groups; ++g) {
    uint32_t scale_bits;
    __builtin_memcpy(&scale_bits, scales + g * sizeof(float), sizeof(scale_bits));
    DecodeFp8Group(codes + g * kFp8Group, scale_bits, out + g * kFp8Group);
  }
  __builtin_memcpy(out + cache.value_dim, scales + groups * sizeof(float),
                   (cache.head_dim - cache.value_dim) * sizeof(Bf16));
}

}  // namespace pelton::cpu::KERNEL_ISA
