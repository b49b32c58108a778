// Matmuls of experts and heads against matmuls of each alone: the kernels are the same, so that
// rows must have the same bits.
#include "kernels/ops/experts.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <numeric>
#include <random>
#include <vector>

#include "kernels/reference/matmul.h"
#include "kernels/reference/matmul_case.h"

namespace pelton {
namespace {

// Random experts: one case's weights are cut into the experts' matrices.
class Experts {
 public:
  Experts(const MatmulShape& shape, size_t experts, std::vector<size_t> counts, uint64_t seed)
      : counts_(std::move(counts)) {
    size_t rows = 0;
    starts_.push_back(0);
    for (size_t count : counts_) starts_.push_back(static_cast<int32_t>(rows += count));
    for (size_t e = 0; e < experts; ++e) {
      MatmulShape own = shape;
      own.rows = std::max<size_t>(counts_[e], 1);
      cases_.emplace_back(own, seed + e);
    }
    const size_t bytes = cases_[0].weights().size();
    weights_ = std::make_unique<AlignedBytes>(bytes * experts);
    for (size_t e = 0; e < experts; ++e) {
      std::memcpy(weights_->data() + e * bytes, cases_[e].weights().data(), bytes);
    }
    expert_bytes_ = bytes;
    shape_ = shape;
    row_bytes_ = shape.quantized_x ? QuantizedRows::RowBytes(shape.cols)
                                   : cases_[0].Args().x_stride * sizeof(float);
    for (size_t e = 0; shape.bias && e < experts; ++e) {
      const MatmulArgs own = cases_[e].Args();
      bias_.insert(bias_.end(), own.bias, own.bias + own.weights.rows);
    }
    x_ = std::make_unique<AlignedBytes>(std::max<size_t>(rows, 1) * row_bytes_);
    for (size_t e = 0; e < experts; ++e) {
      std::memcpy(x_->data() + static_cast<size_t>(starts_[e]) * row_bytes_,
                  cases_[e].activations().data(), counts_[e] * row_bytes_);
    }
  }

  size_t rows() const { return static_cast<size_t>(starts_.back()); }
  MatmulCase& Case(size_t expert) { return cases_[expert]; }
  const std::vector<size_t>& counts() const { return counts_; }
  size_t Start(size_t expert) const { return static_cast<size_t>(starts_[expert]); }

  ExpertMatmulArgs Args() {
    ExpertMatmulArgs args{};
    args.matmul = cases_[0].Args();
    args.matmul.rows = std::max<size_t>(rows(), 1);
    args.matmul.weights.data = weights_->data();
    args.matmul.bias = bias_.empty() ? nullptr : bias_.data();
    if (shape_.quantized_x) {
      args.matmul.x_quantized = x_->data();
    } else {
      args.matmul.x_f32 = reinterpret_cast<const float*>(x_->data());
    }
    args.begin = starts_.data();
    args.end = starts_.data() + 1;
    args.experts = counts_.size();
    args.expert_bytes = expert_bytes_;
    args.kind = MatmulRows::kGenerated;
    return args;
  }

 private:
  std::vector<size_t> counts_;
  std::vector<int32_t> starts_;
  std::vector<MatmulCase> cases_;
  std::unique_ptr<AlignedBytes> weights_;
  std::unique_ptr<AlignedBytes> x_;
  std::vector<float> bias_;
  MatmulShape shape_;
  size_t expert_bytes_ = 0;
  size_t row_bytes_ = 0;
};

void RunAll(const ExpertMatmulArgs& args) {
  AlignedBytes scratch(ExpertMatmulScratchBytes(args));
  const size_t units = ExpertMatmulUnits(args);
  ExpertMatmul(args, units / 2, units, scratch.data());
  ExpertMatmul(args, 0, units / 2, scratch.data());
}

std::vector<MatmulShape> Shapes() {
  std::vector<MatmulShape> shapes;
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kQ8_0, DType::kQ4_K, DType::kW8}) {
    for (const bool quantized : {false, true}) {
      if (quantized && PanelFormatOf(dtype)->code_bits == 0) continue;
      for (const GateActivation gate :
           {GateActivation::kNone, GateActivation::kSilu, GateActivation::kSwigluOai}) {
        shapes.push_back({.dtype = dtype,
                          .quantized_x = quantized,
                          .columns = quantized ? 96u : 72u,
                          // Of W8 no whole number of tiles.
                          .cols = dtype == DType::kW8 ? 288u : 256u,
                          .gate = gate,
                          .gate_limit = gate == GateActivation::kSwigluOai ? 3.0f : 0.0f,
                          .bias = dtype != DType::kF32 && gate != GateActivation::kSilu,
                          .quantized_out = quantized && gate != GateActivation::kNone});
      }
    }
  }
  return shapes;
}

