#pragma once

#include <bit>
#include <cstdint>

namespace pelton {

// Exact, for every bit pattern; uses no subnormal f32, so it does not depend on the processor's
// flush-to-zero mode. A NaN stays a NaN.
inline float HalfToFloat(uint16_t half) {
  const uint32_t sign = uint32_t{half & 0x8000u} << 16;
  const uint32_t exponent = (half >> 10) & 0x1f;
  const uint32_t mantissa = uint32_t{half & 0x3ffu} << 13;
  if (exponent == 0) {
    // mantissa * 2^-24 as (2^-14 + mantissa * 2^-24) - 2^-14.
    const float magnitude = std::bit_cast<float>((113u << 23) | mantissa) - 0x1p-14f;
    return std::bit_cast<float>(std::bit_cast<uint32_t>(magnitude) | sign);
  }
  const uint32_t wide_exponent = exponent == 31 ? 255 : exponent + 112;
  return std::bit_cast<float>(sign | (wide_exponent << 23) | mantissa);
}

// OCP 8-bit floating point v1.0, E4M3: no infinities, NaN is 0x7f and 0xff. Exact: the bits are
// those of an f16 whose exponent is 8 less.
inline float Float8ToFloat(uint8_t code) {
  const uint32_t sign = uint32_t{code & 0x80u} << 8;
  const uint32_t magnitude = code & 0x7fu;
  if (magnitude == 0x7f) return std::bit_cast<float>((sign << 16) | 0x7fc00000u);
  return 256.0f * HalfToFloat(static_cast<uint16_t>(sign | (magnitude << 7)));
}

inline float BFloat16ToFloat(uint16_t value) { return std::bit_cast<float>(uint32_t{value} << 16); }

}  // namespace pelton
