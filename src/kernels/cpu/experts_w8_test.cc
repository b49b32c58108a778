// Experts in W8 from stored weights to products: packed, their rows rotated once for all experts
// and copied, multiplied. Against products of what is stored, in f64.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "base/cpu_features.h"
#include "kernels/cpu/isa_impls.h"
#include "kernels/ops/experts.h"
#include "kernels/ops/rotate.h"
#include "kernels/reference/matmul_case.h"

namespace pelton {
namespace {

constexpr size_t kTokens = 60, kTop = 3, kExperts = 7, kPairs = kTokens * kTop;

// H v, H the matrix of rotate.h.
std::vector<double> RotatedInDoubles(const float* v, size_t cols) {
  std::vector<double> out(v, v + cols);
  const size_t order = RotationOrder(cols), stride = cols / order;
  for (size_t h = stride; h < cols; h *= 2) {
    for (size_t i = 0; i < cols; i += 2 * h) {
      for (size_t j = i; j < i + h; ++j) {
        const double a = out[j], b = out[j + h];
        out[j] = a + b;
        out[j + h] = a - b;
      }
    }
  }
  return out;
}

double LargestOf(const std::vector<double>& values) {
  double largest = 0;
  for (const double value : values) largest = std::max(largest, std::abs(value));
  return largest;
}

// One mixture: rows of tokens, matrices in BF16, choices.
class Mixture {
 public:
  Mixture(size_t rows, size_t cols, uint32_t seed) : rows_(rows), cols_(cols), rng_(seed) {
    std::normal_distribution<float> normal;
    x_.resize(kTokens * cols);
    // A few columns are large, as in models.
    for (size_t i = 0; i < x_.size(); ++i)
      x_[i] = normal(rng_) * (i % cols % 61 == 7 ? 20.0f : 1.0f);
    weights_.resize(kExperts * rows * cols);
    for (float& w : weights_) {
      const uint32_t bits = std::bit_cast<uint32_t>(normal(rng_)) & 0xffff0000;
      w = std::bit_cast<float>(bits);
      stored_.push_back(static_cast<uint16_t>(bits >> 16));
    }
    for (size_t t = 0; t < kTokens; ++t) {
      // The last expert has few rows, or none.
      const auto first = static_cast<int32_t>(rng_() % (kExperts - 1));
      for (size_t k = 0; k < kTop; ++k) {
        ids_.push_back((first + static_cast<int32_t>(k)) % static_cast<int32_t>(kExperts - 1));
      }
    }
    ids_[5] = kExperts - 1;
    ExpertOrderImpls()[0].run({ids_.data(), order_.data(), starts_.data(), kPairs, kExperts}, 0, 1,
                              nullptr);
  }

  size_t TokenOf(size_t pair) const { return static_cast<size_t>(order_[pair]) / kTop; }
  const float* X(size_t token) const { return &x_[token * cols_]; }
  const float* Weight(size_t expert, size_t row) const {
    return &weights_[(expert * rows_ + row) * cols_];
  }
  size_t ExpertOf(size_t pair) const {
    return static_cast<size_t>(ids_[static_cast<size_t>(order_[pair])]);
  }

  // [kPairs, rows], with rows in 8 bits or in f32.
  std::vector<float> Products(bool quantized) {
    const size_t row_bytes = quantized ? QuantizedRows::RowBytes(cols_) : cols_ * sizeof(float);
    AlignedBytes rotated(kTokens * row_bytes), copied(kPairs * row_bytes);
    RotateArgs rotate{.x = x_.data(),
                      .out = quantized ? nullptr : reinterpret_cast<float*>(rotated.data()),
                      .quantized = quantized ? rotated.data() : nullptr,
                      .rows = kTokens,
                      .dim = cols_,
                      .x_stride = cols_,
                      .out_stride = cols_};
    AlignedBytes rotate_scratch(RotateScratchBytes(rotate));
    ChooseImpl(RotateImpls()).run(rotate, 0, kTokens, rotate_scratch.data());
    ChooseImpl(ExpertRowsImpls())
        .run({.x = rotated.data(),
              .order = order_.data(),
              .out = copied.data(),
              .pairs = kPairs,
              .top = kTop,
              .row_bytes = row_bytes,
              .x_row_bytes = row_bytes,
              .out_row_bytes = row_bytes},
             0, kPairs, nullptr);
    const AlignedBytes panels = Packed();
    std::vector<float> out(kPairs * rows_);
    ExpertMatmulArgs args{};
    args.matmul.x_f32 = quantized ? nullptr : reinterpret_cast<const float*>(copied.data());
    args.matmul.x_quantized = quantized ? copied.data() : nullptr;
    args.matmul.x_stride = cols_;
    args.matmul.rows = kTokens;
    args.matmul.weights = {panels.data(), DType::kW8, rows_, cols_};
    args.matmul.out = out.data();
    args.matmul.out_stride = rows_;
    args.begin = starts_.data();
    args.end = starts_.data() + 1;
    args.experts = kExperts;
    args.expert_bytes = panels.size() / kExperts;
    args.kind = MatmulRows::kGenerated;
    AlignedBytes scratch(ExpertMatmulScratchBytes(args));
    ExpertMatmul(args, 0, ExpertMatmulUnits(args), scratch.data());
    return out;
  }

