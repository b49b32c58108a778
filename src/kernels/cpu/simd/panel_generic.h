#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

// Lanes stay loops, which the compiler vectorises as it can: unrolling each of them took minutes.
#define PELTON_ROLLED _Pragma("GCC unroll 1")

namespace pelton::cpu::KERNEL_ISA {

struct F32x16 {
  float v[16];
};
struct I32x16 {
  int32_t v[16];
};
struct Quad {
  uint8_t v[64];
};
struct SignedQuad {
  int8_t v[4];
};

inline constexpr int kDotTileRows = 2;
inline constexpr int kDotTilePanels = 1;
inline constexpr int kByRowTileRows = 2;
inline constexpr int kFmaTileRows = 4;
inline constexpr int kFmaTilePanels = 1;
inline constexpr size_t kDotFewRows = 1;
inline constexpr size_t kDotFewRowsScaled = 1;
inline constexpr size_t kDotChunkRows = kDotFewRowsScaled;
inline constexpr bool kDotChunked = false;
inline constexpr int kFmaFewRows = 1;
inline constexpr int kWideBias = 0;

template <typename F>
inline F32x16 EachF32(F f) {
  F32x16 out;
  PELTON_ROLLED
  for (int i = 0; i < 16; ++i) out.v[i] = f(i);
  return out;
}
template <typename F>
inline I32x16 EachI32(F f) {
  I32x16 out;
  PELTON_ROLLED
  for (int i = 0; i < 16; ++i) out.v[i] = f(i);
  return out;
}
template <typename F>
inline Quad EachByte(F f) {
  Quad out;
  PELTON_ROLLED
  for (int i = 0; i < 64; ++i) out.v[i] = static_cast<uint8_t>(f(i));
  return out;
}

inline F32x16 SetF32(float x) {
  return EachF32([&](int) { return x; });
}
inline F32x16 ZeroF32() { return SetF32(0.0f); }
inline F32x16 LoadF32(const float* p) {
  F32x16 out;
  std::memcpy(out.v, p, sizeof(out.v));
  return out;
}
inline void StoreF32(float* p, F32x16 v) { std::memcpy(p, v.v, sizeof(v.v)); }

inline F32x16 Add(F32x16 a, F32x16 b) {
  return EachF32([&](int i) { return a.v[i] + b.v[i]; });
}
inline F32x16 Sub(F32x16 a, F32x16 b) {
  return EachF32([&](int i) { return a.v[i] - b.v[i]; });
}
inline F32x16 Mul(F32x16 a, F32x16 b) {
  return EachF32([&](int i) { return a.v[i] * b.v[i]; });
}
inline F32x16 Fma(F32x16 a, F32x16 b, F32x16 c) {
  return EachF32([&](int i) { return __builtin_fmaf(a.v[i], b.v[i], c.v[i]); });
}

inline I32x16 SetI32(int32_t x) {
  return EachI32([&](int) { return x; });
}
inline I32x16 ZeroI32() { return SetI32(0); }
inline I32x16 LoadI32(const int32_t* p) {
  I32x16 out;
  std::memcpy(out.v, p, sizeof(out.v));
  return out;
}
inline void StoreI32(int32_t* p, I32x16 v) { std::memcpy(p, v.v, sizeof(v.v)); }
inline I32x16 AddI32(I32x16 a, I32x16 b) {
  return EachI32([&](int i) { return a.v[i] + b.v[i]; });
}
inline F32x16 ToF32(I32x16 v) {
  return EachF32([&](int i) { return static_cast<float>(v.v[i]); });
}

inline float F16ToF32(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000) << 16;
  const uint32_t exponent = (h >> 10) & 31, fraction = h & 1023;
  if (exponent == 0) {  // zero or subnormal: fraction * 2^-24, exact
    const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
    return std::bit_cast<float>(std::bit_cast<uint32_t>(magnitude) | sign);
  }
  if (exponent == 31) {
    const uint32_t quiet = fraction != 0 ? 0x400000u : 0u;
    return std::bit_cast<float>(sign | 0x7f800000u | quiet | (fraction << 13));
  }
  return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (fraction << 13));
}
inline uint16_t LoadU16(const std::byte* p) {
  uint16_t x;
  std::memcpy(&x, p, sizeof(x));
  return x;
}
inline F32x16 LoadF16(const std::byte* p) {
  return EachF32([&](int i) { return F16ToF32(LoadU16(p + 2 * i)); });
}
inline F32x16 LoadI8(const std::byte* p) {
  return EachF32([&](int i) { return static_cast<float>(static_cast<int8_t>(p[i])); });
}
inline F32x16 LoadU8(const std::byte* p) {
  return EachF32([&](int i) { return static_cast<float>(static_cast<uint8_t>(p[i])); });
}

