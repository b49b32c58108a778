#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/cpu/simd/bf16.h"
#include "kernels/cpu/simd/code8.h"
#include "kernels/cpu/simd/f16.h"

// The f32 vector vocabulary of the kernels. This file states what each function means; avx2.h and
// avx512.h offer the same names. Plain GNU vectors, so that it compiles for any processor.
namespace pelton::cpu::generic {

struct F32 {
  static constexpr size_t kLanes = 4;
  using Vector = float __attribute__((vector_size(16)));
  using Bits = int32_t __attribute__((vector_size(16)));
  Vector v;
};
namespace internal {
inline F32::Bits BitsOf(F32 a) { return reinterpret_cast<F32::Bits>(a.v); }
inline F32 FromBits(F32::Bits bits) { return {reinterpret_cast<F32::Vector>(bits)}; }
inline F32 Select(F32::Bits condition, F32 yes, F32 no) {
  return FromBits((BitsOf(yes) & condition) | (BitsOf(no) & ~condition));
}
}  // namespace internal

inline F32 Broadcast(float x) { return {F32::Vector{x, x, x, x}}; }
inline F32 Zero() { return Broadcast(0.0f); }

inline F32 Load(const float* p) {
  F32 out;
  std::memcpy(&out.v, p, sizeof(out.v));
  return out;
}
inline void Store(F32 a, float* p) { std::memcpy(p, &a.v, sizeof(a.v)); }
// The first `count` <= kLanes elements; loads give 0 in the other lanes. Touches no other memory.
inline F32 LoadPartial(const float* p, size_t count) {
  F32 out = Zero();
  for (size_t i = 0; i < count; ++i) out.v[i] = p[i];
  return out;
}
inline void StorePartial(F32 a, float* p, size_t count) {
  for (size_t i = 0; i < count; ++i) p[i] = a.v[i];
}

inline F32 Add(F32 a, F32 b) { return {a.v + b.v}; }
inline F32 Sub(F32 a, F32 b) { return {a.v - b.v}; }
inline F32 Mul(F32 a, F32 b) { return {a.v * b.v}; }
inline F32 Div(F32 a, F32 b) { return {a.v / b.v}; }
// b where either is NaN.
inline F32 Max(F32 a, F32 b) { return internal::Select(a.v > b.v, a, b); }
inline F32 Min(F32 a, F32 b) { return internal::Select(a.v < b.v, a, b); }
inline F32 Abs(F32 a) { return internal::FromBits(internal::BitsOf(a) & 0x7fffffff); }
// a * b + c and c - a * b, rounded once where the instruction set can.
inline F32 MulAdd(F32 a, F32 b, F32 c) { return {a.v * b.v + c.v}; }
inline F32 NegMulAdd(F32 a, F32 b, F32 c) { return {c.v - a.v * b.v}; }
// a < b ? yes : no, per lane.
inline F32 SelectLess(F32 a, F32 b, F32 yes, F32 no) {
  return internal::Select(a.v < b.v, yes, no);
}
// |magnitude| with the sign of `sign`.
inline F32 CopySign(F32 magnitude, F32 sign) {
  return internal::FromBits((internal::BitsOf(magnitude) & 0x7fffffff) |
                            (internal::BitsOf(sign) & ~0x7fffffff));
}
// To the nearest integer, ties to even. Requires: |a| < 2^22.
inline F32 Round(F32 a) {
  const F32 shift = Broadcast(12582912.0f);  // 1.5 * 2^23: the sum has no fraction bits
  return Sub(Add(a, shift), shift);
}
// a * 2^n, rounded once. Requires: n integral in [-250, 250], a in [0.5, 2].
inline F32 ScaleByPow2(F32 a, F32 n) {
  const F32::Bits integers = __builtin_convertvector(n.v, F32::Bits);
  const F32::Bits half = integers >> 1;
  const F32 first = internal::FromBits((half + 127) << 23);
  const F32 second = internal::FromBits((integers - half + 127) << 23);
  return Mul(Mul(a, first), second);
}

inline float FirstLane(F32 a) { return a.v[0]; }
// Over all lanes, in a fixed order.
inline float SumLanes(F32 a) { return (a.v[0] + a.v[2]) + (a.v[1] + a.v[3]); }
inline float MaxLanes(F32 a) {
  const float x = a.v[0] > a.v[2] ? a.v[0] : a.v[2];
  const float y = a.v[1] > a.v[3] ? a.v[1] : a.v[3];
  return x > y ? x : y;
}

// Lanes as pairs: (x1, x0, x3, x2, ...).
inline F32 SwapPairs(F32 a) { return {F32::Vector{a.v[1], a.v[0], a.v[3], a.v[2]}}; }
// (p0, p0, p1, p1, ...) from kLanes / 2 elements; of the first `count` elements only, then 0.
inline F32 LoadTwice(const float* p) { return {F32::Vector{p[0], p[0], p[1], p[1]}}; }
inline F32 LoadTwicePartial(const float* p, size_t count) {
  const float x = count > 0 ? p[0] : 0.0f;
  const float y = count > 1 ? p[1] : 0.0f;
  return {F32::Vector{x, x, y, y}};
}
// (-x0, x1, -x2, x3, ...)
inline F32 NegateEven(F32 a) {
  return internal::FromBits(internal::BitsOf(a) ^ F32::Bits{INT32_MIN, 0, INT32_MIN, 0});
}

// Halves: loads are exact; stores round to nearest even, finite values beyond the range become the
// largest half, infinities and NaNs stay what they are.
inline F32 LoadPartial(const F16* p, size_t count) {
  F32::Bits h = {0, 0, 0, 0};
  for (size_t i = 0; i < count; ++i) h[i] = p[i].bits;
  const F32::Bits magnitude = (h & 0x7fff) << 13;
  // Moving the exponent by a multiplication makes subnormal halves normal floats.
  const F32 finite = Mul(internal::FromBits(magnitude), Broadcast(0x1p112f));
  const F32 special = internal::FromBits(magnitude | 0x7f800000);
  const F32::Bits is_special = magnitude >= (0x7c00 << 13);
  const F32 value = internal::Select(is_special, special, finite);
  return internal::FromBits(internal::BitsOf(value) | ((h & 0x8000) << 16));
}
inline F32 Load(const F16* p) { return LoadPartial(p, F32::kLanes); }
inline void StorePartial(F32 a, F16* p, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    uint32_t bits;
    const float x = a.v[i];
    std::memcpy(&bits, &x, sizeof(bits));
    const uint32_t sign = (bits >> 16) & 0x8000;
    bits &= 0x7fffffff;
    uint32_t half;
    if (bits >= 0x7f800000) {
      half = bits == 0x7f800000 ? 0x7c00 : 0x7e00 | ((bits >> 13) & 0x3ff);
    } else if (bits >= 0x477ff000) {  // rounds to 65536 or more
      half = 0x7bff;
    } else if (bits >= 0x38800000) {  // normal: round the 13 dropped bits to nearest even
      half = (bits - 0x38000000 + 0xfff + ((bits >> 13) & 1)) >> 13;
    } else {  // subnormal: adding 0.5 leaves the value as the low bits, in units of 2^-24
      float magnitude;
      std::memcpy(&magnitude, &bits, sizeof(bits));
      magnitude += 0.5f;
      std::memcpy(&half, &magnitude, sizeof(half));
      half -= 0x3f000000;
    }
    p[i].bits = static_cast<uint16_t>(sign | half);
  }
}
inline void Store(F32 a, F16* p) { StorePartial(a, p, F32::kLanes); }

