#include "kernels/ops/rms_norm.h"

#include <gtest/gtest.h>

#include "kernels/cpu/test_rows.h"
#include "kernels/ops/elementwise.h"
#include "kernels/reference/rows.h"

namespace pelton {
namespace {

constexpr size_t kRmsDims[] = {1,  3,  4,  5,  7,  8,   9,   15,  16,  17,  31,
                               32, 33, 63, 64, 65, 127, 129, 255, 576, 1000};

struct RmsNormProblem {
  RmsNormProblem(std::mt19937& rng, size_t dim, size_t groups, bool with_add)
      : width(dim * groups), x_stride(width + 5), add_stride(width + 2) {
    x = RandomValues(rng, kTestRows * x_stride);
    if (with_add) add = RandomValues(rng, kTestRows * add_stride);
    weight = RandomValues(rng, dim);
    args = {.x = x.data(),
            .add = with_add ? add.data() : nullptr,
            .weight = weight.data(),
            .rows = kTestRows,
            .groups = groups,
            .dim = dim,
            .x_stride = x_stride,
            .add_stride = add_stride,
            .sum_stride = width + 1,
            .out_stride = width + 3,
            .epsilon = 1e-5f};
  }
  size_t width, x_stride, add_stride;
  std::vector<float> x, add, weight;
  RmsNormArgs args = {};
};

TEST(RmsNormTest, EveryImplMatchesReference) {
  std::mt19937 rng(1);
  ForEachImpl(RmsNormImpls(), [&](const OpImpl<RmsNormArgs>& impl) {
    for (const size_t dim : kRmsDims) {
      for (const size_t groups : {1, 3}) {
        for (const bool with_add : {false, true}) {
          RmsNormProblem p(rng, dim, groups, with_add);
          const reference::RmsNormResult want = reference::RmsNorm(p.args);
          std::vector<float> sum(kTestRows * p.args.sum_stride, -77),
              out(kTestRows * p.args.out_stride, -77);
          p.args.sum = sum.data();
          p.args.out = out.data();
          RunSplit(impl, p.args, kTestRows);
          for (size_t row = 0; row < kTestRows; ++row) {
            for (size_t d = 0; d < p.width; ++d) {
              const double norm = want.norm[row * p.width + d];
              ASSERT_NEAR(out[row * p.args.out_stride + d], norm, 2e-6 * (0.1 + std::abs(norm)))
                  << "dim " << dim << " groups " << groups << " d " << d;
              ASSERT_EQ(sum[row * p.args.sum_stride + d],
                        static_cast<float>(want.sum[row * p.width + d]));
            }
            ASSERT_EQ(sum[row * p.args.sum_stride + p.width], -77) << "wrote behind a row";
            ASSERT_EQ(out[row * p.args.out_stride + p.width], -77) << "wrote behind a row";
          }
        }
      }
    }
  });
}

TEST(RmsNormTest, OutputsDoNotDependOnWhichAreAskedForOrAlias) {
  std::mt19937 rng(2);
  ForEachImpl(RmsNormImpls(), [&](const OpImpl<RmsNormArgs>& impl) {
    for (const size_t dim : {1, 17, 40, 65, 200}) {
      for (const bool with_add : {false, true}) {
        RmsNormProblem p(rng, dim, 1, with_add);
        std::vector<float> out(kTestRows * p.args.out_stride);
        p.args.out = out.data();
        RunSplit(impl, p.args, kTestRows);

        // In place, the sum over x or over add.
        for (const bool sum_over_add : {false, true}) {
          if (sum_over_add && !with_add) continue;
          std::vector<float> x = p.x, add = p.add, norm(kTestRows * p.args.out_stride);
          RmsNormArgs args = p.args;
          args.x = x.data();
          if (with_add) args.add = add.data();
          args.sum = sum_over_add ? add.data() : x.data();
          args.sum_stride = sum_over_add ? p.add_stride : p.x_stride;
          args.out = norm.data();
          RunSplit(impl, args, kTestRows);
          for (size_t row = 0; row < kTestRows; ++row) {
            EXPECT_TRUE(SameBits(&norm[row * args.out_stride], &out[row * args.out_stride], dim));
            const float s = p.x[row * p.x_stride] + (with_add ? p.add[row * p.add_stride] : 0.0f);
            EXPECT_EQ(args.sum[row * args.sum_stride], s);
          }
        }

        // The norm over x, and quantised beside it; quantised alone.
        std::vector<float> x = p.x;
        AlignedBytes both(kTestRows * QuantizedRows::RowBytes(dim)), alone(both.size()),
            want(both.size());
        RmsNormArgs args = p.args;
        args.x = x.data();
        args.out = x.data();
        args.out_stride = p.x_stride;
        args.quantized = both.data();
        RunSplit(impl, args, kTestRows);
        args = p.args;
        args.out = nullptr;
        args.quantized = alone.data();
        RunSplit(impl, args, kTestRows);
        const QuantizeRowsArgs quantize{.x = out.data(),
                                        .out = want.data(),
                                        .rows = kTestRows,
                                        .dim = dim,
                                        .x_stride = p.args.out_stride};
        QuantizeRowsImpls().back().run(quantize, 0, kTestRows, nullptr);
        ExpectSameQuantized({both.data(), dim}, {want.data(), dim}, kTestRows);
        ExpectSameQuantized({alone.data(), dim}, {want.data(), dim}, kTestRows);
        for (size_t row = 0; row < kTestRows; ++row) {
          EXPECT_TRUE(SameBits(&x[row * p.x_stride], &out[row * p.args.out_stride], dim));
        }
      }
    }
  });
}

}  // namespace
}  // namespace pelton
