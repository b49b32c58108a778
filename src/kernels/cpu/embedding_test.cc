#include "kernels/ops/embedding.h"

#include <gtest/gtest.h>

#include "kernels/cpu/test_rows.h"
#include "kernels/ops/packed_weights.h"

namespace pelton {
namespace {

template <typename T>
std::vector<std::byte> BytesOf(const std::vector<T>& values) {
  std::vector<std::byte> out(values.size() * sizeof(T));
  std::memcpy(out.data(), values.data(), out.size());
  return out;
}

std::vector<float> Embed(const std::vector<std::byte>& table, DType dtype, size_t row_bytes,
                         const std::vector<int32_t>& ids, size_t dim) {
  std::vector<float> out(ids.size() * (dim + 1), -77);
  ForEachImpl(EmbeddingImpls(), [&](const OpImpl<EmbeddingArgs>& impl) {
    RunSplit(impl,
             EmbeddingArgs{.table = table.data(),
                           .dtype = dtype,
                           .row_bytes = row_bytes,
                           .ids = ids.data(),
                           .out = out.data(),
                           .tokens = ids.size(),
                           .dim = dim,
                           .out_stride = dim + 1},
             ids.size());
  });
  for (size_t t = 0; t < ids.size(); ++t) EXPECT_EQ(out[t * (dim + 1) + dim], -77);
  return out;
}

TEST(EmbeddingTest, RowsOfEveryPanelFormatAreDecoded) {
  std::mt19937 rng(5);
  const std::vector<int32_t> ids = {3, 0, 3, 1};
  for (size_t i = 0; i < kDTypeCount; ++i) {
    const auto dtype = static_cast<DType>(i);
    if (!IsStoredFormat(dtype)) continue;
    const size_t dim = 512, row_bytes = *RowBytes(dtype, dim);
    std::vector<std::byte> table(4 * row_bytes);
    for (std::byte& b : table) b = static_cast<std::byte>(rng());
    const std::vector<float> out = Embed(table, dtype, row_bytes, ids, dim);
    for (size_t t = 0; t < ids.size(); ++t) {
      std::vector<float> want(dim);
      DecodeRow(dtype, table.data() + static_cast<size_t>(ids[t]) * row_bytes, dim, want.data());
      EXPECT_TRUE(SameBits(&out[t * (dim + 1)], want.data(), dim)) << DTypeName(dtype);
    }
  }
}

TEST(EmbeddingTest, RowsOfFloatsOf8BitsAreScaled) {
  const size_t dim = 130, rows = 3;
  std::vector<std::byte> table(rows * dim, std::byte{0x38});  // 1
  const std::vector<float> scales = {2, 3, 5, 7};             // of blocks of 2 x 128
  const std::vector<int32_t> ids = {2, 1};
  std::vector<float> out(ids.size() * dim);
  const EmbeddingArgs args{
      .table = table.data(),
      .dtype = DType::kF8E4M3,
      .row_bytes = dim,
      .ids = ids.data(),
      .out = out.data(),
      .tokens = ids.size(),
      .dim = dim,
      .out_stride = dim,
      .scales = {reinterpret_cast<const std::byte*>(scales.data()), DType::kF32, 2, 128}};
  ForEachImpl(EmbeddingImpls(),
              [&](const OpImpl<EmbeddingArgs>& impl) { RunSplit(impl, args, ids.size()); });
  for (size_t d = 0; d < dim; ++d) {
    EXPECT_EQ(out[d], d < 128 ? 5 : 7);
    EXPECT_EQ(out[dim + d], d < 128 ? 2 : 3);
  }
}

TEST(EmbeddingTest, TypesWithoutPanelFormat) {
  const std::vector<double> doubles = {1, 2, 1.0 / 3, -1e300};
  const std::vector<float> out =
      Embed(BytesOf(doubles), DType::kF64, 2 * sizeof(double), {1, 0}, 2);
  EXPECT_EQ(out[0], 1.0f / 3);
  EXPECT_EQ(out[1], -std::numeric_limits<float>::infinity());
  EXPECT_EQ(out[3], 1);
  EXPECT_EQ(out[4], 2);

  const std::vector<int64_t> integers = {7, 1 << 24, 0, 255};
  EXPECT_EQ(Embed(BytesOf(integers), DType::kI64, 2 * sizeof(int64_t), {0}, 2)[1], 0x1p24f);
  const std::vector<int32_t> narrow = {7, 5, -1, 255};
  EXPECT_EQ(Embed(BytesOf(narrow), DType::kI32, 2 * sizeof(int32_t), {1}, 2)[1], 255);

  // OCP 8-bit floating point v1.0, table 2: largest, smallest normal, smallest subnormal, NaN.
  const std::vector<uint8_t> e4m3 = {0x7e, 0x08, 0x01, 0xff, 0x80, 0xb8};
  const std::vector<float> f4 = Embed(BytesOf(e4m3), DType::kF8E4M3, 6, {0}, 6);
  EXPECT_EQ(f4[0], 448);
  EXPECT_EQ(f4[1], 0x1p-6f);
  EXPECT_EQ(f4[2], 0x1p-9f);
  EXPECT_TRUE(std::isnan(f4[3]));
  EXPECT_TRUE(f4[4] == 0 && std::signbit(f4[4]));
  EXPECT_EQ(f4[5], -1);
  const std::vector<uint8_t> e5m2 = {0x7b, 0x04, 0x01, 0xfc, 0x7d, 0xbc};
  const std::vector<float> f5 = Embed(BytesOf(e5m2), DType::kF8E5M2, 6, {0}, 6);
  EXPECT_EQ(f5[0], 57344);
  EXPECT_EQ(f5[1], 0x1p-14f);
  EXPECT_EQ(f5[2], 0x1p-16f);
  EXPECT_EQ(f5[3], -std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(f5[4]));
  EXPECT_EQ(f5[5], -1);
}

}  // namespace
}  // namespace pelton
