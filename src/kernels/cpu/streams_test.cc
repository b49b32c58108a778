#include "kernels/ops/streams.h"

#include <cmath>

#include "kernels/cpu/test_rows.h"

namespace pelton {
namespace {

double Sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// The weights of one row in f64.
std::vector<double> WantWeights(const StreamWeightsArgs& a, size_t row) {
  const size_t streams = a.streams;
  const float* mixes = a.mixes + row * a.mixes_stride;
  std::vector<double> out(a.cols);
  for (size_t m = 0; m < streams; ++m) {
    out[m] = Sigmoid(double{mixes[m]} * a.scale[0] + a.base[m]) + a.epsilon;
  }
  if (a.cols == streams) return out;
  double* comb = &out[2 * streams];
  for (size_t m = 0; m < streams; ++m) {
    const size_t n = streams + m;
    out[n] = 2 * Sigmoid(double{mixes[n]} * a.scale[1] + a.base[n]);
    double sum = 0;
    for (size_t c = 0; c < streams; ++c) {
      const size_t i = (2 + m) * streams + c;
      sum += comb[m * streams + c] = std::exp(double{mixes[i]} * a.scale[2] + a.base[i]);
    }
    for (size_t c = 0; c < streams; ++c) {
      comb[m * streams + c] = comb[m * streams + c] / sum + a.epsilon;
    }
  }
  const auto divide = [&](size_t first, size_t stride) {
    double sum = a.epsilon;
    for (size_t i = 0; i < streams; ++i) sum += comb[first + i * stride];
    for (size_t i = 0; i < streams; ++i) comb[first + i * stride] /= sum;
  };
  for (size_t n = 0; n < streams; ++n) divide(n, streams);
  for (size_t round = 1; round < a.rounds; ++round) {
    for (size_t m = 0; m < streams; ++m) divide(m * streams, 1);
    for (size_t n = 0; n < streams; ++n) divide(n, streams);
  }
  return out;
}

TEST(StreamsTest, WeightsAreThoseOfTheDefinition) {
  std::mt19937 rng(1);
  for (const size_t streams : {1, 2, 4, 8}) {
    for (const size_t cols : {streams, (2 + streams) * streams}) {
      for (const size_t rounds : {1, 2, 20}) {
        const std::vector<float> mixes = RandomValues(rng, kTestRows * (cols + 3));
        const std::vector<float> scale = RandomValues(rng, 3), base = RandomValues(rng, cols);
        std::vector<float> out(kTestRows * cols + 1, -77);
        const StreamWeightsArgs args{.mixes = mixes.data(),
                                     .scale = scale.data(),
                                     .base = base.data(),
                                     .out = out.data(),
                                     .mixes_stride = cols + 3,
                                     .rows = kTestRows,
                                     .streams = streams,
                                     .cols = cols,
                                     .rounds = rounds,
                                     .epsilon = 1e-3f};
        RunSplit(StreamWeightsImpls()[0], args, kTestRows);
        for (size_t row = 0; row < kTestRows; ++row) {
          const std::vector<double> want = WantWeights(args, row);
          for (size_t i = 0; i < cols; ++i) EXPECT_NEAR(out[row * cols + i], want[i], 2e-6) << i;
        }
        EXPECT_EQ(out.back(), -77);
      }
    }
  }
}

TEST(StreamsTest, SpreadMergeAndMix) {
  std::mt19937 rng(2);
  for (size_t i = 0; i < StreamMixImpls().size(); ++i) {
    if ((StreamMixImpls()[i].required_features & ~DetectedCpuFeatures()) != 0) continue;
    SCOPED_TRACE(StreamMixImpls()[i].name);
    for (const size_t streams : {1, 3, 4, 8}) {
      for (const size_t dim : {1, 5, 8, 16, 33, 128}) {
        const size_t width = streams * dim, cols = (2 + streams) * streams;
        std::vector<float> x = RandomValues(rng, kTestRows * (width + 2));
        const std::vector<float> y = RandomValues(rng, kTestRows * (dim + 1));
        const std::vector<float> weights = RandomValues(rng, kTestRows * (cols + 1));
        std::vector<float> merged(kTestRows * dim), spread(kTestRows * width),
            mixed(kTestRows * width);
        RunSplit(StreamSpreadImpls()[0],
                 StreamSpreadArgs{y.data(), spread.data(), dim + 1, kTestRows, streams, dim},
                 kTestRows);
        RunSplit(StreamMergeImpls()[i],
                 StreamMergeArgs{x.data(), weights.data(), merged.data(), width + 2, cols + 1,
                                 kTestRows, streams, dim},
                 kTestRows);
        StreamMixArgs args{.x = x.data(),
                           .y = y.data(),
                           .weights = weights.data(),
                           .out = mixed.data(),
                           .x_stride = width + 2,
                           .y_stride = dim + 1,
                           .weights_stride = cols + 1,
                           .out_stride = width,
                           .rows = kTestRows,
                           .streams = streams,
                           .dim = dim};
        RunSplit(StreamMixImpls()[i], args, kTestRows);
        for (size_t row = 0; row < kTestRows; ++row) {
          const float* w = &weights[row * (cols + 1)];
          for (size_t d = 0; d < dim; ++d) {
            const auto in = [&](size_t m) { return double{x[row * (width + 2) + m * dim + d]}; };
            const double made = y[row * (dim + 1) + d];
            double sum = 0;
            for (size_t m = 0; m < streams; ++m) sum += w[m] * in(m);
            EXPECT_NEAR(merged[row * dim + d], sum, 1e-5);
            for (size_t n = 0; n < streams; ++n) {
              sum = w[streams + n] * made;
              for (size_t m = 0; m < streams; ++m) sum += w[(2 + m) * streams + n] * in(m);
              EXPECT_NEAR(mixed[row * width + n * dim + d], sum, 1e-5);
              EXPECT_EQ(spread[row * width + n * dim + d], y[row * (dim + 1) + d]);
            }
          }
        }
        args.out = x.data();
        args.out_stride = width + 2;
        RunSplit(StreamMixImpls()[i], args, kTestRows);
        for (size_t row = 0; row < kTestRows; ++row) {
          EXPECT_TRUE(SameBits(&x[row * (width + 2)], &mixed[row * width], width)) << "in place";
        }
      }
    }
  }
}

}  // namespace
}  // namespace pelton
