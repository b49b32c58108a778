#include "kernels/ops/layer_norm.h"

#include <gtest/gtest.h>

#include "kernels/cpu/test_rows.h"
#include "kernels/ops/elementwise.h"
#include "kernels/reference/rows.h"

namespace pelton {
namespace {

constexpr size_t kLayerDims[] = {1, 3, 8, 15, 16, 17, 31, 32, 33, 63, 65, 129, 384, 1000};

struct LayerNormProblem {
  LayerNormProblem(std::mt19937& rng, size_t dim) : x_stride(dim + 5) {
    x = RandomValues(rng, kTestRows * x_stride);
    for (float& v : x) v += 3;  // a mean that must be taken away exactly
    weight = RandomValues(rng, dim);
    bias = RandomValues(rng, dim);
    args = {.x = x.data(),
            .weight = weight.data(),
            .bias = bias.data(),
            .rows = kTestRows,
            .dim = dim,
            .x_stride = x_stride,
            .out_stride = dim + 3,
            .epsilon = 1e-5f};
  }
  size_t x_stride;
  std::vector<float> x, weight, bias;
  LayerNormArgs args = {};
};

TEST(LayerNormTest, EveryImplMatchesReferenceInPlaceAndQuantised) {
  std::mt19937 rng(1);
  ForEachImpl(LayerNormImpls(), [&](const OpImpl<LayerNormArgs>& impl) {
    for (const size_t dim : kLayerDims) {
      LayerNormProblem p(rng, dim);
      const std::vector<double> want = reference::LayerNorm(p.args);
      std::vector<float> out(kTestRows * p.args.out_stride, -77);
      p.args.out = out.data();
      RunSplit(impl, p.args, kTestRows);
      for (size_t row = 0; row < kTestRows; ++row) {
        for (size_t d = 0; d < dim; ++d) {
          const double w = want[row * dim + d];
          ASSERT_NEAR(out[row * p.args.out_stride + d], w, 4e-6 * (1 + std::abs(w)))
              << "dim " << dim << " d " << d;
        }
        ASSERT_EQ(out[row * p.args.out_stride + dim], -77) << "wrote behind a row";
      }

      AlignedBytes got(kTestRows * QuantizedRows::RowBytes(dim)), wanted(got.size());
      LayerNormArgs quantized = p.args;
      quantized.out = nullptr;
      quantized.quantized = got.data();
      RunSplit(impl, quantized, kTestRows);
      QuantizeRowsImpls().back().run({.x = out.data(),
                                      .out = wanted.data(),
                                      .rows = kTestRows,
                                      .dim = dim,
                                      .x_stride = p.args.out_stride},
                                     0, kTestRows, nullptr);
      ExpectSameQuantized({got.data(), dim}, {wanted.data(), dim}, kTestRows);

      LayerNormArgs in_place = p.args;
      in_place.out = p.x.data();
      in_place.out_stride = p.x_stride;
      RunSplit(impl, in_place, kTestRows);
      for (size_t row = 0; row < kTestRows; ++row) {
        ASSERT_TRUE(SameBits(&p.x[row * p.x_stride], &out[row * p.args.out_stride], dim));
      }
    }
  });
}

}  // namespace
}  // namespace pelton
