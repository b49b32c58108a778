#include "runtime/engine/engine_metrics.h"

#include <fmt/format.h>

namespace pelton {
namespace {

const std::vector<double> kSeconds = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                      0.25,   0.5,   1,      2.5,   5,    10,    30,   60};

std::array<Counter*, kNumFinishReasons> FinishedCounters(MetricRegistry& registry) {
  std::array<Counter*, kNumFinishReasons> out;
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] = &registry.AddCounter(
        "pelton_requests_finished_total",
        fmt::format("reason=\"{}\"", FinishReasonName(static_cast<FinishReason>(i))),
        "Requests that ended");
  }
  return out;
}

std::string ClassLabel(size_t i) {
  return fmt::format("class=\"{}\"", ServiceClassName(static_cast<ServiceClass>(i)));
}

std::array<Gauge*, kNumServiceClasses> WaitingGauges(MetricRegistry& registry) {
  std::array<Gauge*, kNumServiceClasses> out;
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] = &registry.AddGauge("pelton_class_waiting", ClassLabel(i),
                                "Sequences that wait to start or to go on, by service class");
  }
  return out;
}

std::array<Histogram*, kNumServiceClasses> QueueHistograms(MetricRegistry& registry) {
  std::array<Histogram*, kNumServiceClasses> out;
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] =
        &registry.AddHistogram("pelton_queue_seconds", ClassLabel(i),
                               "From submission to the first step, by service class", kSeconds);
  }
  return out;
}

}  // namespace

EngineMetrics::EngineMetrics(MetricRegistry& registry)
    : steps(registry.AddCounter("pelton_engine_steps_total", "", "Forward passes")),
      prompt_tokens(registry.AddCounter("pelton_prompt_tokens_total", "",
                                        "Prompt tokens of started requests, cached ones included")),
      cached_tokens(registry.AddCounter("pelton_prompt_cached_tokens_total", "",
                                        "Prompt tokens taken from the prefix cache")),
      output_tokens(registry.AddCounter("pelton_output_tokens_total", "", "Generated tokens")),
      preemptions(registry.AddCounter("pelton_preemptions_total", "",
                                      "Sequences that gave their KV blocks to an older one")),
      numerical_errors(registry.AddCounter("pelton_numerical_errors_total", "",
                                           "Requests that met NaN or infinity in their logits")),
      waiting_of_class(WaitingGauges(registry)),
      queue_seconds(QueueHistograms(registry)),
      prediction_error(registry.AddHistogram(
          "pelton_step_prediction_error_ratio", "",
          "Difference between a step's predicted and real duration, as a share of the real one",
          {0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2})),
      finished(FinishedCounters(registry)),
      running(registry.AddGauge("pelton_requests_running", "", "Sequences that hold KV blocks")),
      waiting(registry.AddGauge("pelton_requests_waiting", "", "Sequences that wait to start")),
      held_blocks(registry.AddGauge("pelton_kv_blocks_held", "", "KV blocks in use by sequences")),
      idle_blocks(registry.AddGauge("pelton_kv_blocks_idle", "",
                                    "KV blocks kept only because they may be reused")),
      step_seconds(registry.AddHistogram("pelton_engine_step_seconds", "",
                                         "Duration of a step, sampling included", kSeconds)),
      step_tokens(registry.AddHistogram("pelton_engine_step_tokens", "", "Tokens in a step",
                                        {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048})),
      first_token_seconds(registry.AddHistogram("pelton_first_token_seconds", "",
                                                "From submission to the first output token",
                                                kSeconds)) {}

}  // namespace pelton