// Two columns of a scalar panel, stored as [16 rows][2 k].
inline void LoadPairF32(const std::byte* p, F32x16& even, F32x16& odd) {
  float both[32];
  std::memcpy(both, p, sizeof(both));
  even = EachF32([&](int i) { return both[2 * i]; });
  odd = EachF32([&](int i) { return both[2 * i + 1]; });
}
inline void LoadPairF16(const std::byte* p, F32x16& even, F32x16& odd) {
  even = EachF32([&](int i) { return F16ToF32(LoadU16(p + 4 * i)); });
  odd = EachF32([&](int i) { return F16ToF32(LoadU16(p + 4 * i + 2)); });
}
inline float BF16ToF32(uint16_t h) { return std::bit_cast<float>(static_cast<uint32_t>(h) << 16); }
inline F32x16 LoadBF16(const std::byte* p) {
  return EachF32([&](int i) { return BF16ToF32(LoadU16(p + 2 * i)); });
}
inline void LoadPairBF16(const std::byte* p, F32x16& even, F32x16& odd) {
  even = EachF32([&](int i) { return BF16ToF32(LoadU16(p + 4 * i)); });
  odd = EachF32([&](int i) { return BF16ToF32(LoadU16(p + 4 * i + 2)); });
}
// Likewise of floats of 8 bits (E4M3, every code a number), 2^-8 of their values: as f16, whose
// exponents have a bias that is 8 larger.
inline void LoadPairF8(const std::byte* p, F32x16& even, F32x16& odd) {
  const auto decode = [](std::byte code) {
    const auto bits = std::to_integer<uint32_t>(code);
    return F16ToF32(static_cast<uint16_t>(((bits & 0x80) << 8) | ((bits & 0x7f) << 7)));
  };
  even = EachF32([&](int i) { return decode(p[2 * i]); });
  odd = EachF32([&](int i) { return decode(p[2 * i + 1]); });
}

inline void KeepInOrder(F32x16&) {}

inline Quad LoadQuad(const std::byte* p) {
  Quad out;
  std::memcpy(out.v, p, sizeof(out.v));
  return out;
}
inline void StoreQuad(std::byte* p, const Quad& q) { std::memcpy(p, q.v, sizeof(q.v)); }
inline Quad LowNibbles(const Quad& q) {
  return EachByte([&](int i) { return q.v[i] & 15; });
}
inline Quad HighNibbles(const Quad& q) {
  return EachByte([&](int i) { return q.v[i] >> 4; });
}
// low | 16 * (bits 2i, 2i + 1 of tops).
template <int i>
inline Quad WithTops(const Quad& low, const Quad& tops) {
  return EachByte([&](int b) { return low.v[b] | (((tops.v[b] >> (2 * i)) & 3) << 4); });
}
// table[code], for codes below 16; 16-byte table.
inline Quad LookUp(const uint8_t* table, const Quad& codes) {
  return EachByte([&](int i) { return table[codes.v[i]]; });
}
inline Quad WidePrepared(const Quad& q) { return q; }
inline Quad SubBytes(const Quad& q, int x) {
  return EachByte([&](int i) { return q.v[i] - x; });
}
// Column j of a quad as unsigned codes.
template <int j>
inline F32x16 CodeColumn(const Quad& q) {
  return EachF32([&](int i) { return static_cast<float>(q.v[4 * i + j]); });
}

inline SignedQuad LoadSignedQuad(const int8_t* p) { return {{p[0], p[1], p[2], p[3]}}; }
template <bool kWide>
inline I32x16 Dot(I32x16 acc, const Quad& w, SignedQuad x) {
  return EachI32([&](int i) {
    int32_t sum = acc.v[i];
    for (int j = 0; j < 4; ++j) sum += w.v[4 * i + j] * x.v[j];
    return sum;
  });
}
// Sum of the first 16 activations of a block.
inline int32_t SumOf16(const int8_t* p) {
  int32_t sum = 0;
  for (int i = 0; i < 16; ++i) sum += p[i];
  return sum;
}

inline void PrefetchLine(const void* p) { __builtin_prefetch(p); }
inline void PrefetchLineToL2(const void* p) { __builtin_prefetch(p, 0, 2); }

}  // namespace pelton::cpu::KERNEL_ISA