const std::vector<std::vector<size_t>> kCounts = {
    {1, 0, 0, 1}, {0, 0, 0, 0}, {3, 0, 17, 200}, {5, 64, 1, 2}};

TEST(ExpertMatmulTest, EachExpertsRowsAreThoseOfAMatmulAlone) {
  uint64_t seed = 1;
  for (const MatmulShape& shape : Shapes()) {
    for (const std::vector<size_t>& counts : kCounts) {
      Experts experts(shape, counts.size(), counts, seed += 10);
      const size_t out_row =
          shape.quantized_out ? QuantizedRows::RowBytes(shape.columns) : shape.columns * 4;
      std::vector<std::byte> storage(experts.rows() * out_row + 64);
      AlignedBytes out(experts.rows() * out_row + 64);
      ExpertMatmulArgs args = experts.Args();
      args.matmul.out = shape.quantized_out ? nullptr : reinterpret_cast<float*>(out.data());
      args.matmul.out_quantized = shape.quantized_out ? out.data() : nullptr;
      args.matmul.out_stride = shape.columns;
      RunAll(args);
      for (size_t e = 0; e < counts.size(); ++e) {
        if (counts[e] == 0) continue;
        const MatmulArgs alone = experts.Case(e).Args();
        const std::vector<std::byte> want =
            experts.Case(e).Run(ChooseMatmul(alone, MatmulRows::kGenerated), alone);
        for (size_t row = 0; row < counts[e]; ++row) {
          // Without what pads a quantised row.
          const size_t used = shape.quantized_out ? shape.columns + shape.columns / 4 : out_row;
          ASSERT_EQ(std::memcmp(out.data() + (experts.Start(e) + row) * out_row,
                                want.data() + row * out_row, used),
                    0)
              << DTypeName(shape.dtype) << " expert " << e << " row " << row;
        }
        // Nor do they depend on how many there are.
        const MatmulArgs one = experts.Case(e).ArgsOfRows(counts[e] / 2, 1);
        const std::vector<std::byte> single =
            experts.Case(e).Run(ChooseMatmul(one, MatmulRows::kGenerated), one);
        const size_t used = shape.quantized_out ? shape.columns + shape.columns / 4 : out_row;
        EXPECT_EQ(std::memcmp(single.data(), want.data() + counts[e] / 2 * out_row, used), 0)
            << DTypeName(shape.dtype) << " expert " << e << " of " << counts[e] << " rows";
      }
    }
  }
}

TEST(ExpertMatmulTest, SummedRowsAreThoseOfASumAfterwards) {
  std::mt19937 rng(9);
  uint64_t seed = 1000;
  for (const MatmulShape& shape : Shapes()) {
    if (shape.gate != GateActivation::kNone) continue;
    constexpr size_t kTokens = 60, kTop = 2, kExperts = 5;
    std::vector<int32_t> ids, order(kTokens * kTop), starts(kExperts + 1);
    for (size_t t = 0; t < kTokens; ++t) {
      const int32_t first = std::uniform_int_distribution<int32_t>(0, kExperts - 1)(rng);
      ids.push_back(first);
      ids.push_back((first + 1 + static_cast<int32_t>(t % 2)) % static_cast<int32_t>(kExperts));
    }
    ExpertOrderImpls()[0].run({ids.data(), order.data(), starts.data(), ids.size(), kExperts}, 0, 1,
                              nullptr);
    std::vector<size_t> counts;
    counts.reserve(kExperts);
    for (size_t e = 0; e < kExperts; ++e) {
      counts.push_back(static_cast<size_t>(starts[e + 1] - starts[e]));
    }
    Experts experts(shape, kExperts, counts, seed += 10);
    std::vector<float> weights(ids.size());
    for (float& w : weights) w = std::uniform_real_distribution<float>(0, 1)(rng);

    std::vector<float> rows(ids.size() * shape.columns);
    ExpertMatmulArgs args = experts.Args();
    args.matmul.out = rows.data();
    args.matmul.out_stride = shape.columns;
    RunAll(args);
    std::vector<float> want(kTokens * shape.columns, -1), got(want);
    ExpertSumArgs sum{.rows = rows.data(),
                      .order = order.data(),
                      .weights = weights.data(),
                      .out = want.data(),
                      .pairs = ids.size(),
                      .tokens = kTokens,
                      .top = kTop,
                      .dim = shape.columns,
                      .rows_stride = shape.columns,
                      .out_stride = shape.columns};
    ChooseImpl(ExpertSumImpls()).run(sum, 0, DivUp(shape.columns, 32), nullptr);
    // The sum itself.
    for (size_t t = 0; t < kTokens; ++t) {
      for (size_t c = 0; c < shape.columns; ++c) {
        double exact = 0, magnitude = 0;
        for (size_t p = 0; p < order.size(); ++p) {
          if (static_cast<size_t>(order[p]) / kTop != t) continue;
          const double term =
              double{weights[static_cast<size_t>(order[p])]} * rows[p * shape.columns + c];
          exact += term;
          magnitude += std::abs(term);
        }
        ASSERT_NEAR(want[t * shape.columns + c], exact, 4e-7 * magnitude + 1e-30);
      }
    }
    sum.rows = nullptr;
    sum.out = got.data();
    args.matmul.out = nullptr;
    args.sum = &sum;
    RunAll(args);
    EXPECT_EQ(std::memcmp(got.data(), want.data(), want.size() * sizeof(float)), 0)
        << DTypeName(shape.dtype);
  }
}

