#include "kernels/ops/elementwise.h"

#include <gtest/gtest.h>

#include <limits>

#include "kernels/cpu/test_rows.h"
#include "kernels/reference/rows.h"

namespace pelton {
namespace {

constexpr size_t kElementDims[] = {1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 65, 300};
constexpr BinaryKind kBinaryKinds[] = {BinaryKind::kAdd, BinaryKind::kMul, BinaryKind::kSiluMul,
                                       BinaryKind::kGeluTanhMul, BinaryKind::kSwigluOaiMul};
constexpr UnaryKind kUnaryKinds[] = {UnaryKind::kCopy, UnaryKind::kScale,    UnaryKind::kSoftCap,
                                     UnaryKind::kSilu, UnaryKind::kGeluTanh, UnaryKind::kGeluErf};

TEST(BinaryTest, EveryImplMatchesReference) {
  std::mt19937 rng(1);
  ForEachImpl(BinaryImpls(), [&](const OpImpl<BinaryArgs>& impl) {
    for (const BinaryKind kind : kBinaryKinds) {
      for (const size_t dim : kElementDims) {
        for (const bool per_column : {false, true}) {
          const size_t a_stride = dim + 3, b_stride = per_column ? 0 : dim + 1;
          const std::vector<float> a = RandomValues(rng, kTestRows * a_stride, 3);
          const std::vector<float> b = RandomValues(rng, kTestRows * (dim + 1), 3);
          std::vector<float> out(kTestRows * (dim + 2), -77);
          BinaryArgs args{.kind = kind,
                          .a = a.data(),
                          .b = b.data(),
                          .out = out.data(),
                          .rows = kTestRows,
                          .dim = dim,
                          .a_stride = a_stride,
                          .b_stride = b_stride,
                          .out_stride = dim + 2,
                          .limit = dim % 2 == 0 ? 0.0f : 2.5f};
          const std::vector<double> want = reference::Binary(args);
          RunSplit(impl, args, kTestRows);
          for (size_t row = 0; row < kTestRows; ++row) {
            for (size_t d = 0; d < dim; ++d) {
              const double w = want[row * dim + d];
              ASSERT_NEAR(out[row * (dim + 2) + d], w, 1e-6 * std::abs(w) + 1e-7)
                  << "kind " << static_cast<int>(kind) << " dim " << dim << " d " << d;
            }
            ASSERT_EQ(out[row * (dim + 2) + dim], -77) << "wrote behind a row";
          }

          // Over a, over b, and quantised: the same bits.
          std::vector<float> over_a = a, over_b = b;
          BinaryArgs in_place = args;
          in_place.a = in_place.out = over_a.data();
          in_place.out_stride = a_stride;
          RunSplit(impl, in_place, kTestRows);
          AlignedBytes quantized(kTestRows * QuantizedRows::RowBytes(dim)),
              wanted(quantized.size());
          if (!per_column) {
            in_place = args;
            in_place.b = in_place.out = over_b.data();
            in_place.out_stride = b_stride;
            in_place.quantized = quantized.data();
          } else {
            in_place = args;
            in_place.out = nullptr;
            in_place.quantized = quantized.data();
          }
          RunSplit(impl, in_place, kTestRows);
          for (size_t row = 0; row < kTestRows; ++row) {
            ASSERT_TRUE(SameBits(&over_a[row * a_stride], &out[row * (dim + 2)], dim));
            if (per_column) continue;
            ASSERT_TRUE(SameBits(&over_b[row * b_stride], &out[row * (dim + 2)], dim));
          }
          QuantizeRowsImpls().back().run({.x = out.data(),
                                          .out = wanted.data(),
                                          .rows = kTestRows,
                                          .dim = dim,
                                          .x_stride = dim + 2},
                                         0, kTestRows, nullptr);
          ExpectSameQuantized({quantized.data(), dim}, {wanted.data(), dim}, kTestRows);
        }
      }
    }
  });
}

TEST(UnaryTest, EveryImplMatchesReference) {
  std::mt19937 rng(2);
  ForEachImpl(UnaryImpls(), [&](const OpImpl<UnaryArgs>& impl) {
    for (const UnaryKind kind : kUnaryKinds) {
      for (const size_t dim : kElementDims) {
        std::vector<float> x = RandomValues(rng, kTestRows * (dim + 3), 4);
        std::vector<float> out(kTestRows * (dim + 2), -77);
        UnaryArgs args{.kind = kind,
                       .parameter = 2.5f,
                       .x = x.data(),
                       .out = out.data(),
                       .rows = kTestRows,
                       .dim = dim,
                       .x_stride = dim + 3,
                       .out_stride = dim + 2};
        const std::vector<double> want = reference::Unary(args);
        RunSplit(impl, args, kTestRows);
        args.out = x.data();
        args.out_stride = dim + 3;
        RunSplit(impl, args, kTestRows);
        for (size_t row = 0; row < kTestRows; ++row) {
          for (size_t d = 0; d < dim; ++d) {
            const double w = want[row * dim + d];
            ASSERT_NEAR(out[row * (dim + 2) + d], w, 1e-6 * std::abs(w) + 1e-7)
                << "kind " << static_cast<int>(kind) << " dim " << dim << " d " << d;
          }
          ASSERT_EQ(out[row * (dim + 2) + dim], -77) << "wrote behind a row";
          ASSERT_TRUE(SameBits(&x[row * (dim + 3)], &out[row * (dim + 2)], dim)) << "in place";
        }
      }
    }
  });
}

// One row of every finite f32 with a short mantissa: relative accuracy over the whole range.
std::vector<float> WideRange() {
  std::vector<float> out;
  for (uint32_t high = 0; high < 0x7f80; ++high) {
    for (const uint32_t sign : {0u, 0x80000000u}) {
      const uint32_t bits = sign | (high << 16) | 0x5a5a;
      float x;
      std::memcpy(&x, &bits, sizeof(x));
      out.push_back(x);
    }
  }
  return out;
}

TEST(UnaryTest, SiluAndTanhKeepTheirAccuracyOverTheWholeRange) {
  const std::vector<float> x = WideRange();
  ForEachImpl(UnaryImpls(), [&](const OpImpl<UnaryArgs>& impl) {
    for (const UnaryKind kind : {UnaryKind::kSilu, UnaryKind::kSoftCap, UnaryKind::kGeluTanh}) {
      std::vector<float> out(x.size());
      const UnaryArgs args{.kind = kind,
                           .parameter = 1,
                           .x = x.data(),
                           .out = out.data(),
                           .rows = 1,
                           .dim = x.size(),
                           .x_stride = x.size(),
                           .out_stride = x.size()};
      impl.run(args, 0, 1, nullptr);
      for (size_t i = 0; i < x.size(); ++i) {
        const double v = x[i];
        // exp of an argument that was rounded once: its error grows with the argument. Nothing is
        // promised of results in the subnormal range.
        const double u =
            kind == UnaryKind::kGeluTanh ? 2 * std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v) : v;
        const double want = kind == UnaryKind::kSoftCap ? std::tanh(v) : v / (1 + std::exp(-u));
        const double limit =
            kind == UnaryKind::kGeluTanh ? 1e-6 + 3e-7 * std::min(std::abs(u), 100.0) : 1e-6;
        const double floor = std::abs(v) < 1e-30 ? 1e-37 : 1e-35;
        ASSERT_LE(std::abs(out[i] - want), limit * std::abs(want) + floor)
            << "kind " << static_cast<int>(kind) << " x " << v << " got " << out[i] << " want "
            << want;
      }
    }
  });
}

TEST(UnaryTest, ExactGeluIsWithinTheRoundingOfItsFormula) {
  const std::vector<float> x = WideRange();
  ForEachImpl(UnaryImpls(), [&](const OpImpl<UnaryArgs>& impl) {
    std::vector<float> out(x.size());
    const UnaryArgs args{.kind = UnaryKind::kGeluErf,
                         .x = x.data(),
                         .out = out.data(),
                         .rows = 1,
                         .dim = x.size(),
                         .x_stride = x.size(),
                         .out_stride = x.size()};
    impl.run(args, 0, 1, nullptr);
    for (size_t i = 0; i < x.size(); ++i) {
      const double v = x[i];
      // 1 + erf cancels for negative v: the error is one of 1, not of the sum.
      const double want = v / 2 * std::erfc(-v / std::sqrt(2.0));
      const double limit = 4e-7 * std::abs(v) + 1e-37;
      ASSERT_LE(std::abs(out[i] - want), limit) << "x " << v << " got " << out[i];
    }
  });
}

TEST(QuantizeRowsTest, EveryImplRoundsToNearestWithinHalfAStep) {
  std::mt19937 rng(3);
  ForEachImpl(QuantizeRowsImpls(), [&](const OpImpl<QuantizeRowsArgs>& impl) {
    for (const size_t dim : kElementDims) {
      std::vector<float> x = RandomValues(rng, kTestRows * (dim + 3), 10);
      for (size_t d = 0; d < dim; ++d) x[dim + 3 + d] = 0;  // a row of zeros
      AlignedBytes bytes(kTestRows * QuantizedRows::RowBytes(dim));
      const QuantizeRowsArgs args{
          .x = x.data(), .out = bytes.data(), .rows = kTestRows, .dim = dim, .x_stride = dim + 3};
      RunSplit(impl, args, kTestRows);
      const QuantizedRows q{bytes.data(), dim};
      for (size_t row = 0; row < kTestRows; ++row) {
        for (size_t b = 0; b < QuantizedRows::PaddedCols(dim) / 32; ++b) {
          float largest = 0;
          int32_t sum = 0;
          for (size_t d = b * 32; d < b * 32 + 32; ++d) {
            const float v = d < dim ? x[row * (dim + 3) + d] : 0;
            const float scale = q.Scales(row)[b];
            largest = std::max(largest, std::abs(v));
            sum += q.Values(row)[d];
            ASSERT_LE(std::abs(v - q.Values(row)[d] * double{scale}), scale * 0.50001);
            if (d >= dim) {
              ASSERT_EQ(q.Values(row)[d], 0);
            }
          }
          ASSERT_EQ(q.Sums(row)[b], sum);
          ASSERT_EQ(q.Scales(row)[b], largest / 127);
        }
      }
    }
  });
}

TEST(QuantizeRowsTest, TiesAndSpecialValues) {
  const float inf = std::numeric_limits<float>::infinity();
  ForEachImpl(QuantizeRowsImpls(), [&](const OpImpl<QuantizeRowsArgs>& impl) {
    std::vector<float> x(6 * 32, 1.0f);
    x[0] = 127;  // block 0: step 1, so halves are ties
    x[1] = 0.5f;
    x[2] = 1.5f;
    x[3] = -2.5f;
    x[32 + 7] = inf;
    x[64 + 31] = std::numeric_limits<float>::quiet_NaN();
    for (size_t d = 96; d < 128; ++d) x[d] = 1e-42f;
    for (size_t d = 128; d < 160; ++d) x[d] = d % 2 == 0 ? 3e38f : -3e38f;
    for (size_t d = 160; d < 192; ++d) x[d] = d % 2 == 0 ? 3e-36f : -1e-36f;
    AlignedBytes bytes(QuantizedRows::RowBytes(x.size()));
    impl.run({.x = x.data(), .out = bytes.data(), .rows = 1, .dim = x.size(), .x_stride = x.size()},
             0, 1, nullptr);
    const QuantizedRows q{bytes.data(), x.size()};
    EXPECT_EQ(q.Values(0)[0], 127);
    EXPECT_EQ(q.Values(0)[1], 0);
    EXPECT_EQ(q.Values(0)[2], 2);
    EXPECT_EQ(q.Values(0)[3], -2);
    EXPECT_EQ(q.Sums(0)[0], 127 + 0 + 2 - 2 + 28);
    EXPECT_TRUE(std::isnan(q.Scales(0)[1]));
    EXPECT_TRUE(std::isnan(q.Scales(0)[2]));
    EXPECT_EQ(q.Scales(0)[3], 0);
    EXPECT_EQ(q.Values(0)[100], 0);
    EXPECT_EQ(q.Values(0)[128], 127);
    EXPECT_EQ(q.Values(0)[129], -127);
    EXPECT_EQ(q.Sums(0)[4], 0);
    EXPECT_EQ(q.Values(0)[160], 127);
    EXPECT_EQ(q.Values(0)[161], -42);
  });
}

TEST(GatherRowsTest, CopiesTheRows) {
  std::mt19937 rng(4);
  const size_t dim = 37;
  const std::vector<float> x = RandomValues(rng, 5 * 40);
  const int32_t indices[] = {4, 0, 4, 2};
  std::vector<float> out(4 * 38, -77);
  ForEachImpl(GatherRowsImpls(), [&](const OpImpl<GatherRowsArgs>& impl) {
    RunSplit(impl,
             GatherRowsArgs{.x = x.data(),
                            .indices = indices,
                            .out = out.data(),
                            .rows = 4,
                            .dim = dim,
                            .x_stride = 40,
                            .out_stride = 38},
             4);
    for (size_t row = 0; row < 4; ++row) {
      EXPECT_TRUE(SameBits(&out[row * 38], &x[static_cast<size_t>(indices[row]) * 40], dim));
      EXPECT_EQ(out[row * 38 + dim], -77);
    }
  });
}

}  // namespace
}  // namespace pelton
