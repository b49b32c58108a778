#pragma once

#include <array>

#include "base/metrics.h"
#include "runtime/engine/request.h"

namespace pelton {

// The engine's metrics, registered once and updated without locks.
struct EngineMetrics {
  explicit EngineMetrics(MetricRegistry& registry);

  Counter& steps;
  Counter& prompt_tokens;  // of started requests, cached ones included
  Counter& cached_tokens;
  Counter& output_tokens;
  Counter& preemptions;
  Counter& numerical_errors;
  std::array<Gauge*, kNumServiceClasses> waiting_of_class;
  std::array<Histogram*, kNumServiceClasses> queue_seconds;  // by class, submission to first step
  Histogram& prediction_error;  // |predicted - actual| / actual duration of a step
  std::array<Counter*, kNumFinishReasons> finished;  // by FinishReason
  Gauge& running;
  Gauge& waiting;
  Gauge& held_blocks;
  Gauge& idle_blocks;
  Histogram& step_seconds;
  Histogram& step_tokens;
  Histogram& first_token_seconds;  // from submission
};

}  // namespace pelton
