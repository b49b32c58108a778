#include "runtime/engine/engine_metrics.h"

#include <fmt/format.h>

#include <vector>

#include "base/clock.h"

namespace pelton {
namespace {

using Bounds = std::vector<double>;

const Bounds kStepSeconds = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                             0.25,   0.5,   1,      2.5,   5,    10,    30,   60};
const Bounds kFirstTokenSeconds = {0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08,
                                   0.1,   0.25,   0.5,   0.75, 1,    2.5,  5,    7.5,
                                   10,    20,     40,    80,   160,  640,  2560};
const Bounds kTokenSeconds = {0.0005, 0.001, 0.0025, 0.005, 0.0075, 0.01, 0.025, 0.05,
                              0.075,  0.1,   0.15,   0.2,   0.3,    0.4,  0.5,   0.75,
                              1,      2.5,   5,      7.5,   10,     20,   40,    80};
const Bounds kRequestSeconds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2,  0.3, 0.5,
                                0.8,   1,      1.5,   2,    2.5,   5,    10,  15,   20,  30,
                                40,    50,     60,    120,  240,   480,  960, 1920, 7680};
const Bounds kStepTokenBounds = {1,   2,   4,    8,    16,   32,   64,   128,
                                 256, 512, 1024, 2048, 4096, 8192, 16384};
const Bounds kStepSequences = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024};

// 1, 2, 5, 10, … up to `most`.
Bounds TokenBounds(size_t most) {
  Bounds bounds = {1};
  for (size_t scale = 1; scale <= most; scale *= 10) {
    for (const size_t step : {2, 5, 10}) {
      if (step * scale <= most) bounds.push_back(static_cast<double>(step * scale));
    }
  }
  return bounds;
}

std::array<Counter*, kNumFinishReasons> FinishedCounters(MetricRegistry& registry) {
  std::array<Counter*, kNumFinishReasons> out;
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] = &registry.AddCounter(
        "pelton_requests_finished_total",
        fmt::format("reason=\"{}\"", FinishReasonName(static_cast<FinishReason>(i))),
        "Sequences that ended");
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
    out[i] = &registry.AddHistogram("pelton_queue_seconds", ClassLabel(i),
                                    "From submission to the first step, by service class",
                                    kRequestSeconds);
  }
  return out;
}

}  // namespace

