#include "runtime/schedule/latency_predictor.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace pelton {
namespace {

// Steps as a server has them: mostly decoding, some with a chunk of a prompt.
StepShape RandomShape(std::mt19937& random) {
  StepShape shape;
  for (size_t rows = 1 + random() % 16; rows > 0; --rows) shape.Add(random() % 2000, 1, true);
  if (random() % 4 == 0) shape.Add(random() % 500, 1 + random() % 256, false);
  return shape;
}

constexpr StepCost kTruth = {
    .fixed_ns = 4e6, .prefill_token_ns = 2.5e5, .decode_row_ns = 6e5, .attended_ns = 120};

TEST(LatencyPredictor, FindsTheCostsBehindNoisySteps) {
  std::mt19937 random(1);
  std::normal_distribution<double> noise(1, 0.03);
  LatencyPredictor predictor;
  EXPECT_FALSE(predictor.cost().known());
  double errors = 0;
  for (size_t i = 0; i < 1000; ++i) {
    const StepShape shape = RandomShape(random);
    const double error =
        predictor.Observe(shape, static_cast<int64_t>(kTruth.Of(shape) * noise(random)));
    EXPECT_EQ(error < 0, i < 8);
    if (i >= 500) errors += error;
  }
  EXPECT_LT(errors / 500, 0.05);
  EXPECT_NEAR(predictor.cost().fixed_ns, kTruth.fixed_ns, 0.15 * kTruth.fixed_ns);
  EXPECT_NEAR(predictor.cost().prefill_token_ns, kTruth.prefill_token_ns,
              0.05 * kTruth.prefill_token_ns);
  EXPECT_NEAR(predictor.cost().decode_row_ns, kTruth.decode_row_ns, 0.1 * kTruth.decode_row_ns);
}

TEST(LatencyPredictor, OutliersMoveItLittle) {
  std::mt19937 random(2);
  LatencyPredictor predictor;
  double worst = 0;
  for (size_t i = 0; i < 2000; ++i) {
    const StepShape shape = RandomShape(random);
    const bool disturbed = i > 100 && random() % 25 == 0;  // the system was busy: up to 30 times
    const double factor = disturbed ? 2 + static_cast<double>(random() % 28) : 1;
    predictor.Observe(shape, static_cast<int64_t>(kTruth.Of(shape) * factor));
    if (i < 200) continue;
    const StepShape usual = RandomShape(random);
    worst = std::max(worst, std::abs(predictor.cost().Of(usual) / kTruth.Of(usual) - 1));
  }
  EXPECT_LT(worst, 0.25);
}

TEST(LatencyPredictor, FollowsALastingChange) {
  std::mt19937 random(3);
  LatencyPredictor predictor;
  const auto run = [&](double factor, size_t steps) {
    double errors = 0;
    for (size_t i = 0; i < steps; ++i) {
      const StepShape shape = RandomShape(random);
      const double error =
          predictor.Observe(shape, static_cast<int64_t>(kTruth.Of(shape) * factor));
      if (i + 50 >= steps) errors += error / 50;
    }
    return errors;
  };
  EXPECT_LT(run(1, 500), 0.02);
  EXPECT_LT(run(2.5, 1000), 0.05) << "another process takes half of the machine";
  EXPECT_LT(run(0.8, 1000), 0.05);
}

// A hundred thousand equal steps say nothing about other shapes, and must not make it forget them.
TEST(LatencyPredictor, MonotonyDoesNotRuinIt) {
  std::mt19937 random(4);
  LatencyPredictor predictor;
  for (size_t i = 0; i < 500; ++i) {
    const StepShape shape = RandomShape(random);
    predictor.Observe(shape, static_cast<int64_t>(kTruth.Of(shape)));
  }
  std::normal_distribution<double> noise(1, 0.03);
  StepShape same;
  same.Add(300, 1, true);
  for (size_t i = 0; i < 100'000; ++i) {
    predictor.Observe(same, static_cast<int64_t>(kTruth.Of(same) * noise(random)));
  }
  const StepShape other = RandomShape(random);
  EXPECT_NEAR(predictor.cost().Of(other) / kTruth.Of(other), 1, 0.5);
  EXPECT_TRUE(std::isfinite(predictor.cost().Of(other)));
}

TEST(LatencyPredictor, TimesThatCannotBeAreIgnored) {
  LatencyPredictor predictor;
  StepShape shape;
  shape.Add(0, 1, true);
  for (size_t i = 0; i < 20; ++i) EXPECT_LT(predictor.Observe(shape, -int64_t(i)), 0);
  EXPECT_FALSE(predictor.cost().known());
}

}  // namespace
}  // namespace pelton