inline F32 LoadPartial(const Bf16* p, size_t count) {
  F32::Bits bits = {0, 0, 0, 0};
  for (size_t i = 0; i < count; ++i) bits[i] = static_cast<int32_t>(uint32_t{p[i].bits} << 16);
  return internal::FromBits(bits);
}
inline F32 Load(const Bf16* p) { return LoadPartial(p, F32::kLanes); }

// Codes as numbers.
inline F32 LoadPartial(const Code8* p, size_t count) {
  F32 out = Zero();
  for (size_t i = 0; i < count; ++i) out.v[i] = static_cast<float>(p[i].value);
  return out;
}
inline F32 Load(const Code8* p) { return LoadPartial(p, F32::kLanes); }

// Lane l of out[i] = rows[l][first + i].
template <typename Element>
inline void Transpose8(const Element* const* rows, size_t first, F32 (&out)[8]) {
  for (size_t half = 0; half < 8; half += 4) {
    F32 v[4];
    for (size_t i = 0; i < 4; ++i) v[i] = Load(rows[i] + first + half);
    for (size_t i = 0; i < 4; ++i) {
      out[half + i] = {F32::Vector{v[0].v[i], v[1].v[i], v[2].v[i], v[3].v[i]}};
    }
  }
}

// The largest bit pattern of |x[i]|, i < 32: the bits of the largest magnitude, and a NaN's or an
// infinity's if there is one.
inline uint32_t MaxMagnitudeBits32(const float* x) {
  F32::Bits largest = {0, 0, 0, 0};
  for (size_t i = 0; i < 32; i += F32::kLanes) {
    const F32::Bits bits = internal::BitsOf(Abs(Load(x + i)));
    const F32::Bits greater = bits > largest;
    largest = (bits & greater) | (largest & ~greater);
  }
  int32_t out = 0;
  for (size_t i = 0; i < F32::kLanes; ++i) out = largest[i] > out ? largest[i] : out;
  return static_cast<uint32_t>(out);
}
// out[i] = x[i] * inverse to the nearest integer, ties to even, i < 32; returns their sum.
// Requires: every product within [-127.5, 127.5].
// Always inline: the emulated tiles include this header in objects of their own.
[[gnu::always_inline]] inline int32_t RoundToInt8x32(const float* x, float inverse, int8_t* out) {
  int32_t sum = 0;
  for (size_t i = 0; i < 32; i += F32::kLanes) {
    const F32 rounded = Round(Mul(Load(x + i), Broadcast(inverse)));
    const F32::Bits integers = __builtin_convertvector(rounded.v, F32::Bits);
    for (size_t j = 0; j < F32::kLanes; ++j) {
      out[i + j] = static_cast<int8_t>(integers[j]);
      sum += integers[j];
    }
  }
  return sum;
}

// Asks for the cache line of p to be brought to the first-level, or only the second-level, cache.
inline void PrefetchNear(const void* p) { __builtin_prefetch(p, 0, 3); }
inline void PrefetchFar(const void* p) { __builtin_prefetch(p, 0, 2); }

}  // namespace pelton::cpu::generic
