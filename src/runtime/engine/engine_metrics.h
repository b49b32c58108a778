#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/metrics.h"
#include "runtime/engine/request.h"

namespace pelton {

// The engine's metrics, registered once and updated without locks. The bounds of histograms include
// those of vLLM's metrics of the same meaning, so that its form can be written from the same
// counts.
struct EngineMetrics {
  // The longest sequence bounds the histograms of tokens in a request.
  EngineMetrics(MetricRegistry& registry, size_t max_context);

  // A request that had started has ended. `max_tokens` is what it asked for, if it did.
  void ObserveFinished(const FinishEvent& event, std::optional<uint32_t> max_tokens);

  Counter& steps;
  Counter& prompt_tokens;  // of started requests, cached ones included
  Counter& cached_tokens;
  Counter& output_tokens;
  Counter& preemptions;
  Counter& numerical_errors;
  Counter& drafted_tokens;
  Counter& accepted_drafts;
  Counter& draft_passes;
  std::array<Gauge*, kNumServiceClasses> waiting_of_class;
  std::array<Histogram*, kNumServiceClasses> queue_seconds;  // by class, submission to first step
  Histogram& prediction_error;  // |predicted - actual| / actual duration of a step
  std::array<Counter*, kNumFinishReasons> finished;  // by FinishReason
  Gauge& running;
  Gauge& waiting;
  Gauge& held;
  Gauge& blocks;
  Gauge& block_tokens;
  Gauge& block_bytes;
  Counter& found_blocks;   // of the full blocks that a starting sequence could take from the cache
  Counter& missed_blocks;  // of these, that were not there
  Counter& evicted_blocks;
  Gauge& held_blocks;
  Gauge& idle_blocks;
  Histogram& step_seconds;
  Histogram& step_tokens;
  Histogram& step_sequences;
  Histogram& first_token_seconds;  // from submission
  Histogram& inter_token_seconds;
  Histogram& output_token_seconds;  // mean of a request
  Histogram& request_seconds;
  Histogram& request_queue_seconds;
  Histogram& prefill_seconds;
  Histogram& decode_seconds;
  Histogram& inference_seconds;
  Histogram& request_prompt_tokens;
  Histogram& request_output_tokens;
  Histogram& request_max_tokens;
};

}  // namespace pelton