 private:
  AlignedBytes Packed() const {
    const size_t bytes = PackedBytes(DType::kW8, rows_, cols_).value();
    AlignedBytes panels(kExperts * bytes);
    for (size_t e = 0; e < kExperts; ++e) {
      const PackSource source{reinterpret_cast<const std::byte*>(&stored_[e * rows_ * cols_]),
                              rows_, cols_ * sizeof(uint16_t)};
      const PackArgs args{.dtype = DType::kBF16,
                          .sources = {&source, 1},
                          .cols = cols_,
                          .interleave_panels = false,
                          .out = panels.data() + e * bytes,
                          .packed_as = DType::kW8};
      PackPanels(args, 0, PackPanelCount(args));
    }
    return panels;
  }

  size_t rows_, cols_;
  std::mt19937 rng_;
  std::vector<float> x_, weights_;
  std::vector<uint16_t> stored_;
  std::vector<int32_t> ids_;
  std::vector<int32_t> order_ = std::vector<int32_t>(kPairs);
  std::vector<int32_t> starts_ = std::vector<int32_t>(kExperts + 1);
};

// Every rounding is half a step at most, and as often up as down: a product is off by no more than
// all of them together, and the root mean square of errors is that of independent ones, a step /
// sqrt(12) each.
TEST(ExpertMatmulW8Test, ProductsAreThoseOfStoredWeightsWithinTheRounding) {
  uint32_t seed = 71;
  for (const size_t cols : {96, 160, 1408}) {
    for (const bool quantized : {false, true}) {
      SCOPED_TRACE(testing::Message() << cols << (quantized ? " columns in 8 bits" : " columns"));
      constexpr size_t kRows = 70;
      Mixture mixture(kRows, cols, seed++);
      const std::vector<float> got = mixture.Products(quantized);
      const auto order = static_cast<double>(RotationOrder(cols));
      double squares = 0, expected = 0;
      for (size_t p = 0; p < kPairs; ++p) {
        const std::vector<double> x = RotatedInDoubles(mixture.X(mixture.TokenOf(p)), cols);
        const double x_step = quantized ? LargestOf(x) / 127 : 0;
        for (size_t n = 0; n < kRows; ++n) {
          const std::vector<double> w =
              RotatedInDoubles(mixture.Weight(mixture.ExpertOf(p), n), cols);
          const double w_step = LargestOf(w) / 127 / order;
          double want = 0, most = 0, terms = 0;
          for (size_t k = 0; k < cols; ++k) {
            const double xk = std::abs(x[k]), wk = std::abs(w[k] / order);
            want += x[k] * w[k] / order;
            terms += xk * wk;
            most += (xk * w_step + wk * x_step) / 2 + x_step * w_step / 4;
            expected += (xk * xk * w_step * w_step + wk * wk * x_step * x_step) / 12;
          }
          const double error = got[p * kRows + n] - want;
          ASSERT_LE(std::abs(error), most + 0x1p-24 * static_cast<double>(cols + 30) * terms)
              << "pair " << p << " row " << n;
          squares += error * error;
        }
      }
      EXPECT_LE(squares, 1.1 * expected);
      EXPECT_GE(squares, 0.8 * expected) << "less than roundings make";
    }
  }
}

}  // namespace
}  // namespace pelton
