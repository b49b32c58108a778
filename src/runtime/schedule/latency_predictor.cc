#include "runtime/schedule/latency_predictor.h"

#include <algorithm>
#include <cmath>

namespace pelton {
namespace {

// Features of a usual step are around one, so that one covariance fits all.
constexpr std::array<double, 4> kScale = {1, 64, 8, 4096};
constexpr double kForget = 0.99;      // half of a step's weight is gone after 69 more
constexpr double kPrior = 1e4;        // variance before anything is known
constexpr size_t kWarmUp = 8;         // steps before it predicts: twice its unknowns
constexpr double kErrorShare = 0.05;  // of one step in the moving average
constexpr double kCut = 3;            // residuals beyond this many typical ones are outliers
constexpr double kLeastError = 0.02;  // of the prediction; smaller ones are noise

}  // namespace

LatencyPredictor::LatencyPredictor() {
  for (size_t i = 0; i < kTerms; ++i) covariance_[i][i] = kPrior;
}

LatencyPredictor::Vector LatencyPredictor::Features(const StepShape& shape) {
  return {1 / kScale[0], static_cast<double>(shape.prefill_tokens) / kScale[1],
          static_cast<double>(shape.decode_rows) / kScale[2], shape.attended / kScale[3]};
}

StepCost LatencyPredictor::cost() const {
  if (observations_ < kWarmUp) return {};
  const auto term = [&](size_t i) { return std::max(0.0, 1e6 * weights_[i] / kScale[i]); };
  return {.fixed_ns = term(0),
          .prefill_token_ns = term(1),
          .decode_row_ns = term(2),
          .attended_ns = term(3)};
}

double LatencyPredictor::Observe(const StepShape& shape, int64_t actual_ns) {
  if (actual_ns <= 0) return -1;
  const bool warm = observations_ >= kWarmUp;
  const double actual = static_cast<double>(actual_ns) * 1e-6;
  Vector x = Features(shape);
  double predicted = 0;
  for (size_t i = 0; i < kTerms; ++i) predicted += weights_[i] * x[i];
  // A share of a long step and the same share of a short one weigh the same.
  const double unit = warm ? std::max(predicted, 0.1 * actual) : actual;
  const double published_error = std::abs(cost().Of(shape) * 1e-6 - actual) / actual;

  Vector projected = {};  // covariance * x
  double spread = 0;      // x' * covariance * x
  for (double& feature : x) feature /= unit;
  for (size_t i = 0; i < kTerms; ++i) {
    for (size_t j = 0; j < kTerms; ++j) projected[i] += covariance_[i][j] * x[j];
    spread += x[i] * projected[i];
  }
  double residual = (actual - predicted) / unit;
  if (warm) {
    // Of a shape unlike all before nothing is typical yet.
    const double typical = std::max(mean_error_, kLeastError) * (1 + spread);
    // The average follows cut residuals, too, so it grows until a lasting change is no outlier.
    residual = std::clamp(residual, -kCut * typical, kCut * typical);
  }
  // What a step says nothing about is not forgotten, or its uncertainty would grow for ever.
  double trace = 0;
  for (size_t i = 0; i < kTerms; ++i) trace += covariance_[i][i];
  const double forget = trace < kTerms * kPrior ? kForget : 1;
  for (size_t i = 0; i < kTerms; ++i) {
    const double gain = projected[i] / (forget + spread);
    weights_[i] += gain * residual;
  }
  for (size_t i = 0; i < kTerms; ++i) {
    for (size_t j = 0; j < kTerms; ++j) {
      covariance_[i][j] =
          (covariance_[i][j] - projected[i] * projected[j] / (forget + spread)) / forget;
    }
  }
  if (warm) mean_error_ += kErrorShare * (std::abs(residual) - mean_error_);
  ++observations_;
  return warm ? published_error : -1;
}

}  // namespace pelton
