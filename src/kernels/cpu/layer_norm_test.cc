#include "kernels/ops/layer_norm.h"

#include <gtest/gtest.h>

#include "kernels/cpu/test_rows.h"
#include "kernels/ops/elementwise.h"
#include "kernels/reference/rows.h"

namespace pelton {
namespace {

constexpr size_t kDims[] = {1, 3, 8, 15, 16, 17, 31, 32, 33, 63, 65, 129, 384, 1000};
constexpr size_t kRows = 3;

struct Problem {
  Problem(std::mt19937& rng, size_t dim) : x_stride(dim + 5) {
    x = RandomValues(rng, kRows * x_stride);
    for (float& v : x) v += 3;  // a mean that must be taken away exactly
    weight = RandomValues(rng, dim);
    bias = RandomValues(rng, dim);
    args = {.x = x.data(),
            .weight = weight.data(),
            .bias = bias.data(),
            .rows = kRows,
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
    for (const size_t dim : kDims) {
      Problem p(rng, dim);
      const std::vector<double> want = reference::LayerNorm(p.args);
      std::vector<float> out(kRows * p.args.out_stride, -77);
      p.args.out = out.data();
      RunSplit(impl, p.args, kRows);
      for (size_t row = 0; row < kRows; ++row) {
        for (size_t d = 0; d < dim; ++d) {
          const double w = want[row * dim + d];
          ASSERT_NEAR(out[row * p.args.out_stride + d], w, 4e-6 * (1 + std::abs(w)))
              << "dim " << dim << " d " << d;
        }
        ASSERT_EQ(out[row * p.args.out_stride + dim], -77) << "wrote behind a row";
      }

      const size_t terms = 1 + dim % 2;
      AlignedBytes got(kRows * terms * QuantizedRows::TermBytes(dim)), wanted(got.size());
      LayerNormArgs quantized = p.args;
      quantized.out = nullptr;
      quantized.quantized = got.data();
      quantized.quantized_terms = terms;
      RunSplit(impl, quantized, kRows);
      QuantizeRowsImpls().back().run({.x = out.data(),
                                      .out = wanted.data(),
                                      .terms = terms,
                                      .rows = kRows,
                                      .dim = dim,
                                      .x_stride = p.args.out_stride},
                                     0, kRows, nullptr);
      ExpectSameQuantized({got.data(), dim, terms}, {wanted.data(), dim, terms}, kRows);

      LayerNormArgs in_place = p.args;
      in_place.out = p.x.data();
      in_place.out_stride = p.x_stride;
      RunSplit(impl, in_place, kRows);
      for (size_t row = 0; row < kRows; ++row) {
        ASSERT_TRUE(SameBits(&p.x[row * p.x_stride], &out[row * p.args.out_stride], dim));
      }
    }
  });
}

}  // namespace
}  // namespace pelton
