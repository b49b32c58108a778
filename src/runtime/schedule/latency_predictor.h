#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "runtime/schedule/step_cost.h"

namespace pelton {

// Learns, while steps run, how long a step of a given shape takes: recursive least squares with
// forgetting on {1, prefill tokens, decode rows, attended positions}. A single slow step (the
// system was busy) moves it little, a lasting change is followed within some hundred steps.
// Source: Haykin, "Adaptive Filter Theory", exponentially weighted RLS; residuals are cut as by
// Huber. No allocation; one thread.
class LatencyPredictor {
 public:
  LatencyPredictor();

  // Takes note of a step. Returns |predicted - actual| / actual before learning from it; negative
  // while too few steps were seen for a prediction, or if `actual_ns` is not positive.
  double Observe(const StepShape& shape, int64_t actual_ns);

  // Coefficients as far as they are known; never negative. Unknown during the first steps.
  StepCost cost() const;

 private:
  static constexpr size_t kTerms = 4;
  using Vector = std::array<double, kTerms>;

  static Vector Features(const StepShape& shape);

  Vector weights_ = {};  // ms per scaled feature
  std::array<Vector, kTerms> covariance_ = {};
  double mean_error_ = 0;  // of the relative residuals, a moving average
  size_t observations_ = 0;
};

}  // namespace pelton
