#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/dtype.h"

// The block formats of model files, taken apart into codes, scales and minima as
// kernels/ops/packed_weights.h names them. Source: ggml's block definitions. Every column is
// handled four to a 32-bit word, since panels keep codes in quads of columns too.
namespace pelton {

static_assert(std::endian::native == std::endian::little, "stored blocks are read as words");

// Codes of 32 consecutive columns: byte j of quads[i] is the code of column 4 i + j.
struct BlockCodes {
  uint32_t quads[8];
};

// 32 columns. value = scale * (code - zero) + minimum; scale and minimum are f16, of MXFP4 bf16.
struct SimpleBlock {
  uint16_t scale;
  uint16_t minimum;  // 0 where the format has none
  BlockCodes codes;
};

// 256 columns. value = d * scales[s] * (code - zero) - dmin * minima[s], d and dmin in f16, with
// one s for each 16 columns or, for Q4_K and Q5_K, for each 32.
struct SuperBlock {
  uint16_t d;
  uint16_t dmin;  // 0 where the format has no minima
  int8_t scales[16];
  uint8_t minima[16];
  BlockCodes codes[8];
};

template <typename T>
T LoadUnaligned(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

inline constexpr uint32_t kLowNibbles = 0x0f0f0f0f;

// Bits 0..3 of `bits` to bit 0 of bytes 0..3. The four shifted copies of the product are 7 bits
// apart and do not overlap.
inline uint32_t SpreadBits(uint32_t bits) { return ((bits & 0xf) * 0x00204081u) & 0x01010101u; }

// Low nibbles of 16 bytes are columns 0..15, high nibbles columns 16..31.
inline void ReadNibbles(const std::byte* from, BlockCodes& codes) {
  for (int i = 0; i < 4; ++i) {
    const auto word = LoadUnaligned<uint32_t>(from + 4 * i);
    codes.quads[i] = word & kLowNibbles;
    codes.quads[i + 4] = (word >> 4) & kLowNibbles;
  }
}

// 2^(e - 128) in bf16, half of what the exponent stands for, as the codes stand for twice their
// values.
inline uint16_t Float4Scale(std::byte exponent) {
  const auto e = std::to_integer<uint32_t>(exponent);
  if (e == 0xff) return 0x7fc0;
  return static_cast<uint16_t>(e < 2 ? 0x20u << e : (e - 1) << 7);
}

template <DType kDType>
void ReadSimpleBlock(const std::byte* block, SimpleBlock& out) {
  constexpr bool kMinimum = kDType == DType::kQ4_1 || kDType == DType::kQ5_1;
  constexpr bool kFifthBits = kDType == DType::kQ5_0 || kDType == DType::kQ5_1;
  static_assert(kMinimum || kFifthBits || kDType == DType::kQ4_0 || kDType == DType::kQ8_0 ||
                kDType == DType::kIQ4_NL || kDType == DType::kMXFP4);
  if constexpr (kDType == DType::kMXFP4) {
    out.scale = Float4Scale(block[0]);
    out.minimum = 0;
    return ReadNibbles(block + 1, out.codes);
  }
  out.scale = LoadUnaligned<uint16_t>(block);
  out.minimum = kMinimum ? LoadUnaligned<uint16_t>(block + 2) : 0;
  const std::byte* codes = block + (kMinimum ? 4 : 2);
  if constexpr (kDType == DType::kQ8_0) {
    for (int i = 0; i < 8; ++i) {
      out.codes.quads[i] = LoadUnaligned<uint32_t>(codes + 4 * i) ^ 0x80808080u;
    }
  } else if constexpr (kFifthBits) {
    const auto tops = LoadUnaligned<uint32_t>(codes);
    ReadNibbles(codes + 4, out.codes);
    for (int i = 0; i < 8; ++i) out.codes.quads[i] |= SpreadBits(tops >> (4 * i)) << 4;
  } else {
    ReadNibbles(codes, out.codes);
  }
}

// The 6-bit scales and minima of Q4_K and Q5_K: words 0 and 1 hold the scales and minima of
// sub-blocks 0..3 with, in bits 6..7, the tops of those of 4..7, whose low nibbles are in word 2.
inline void ReadScalesAndMinima(const std::byte* from, SuperBlock& out) {
  const auto low = LoadUnaligned<uint32_t>(from);
  const auto mid = LoadUnaligned<uint32_t>(from + 4);
  const auto high = LoadUnaligned<uint32_t>(from + 8);
  const uint32_t scales[2] = {low & 0x3f3f3f3fu, (high & kLowNibbles) | ((low >> 2) & 0x30303030u)};
  const uint32_t minima[2] = {mid & 0x3f3f3f3fu,
                              ((high >> 4) & kLowNibbles) | ((mid >> 2) & 0x30303030u)};
  std::memcpy(out.scales, scales, 8);
  std::memcpy(out.minima, minima, 8);
}

// The 6-bit scales of Q3_K: nibbles in words 0 and 1, two top bits each in word 2, less 32.
inline void ReadQ3Scales(const std::byte* from, int8_t* scales) {
  const auto tops = LoadUnaligned<uint32_t>(from + 8);
  for (int i = 0; i < 4; ++i) {
    const auto word = LoadUnaligned<uint32_t>(from + 4 * (i % 2));
    const uint32_t low = (word >> (4 * (i / 2))) & kLowNibbles;
    const uint32_t biased = low | (((tops >> (2 * i)) & 0x03030303u) << 4);
    for (int j = 0; j < 4; ++j) {
      scales[4 * i + j] = static_cast<int8_t>(static_cast<int>((biased >> (8 * j)) & 0x3f) - 32);
    }
  }
}

template <DType kDType>
void ReadSuperBlock(const std::byte* block, SuperBlock& out) {
  // Where the parts of a block begin.
  struct Parts {
    int d, scales, low, high;
  };
  constexpr Parts kParts = kDType == DType::kQ2_K   ? Parts{80, 0, 16, 0}
                           : kDType == DType::kQ3_K ? Parts{108, 96, 32, 0}
                           : kDType == DType::kQ4_K ? Parts{0, 4, 16, 0}
                           : kDType == DType::kQ5_K ? Parts{0, 4, 48, 16}
                                                    : Parts{208, 192, 0, 128};
  constexpr bool kMinimum =
      kDType == DType::kQ2_K || kDType == DType::kQ4_K || kDType == DType::kQ5_K;
  static_assert(kMinimum || kDType == DType::kQ3_K || kDType == DType::kQ6_K);
  out.d = LoadUnaligned<uint16_t>(block + kParts.d);
  out.dmin = kMinimum ? LoadUnaligned<uint16_t>(block + kParts.d + 2) : 0;
  std::memset(out.scales, 0, sizeof(out.scales));
  std::memset(out.minima, 0, sizeof(out.minima));
  if constexpr (kDType == DType::kQ2_K) {
    for (int s = 0; s < 16; ++s) {
      const auto both = std::to_integer<uint8_t>(block[kParts.scales + s]);
      out.scales[s] = static_cast<int8_t>(both & 0xf);
      out.minima[s] = both >> 4;
    }
  } else if constexpr (kDType == DType::kQ3_K) {
    ReadQ3Scales(block + kParts.scales, out.scales);
  } else if constexpr (kDType == DType::kQ6_K) {
    std::memcpy(out.scales, block + kParts.scales, 16);
  } else {
    ReadScalesAndMinima(block + kParts.scales, out);
  }
  for (int b = 0; b < 8; ++b) {
    const int half = b / 4, quarter = b % 4;  // of the 256 columns; of a half
    for (int i = 0; i < 8; ++i) {
      uint32_t low, high = 0;
      if constexpr (kDType == DType::kQ2_K || kDType == DType::kQ3_K) {
        low = LoadUnaligned<uint32_t>(block + kParts.low + 32 * half + 4 * i) >> (2 * quarter);
        low &= 0x03030303u;
        if constexpr (kDType == DType::kQ3_K) {
          high = LoadUnaligned<uint32_t>(block + kParts.high + 4 * i) >> b;
          high = (high & 0x01010101u) << 2;
        }
      } else if constexpr (kDType == DType::kQ6_K) {
        low = LoadUnaligned<uint32_t>(block + kParts.low + 64 * half + 32 * (quarter % 2) + 4 * i);
        low = (low >> (4 * (quarter / 2))) & kLowNibbles;
        high = LoadUnaligned<uint32_t>(block + kParts.high + 32 * half + 4 * i) >> (2 * quarter);
        high = (high & 0x03030303u) << 4;
      } else {
        low = LoadUnaligned<uint32_t>(block + kParts.low + 32 * (b / 2) + 4 * i);
        low = (low >> (4 * (b % 2))) & kLowNibbles;
        if constexpr (kDType == DType::kQ5_K) {
          high = LoadUnaligned<uint32_t>(block + kParts.high + 4 * i) >> b;
          high = (high & 0x01010101u) << 4;
        }
      }
      out.codes[b].quads[i] = low | high;
    }
  }
}

}  // namespace pelton
