#include "base/dtype.h"

#include <gtest/gtest.h>

namespace pelton {
namespace {

TEST(DTypeTest, NamesAreReadBack) {
  for (size_t i = 0; i < kDTypeCount; ++i) {
    const auto dtype = static_cast<DType>(i);
    EXPECT_EQ(ParseDType(DTypeName(dtype)), dtype) << DTypeName(dtype);
  }
  EXPECT_EQ(ParseDType("q4_k"), DType::kQ4_K);
  EXPECT_EQ(ParseDType("Q4_K_M"), std::nullopt);
  EXPECT_EQ(ParseDType(""), std::nullopt);
}

TEST(DTypeTest, BlocksAreThoseOfTheFormats) {
  // Bits per value as the formats are known by: 4.5 for Q4_0 and Q4_K, 6.5625 for Q6_K, ...
  const struct {
    DType dtype;
    double bits;
  } expected[] = {{DType::kF32, 32},      {DType::kBF16, 16},    {DType::kF8E4M3, 8},
                  {DType::kQ4_0, 4.5},    {DType::kQ4_1, 5},     {DType::kQ5_0, 5.5},
                  {DType::kQ5_1, 6},      {DType::kQ8_0, 8.5},   {DType::kQ2_K, 2.625},
                  {DType::kQ3_K, 3.4375}, {DType::kQ4_K, 4.5},   {DType::kQ5_K, 5.5},
                  {DType::kQ6_K, 6.5625}, {DType::kIQ4_NL, 4.5}, {DType::kIQ4_XS, 4.25},
                  {DType::kMXFP4, 4.25},  {DType::kW8, 8}};
  for (const auto& [dtype, bits] : expected) {
    EXPECT_EQ(
        static_cast<double>(BlockBytes(dtype) * 8) / static_cast<double>(BlockElements(dtype)),
        bits)
        << DTypeName(dtype);
    EXPECT_EQ(IsQuantized(dtype), BlockElements(dtype) > 1) << DTypeName(dtype);
  }
}

TEST(DTypeTest, RowsAreWholeBlocksOfRepresentableSize) {
  EXPECT_EQ(RowBytes(DType::kQ4_0, 64), 36u);
  EXPECT_EQ(RowBytes(DType::kQ6_K, 512), 420u);
  EXPECT_EQ(RowBytes(DType::kQ4_0, 33), std::nullopt);
  EXPECT_EQ(RowBytes(DType::kQ4_K, 128), std::nullopt);
  EXPECT_EQ(RowBytes(DType::kF32, 0), 0u);
  EXPECT_EQ(RowBytes(DType::kF32, UINT64_MAX / 4), UINT64_MAX - 3);
  EXPECT_EQ(RowBytes(DType::kF32, UINT64_MAX / 4 + 1), std::nullopt);
  EXPECT_EQ(RowBytes(DType::kF64, UINT64_MAX), std::nullopt);
}

}  // namespace
}  // namespace pelton