TEST(ExpertSumTest, EveryInstructionSetAddsWhatTheDefinitionSays) {
  std::mt19937 rng(11);
  for (const size_t dim : {1, 31, 32, 45, 96}) {
    std::vector<float> rows(6 * dim), weights(6), want(3 * dim);
    for (float& x : rows) x = std::normal_distribution<float>()(rng);
    for (float& x : weights) x = std::normal_distribution<float>()(rng);
    const std::vector<int32_t> order = {1, 4, 0, 2, 5, 3};
    for (size_t p = 0; p < 6; ++p) {
      for (size_t c = 0; c < dim; ++c) {
        const auto pair = static_cast<size_t>(order[p]);
        float& out = want[pair / 2 * dim + c];
        out = std::fma(weights[pair], rows[p * dim + c], out);
      }
    }
    for (const OpImpl<ExpertSumArgs>& impl : ExpertSumImpls()) {
      if ((impl.required_features & ~DetectedCpuFeatures()) != 0) continue;
      std::vector<float> out(3 * dim, 7.0f);
      const ExpertSumArgs args{.rows = rows.data(),
                               .order = order.data(),
                               .weights = weights.data(),
                               .out = out.data(),
                               .pairs = 6,
                               .tokens = 3,
                               .top = 2,
                               .dim = dim,
                               .rows_stride = dim,
                               .out_stride = dim};
      const size_t units = DivUp(dim, 32);
      impl.run(args, units / 2, units, nullptr);
      impl.run(args, 0, units / 2, nullptr);
      // Not every instruction set has a fused multiplication and addition.
      for (size_t i = 0; i < out.size(); ++i) {
        EXPECT_NEAR(out[i], want[i], 1e-6 * (1 + std::abs(want[i]))) << impl.name << " " << dim;
      }
    }
  }
}

TEST(HeadMatmulTest, EachHeadsColumnsAreThoseOfAMatmulAlone) {
  constexpr size_t kHeads = 3, kRows = 7;
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kQ8_0}) {
    const MatmulShape shape{
        .dtype = dtype, .quantized_x = false, .rows = kRows, .columns = 40, .cols = 64};
    std::vector<MatmulCase> cases;
    cases.reserve(kHeads);
    for (uint64_t h = 0; h < kHeads; ++h) cases.emplace_back(shape, 77 + h);
    const size_t bytes = cases[0].weights().size();
    AlignedBytes weights(bytes * kHeads);
    std::vector<float> x(kRows * kHeads * shape.cols), out(kRows * kHeads * shape.columns);
    for (size_t h = 0; h < kHeads; ++h) {
      std::memcpy(weights.data() + h * bytes, cases[h].weights().data(), bytes);
      const MatmulArgs one = cases[h].Args();
      for (size_t row = 0; row < kRows; ++row) {
        std::memcpy(&x[(row * kHeads + h) * shape.cols], one.x_f32 + row * one.x_stride,
                    shape.cols * sizeof(float));
      }
    }
    HeadMatmulArgs args{};
    args.matmul = cases[0].Args();
    args.matmul.weights.data = weights.data();
    args.matmul.x_f32 = x.data();
    args.matmul.x_stride = kHeads * shape.cols;
    args.matmul.out = out.data();
    args.matmul.out_stride = kHeads * shape.columns;
    args.heads = kHeads;
    args.head_bytes = bytes;
    args.kind = MatmulRows::kGenerated;
    AlignedBytes scratch(HeadMatmulScratchBytes(args));
    const size_t units = HeadMatmulUnits(args);
    for (size_t unit = units; unit-- > 0;) HeadMatmul(args, unit, unit + 1, scratch.data());
    for (size_t h = 0; h < kHeads; ++h) {
      const MatmulArgs one = cases[h].Args();
      const std::vector<std::byte> want =
          cases[h].Run(ChooseMatmul(one, MatmulRows::kGenerated), one);
      for (size_t row = 0; row < kRows; ++row) {
        EXPECT_EQ(std::memcmp(&out[(row * kHeads + h) * shape.columns],
                              want.data() + row * shape.columns * sizeof(float),
                              shape.columns * sizeof(float)),
                  0)
            << DTypeName(dtype) << " head " << h << " row " << row;
      }
    }
  }
}

}  // namespace
}  // namespace pelton
