#include "kernels/ops/rotate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "kernels/cpu/test_rows.h"
#include "kernels/reference/rows.h"

namespace pelton {
namespace {

// Orders 32, 64 and 128, columns that are 1 to 44 apart.
constexpr size_t kRotatedDims[] = {32, 64, 96, 128, 576, 1536, 2048, 5632};

RotateArgs ArgsFor(const std::vector<float>& x, size_t dim) {
  return {.x = x.data(),
          .out = nullptr,
          .quantized = nullptr,
          .rows = kTestRows,
          .dim = dim,
          .x_stride = dim + 3,
          .out_stride = dim + 1};
}

TEST(RotateTest, MatchesTheReferenceInTheSameBitsEverywhere) {
  std::mt19937 rng(31);
  for (const size_t dim : kRotatedDims) {
    SCOPED_TRACE(dim);
    const std::vector<float> x = RandomValues(rng, kTestRows * (dim + 3), 3);
    RotateArgs args = ArgsFor(x, dim);
    const std::vector<double> want = reference::Rotate(args);
    ForEachImpl(RotateImpls(), [&](const OpImpl<RotateArgs>& impl) {
      std::vector<float> out(kTestRows * (dim + 1), -77);
      args.out = out.data();
      RunSplit(impl, args, kTestRows);
      for (size_t row = 0; row < kTestRows; ++row) {
        const float* got = &out[row * (dim + 1)];
        for (size_t d = 0; d < dim; ++d) {
          ASSERT_NEAR(got[d], want[row * dim + d], 1e-4) << "row " << row << " column " << d;
        }
        EXPECT_EQ(got[dim], -77);
        std::vector<float> plain(&x[row * (dim + 3)], &x[row * (dim + 3)] + dim);
        RotateRow(plain.data(), dim);
        EXPECT_TRUE(SameBits(got, plain.data(), dim));
      }
    });
  }
}

// Products of rotated rows are those of the rows, times the order.
TEST(RotateTest, KeepsProducts) {
  std::mt19937 rng(32);
  for (const size_t dim : kRotatedDims) {
    std::vector<float> a = RandomValues(rng, dim), b = RandomValues(rng, dim);
    double want = 0, got = 0;
    for (size_t d = 0; d < dim; ++d) want += double{a[d]} * b[d];
    RotateRow(a.data(), dim);
    RotateRow(b.data(), dim);
    for (size_t d = 0; d < dim; ++d) got += double{a[d]} * b[d];
    EXPECT_NEAR(got / static_cast<double>(RotationOrder(dim)), want, 1e-3) << dim;
  }
}

TEST(RotateTest, RowsOf8BitsAreTheRotatedOnesWithOneScale) {
  std::mt19937 rng(33);
  for (const size_t dim : kRotatedDims) {
    SCOPED_TRACE(dim);
    std::vector<float> x = RandomValues(rng, kTestRows * (dim + 3), 10);
    for (size_t d = 0; d < dim; ++d) x[dim + 3 + d] = 0;
    RotateArgs args = ArgsFor(x, dim);
    ForEachImpl(RotateImpls(), [&](const OpImpl<RotateArgs>& impl) {
      AlignedBytes bytes(kTestRows * QuantizedRows::RowBytes(dim));
      args.quantized = bytes.data();
      AlignedBytes scratch(RotateScratchBytes(args));
      RunSplit(impl, args, kTestRows, scratch.data());
      const QuantizedRows q{bytes.data(), dim};
      for (size_t row = 0; row < kTestRows; ++row) {
        std::vector<float> plain(&x[row * (dim + 3)], &x[row * (dim + 3)] + dim);
        RotateRow(plain.data(), dim);
        float largest = 0;
        for (float v : plain) largest = std::max(largest, std::abs(v));
        for (size_t b = 0; b < dim / 32; ++b) {
          ASSERT_EQ(q.Scales(row)[b], largest / 127);
          int32_t sum = 0;
          for (size_t d = b * 32; d < b * 32 + 32; ++d) {
            ASSERT_LE(std::abs(plain[d] - q.Values(row)[d] * double{q.Scales(row)[b]}),
                      q.Scales(row)[b] * 0.50001);
            sum += q.Values(row)[d];
          }
          ASSERT_EQ(q.Sums(row)[b], sum);
        }
      }
    });
  }
}

TEST(RotateTest, WhatIsNoNumberReachesItsRowOnly) {
  const size_t dim = 96;
  ForEachImpl(RotateImpls(), [&](const OpImpl<RotateArgs>& impl) {
    for (const float odd :
         {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
      std::vector<float> x(kTestRows * (dim + 3), 1.0f);
      x[dim + 3 + 40] = odd;
      RotateArgs args = ArgsFor(x, dim);
      AlignedBytes bytes(kTestRows * QuantizedRows::RowBytes(dim));
      args.quantized = bytes.data();
      AlignedBytes scratch(RotateScratchBytes(args));
      RunSplit(impl, args, kTestRows, scratch.data());
      const QuantizedRows q{bytes.data(), dim};
      for (size_t row = 0; row < kTestRows; ++row) {
        for (size_t b = 0; b < dim / 32; ++b) {
          EXPECT_EQ(std::isnan(q.Scales(row)[b]), row == 1);
          if (row == 1) {
            EXPECT_EQ(q.Sums(row)[b], 0);
          }
        }
      }
    }
  });
}

}  // namespace
}  // namespace pelton