EngineMetrics::EngineMetrics(MetricRegistry& registry, size_t max_context)
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
      drafted_tokens(registry.AddCounter("pelton_drafted_tokens_total", "",
                                         "Guessed tokens that were computed")),
      accepted_drafts(registry.AddCounter("pelton_accepted_draft_tokens_total", "",
                                          "Guessed tokens that were right")),
      draft_passes(registry.AddCounter("pelton_draft_passes_total", "",
                                       "Passes of the layer that guesses tokens")),
      waiting_of_class(WaitingGauges(registry)),
      queue_seconds(QueueHistograms(registry)),
      prediction_error(registry.AddHistogram(
          "pelton_step_prediction_error_ratio", "",
          "Difference between a step's predicted and real duration, as a share of the real one",
          {0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2})),
      finished(FinishedCounters(registry)),
      running(registry.AddGauge("pelton_requests_running", "", "Sequences that hold KV blocks")),
      waiting(registry.AddGauge("pelton_requests_waiting", "", "Sequences that wait to start")),
      held(registry.AddGauge("pelton_requests_held", "",
                             "Sequences that wait until their client reads")),
      blocks(registry.AddGauge("pelton_kv_blocks", "", "KV blocks that there are")),
      block_tokens(registry.AddGauge("pelton_kv_block_tokens", "", "Tokens in a KV block")),
      block_bytes(registry.AddGauge("pelton_kv_block_bytes", "", "Bytes of a KV block")),
      found_blocks(registry.AddCounter("pelton_prefix_cache_hit_blocks_total", "",
                                       "Full blocks of prompts that the prefix cache had")),
      missed_blocks(registry.AddCounter("pelton_prefix_cache_missed_blocks_total", "",
                                        "Full blocks of prompts that it had not")),
      evicted_blocks(registry.AddCounter("pelton_prefix_cache_evicted_blocks_total", "",
                                         "Cached blocks that were given to something new")),
      held_blocks(registry.AddGauge("pelton_kv_blocks_held", "", "KV blocks in use by sequences")),
      idle_blocks(registry.AddGauge("pelton_kv_blocks_idle", "",
                                    "KV blocks kept only because they may be reused")),
      step_seconds(registry.AddHistogram("pelton_engine_step_seconds", "",
                                         "Duration of a step, sampling included", kStepSeconds)),
      step_tokens(registry.AddHistogram("pelton_engine_step_tokens", "", "Tokens in a step",
                                        kStepTokenBounds)),
      step_sequences(registry.AddHistogram("pelton_engine_step_sequences", "",
                                           "Sequences in a step", kStepSequences)),
      first_token_seconds(registry.AddHistogram("pelton_first_token_seconds", "",
                                                "From submission to the first output token",
                                                kFirstTokenSeconds)),
      inter_token_seconds(registry.AddHistogram("pelton_inter_token_seconds", "",
                                                "Between two output tokens of a sequence",
                                                kTokenSeconds)),
      output_token_seconds(registry.AddHistogram("pelton_output_token_seconds", "",
                                                 "Mean time between a sequence's output tokens",
                                                 kTokenSeconds)),
      request_seconds(registry.AddHistogram("pelton_request_seconds", "",
                                            "From submission to the end of a started sequence",
                                            kRequestSeconds)),
      request_queue_seconds(registry.AddHistogram("pelton_request_queue_seconds", "",
                                                  "From submission to the first step",
                                                  kRequestSeconds)),
      prefill_seconds(registry.AddHistogram("pelton_request_prefill_seconds", "",
                                            "From the first step to the first output token",
                                            kRequestSeconds)),
      decode_seconds(registry.AddHistogram("pelton_request_decode_seconds", "",
                                           "From the first output token to the last",
                                           kRequestSeconds)),
      inference_seconds(registry.AddHistogram("pelton_request_inference_seconds", "",
                                              "From the first step to the last output token",
                                              kRequestSeconds)),
      request_prompt_tokens(registry.AddHistogram("pelton_request_prompt_tokens", "",
                                                  "Prompt tokens of a started sequence",
                                                  TokenBounds(max_context))),
      request_output_tokens(registry.AddHistogram("pelton_request_output_tokens", "",
                                                  "Output tokens of a started sequence",
                                                  TokenBounds(max_context))),
      request_max_tokens(registry.AddHistogram("pelton_request_max_tokens", "",
                                               "Output tokens that a started sequence asked for at "
                                               "most, where it said so",
                                               TokenBounds(max_context))) {}

void EngineMetrics::ObserveFinished(const FinishEvent& event, std::optional<uint32_t> max_tokens) {
  request_queue_seconds.Observe(ToSeconds(event.queue_ns));
  prefill_seconds.Observe(ToSeconds(event.prompt_ns));
  decode_seconds.Observe(ToSeconds(event.output_ns));
  inference_seconds.Observe(ToSeconds(event.prompt_ns + event.output_ns));
  request_seconds.Observe(ToSeconds(event.queue_ns + event.prompt_ns + event.output_ns));
  request_prompt_tokens.Observe(static_cast<double>(event.prompt_tokens));
  request_output_tokens.Observe(static_cast<double>(event.output_tokens));
  if (max_tokens) request_max_tokens.Observe(*max_tokens);
  if (event.output_tokens > 1) {
    output_token_seconds.Observe(ToSeconds(event.output_ns) /
                                 static_cast<double>(event.output_tokens - 1));
  }
}

}  // namespace pelton
