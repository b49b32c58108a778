#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "kernels/ops/packed_weights.h"
#include "kernels/reference/half.h"

namespace pelton {
namespace {

// Vectors of tools/make_decode_vectors.py.
struct DecodeVector {
  std::vector<std::byte> stored;
  std::vector<float> values;
};

DecodeVector ReadVector(const std::string& type) {
  std::ifstream file("tests/data/kernels/decode_" + type + ".bin", std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  uint32_t sizes[2] = {};
  if (bytes.size() >= sizeof(sizes)) std::memcpy(sizes, bytes.data(), sizeof(sizes));
  DecodeVector vector;
  if (bytes.size() != sizeof(sizes) + sizes[0] + sizes[1] * sizeof(float)) return vector;
  vector.stored.resize(sizes[0]);
  vector.values.resize(sizes[1]);
  if (sizes[0] > 0) std::memcpy(vector.stored.data(), bytes.data() + sizeof(sizes), sizes[0]);
  if (sizes[1] > 0) {
    std::memcpy(vector.values.data(), bytes.data() + sizeof(sizes) + sizes[0],
                sizes[1] * sizeof(float));
  }
  return vector;
}

TEST(DecodeRow, EqualsAnIndependentDecoderBitForBit) {
  size_t formats = 0;
  for (size_t i = 0; i < kDTypeCount; ++i) {
    const auto dtype = static_cast<DType>(i);
    if (!IsStoredFormat(dtype)) continue;
    ++formats;
    SCOPED_TRACE(DTypeName(dtype));
    const DecodeVector vector = ReadVector(std::string(DTypeName(dtype)));
    ASSERT_GE(vector.values.size(), 200u);
    ASSERT_EQ(RowBytes(dtype, vector.values.size()), vector.stored.size());
    std::vector<float> decoded(vector.values.size(), -1.0f);
    DecodeRow(dtype, vector.stored.data(), decoded.size(), decoded.data());
    for (size_t k = 0; k < decoded.size(); ++k) {
      ASSERT_EQ(std::bit_cast<uint32_t>(decoded[k]), std::bit_cast<uint32_t>(vector.values[k]))
          << "column " << k << ": " << decoded[k] << ", expected " << vector.values[k];
    }
  }
  EXPECT_EQ(formats, 16u);
}

TEST(HalfToFloat, IsExactForEveryPattern) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const int exponent = (bits >> 10) & 0x1f;
    const int mantissa = bits & 0x3ff;
    const float got = HalfToFloat(static_cast<uint16_t>(bits));
    ASSERT_EQ(std::signbit(got), bits >> 15 != 0) << bits;
    if (exponent == 31) {
      ASSERT_TRUE(mantissa == 0 ? std::isinf(got) : std::isnan(got)) << bits;
    } else {
      const float expected = exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -24)
                                           : std::ldexp(1024.0f + mantissa, exponent - 25);
      ASSERT_EQ(std::fabs(got), expected) << bits;
    }
  }
}

}  // namespace
}  // namespace pelton
