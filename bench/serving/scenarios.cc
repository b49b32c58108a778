// Scenarios of docs/design/runtime.md on a virtual clock: the engine's own scheduling, KV blocks
// and predictor over an executor that only lets time pass. The same numbers on every machine.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "runtime/engine/engine_core.h"

namespace pelton {
namespace {

constexpr StepLimits kLimits = {
    .max_tokens = 512, .max_sequences = 32, .max_logit_rows = 64, .max_context = 2048};

// A step takes `cost` and a few percent more or less; every token is the same.
class TimedExecutor final : public StepExecutor {
 public:
  TimedExecutor(const StepCost& cost, ManualClock& clock) : cost_(cost), clock_(clock) {}
  const StepLimits& limits() const override { return kLimits; }
  size_t vocab_size() const override { return 2; }
  std::span<float> Run(const StepBatch& batch) override {
    StepShape shape;
    for (const SequenceSpan& span : batch.sequences) {
      const auto count = static_cast<size_t>(span.count);
      shape.Add(static_cast<size_t>(span.context) - count, count, count == 1);
    }
    const double ns = cost_.Of(shape) * std::max(0.5, noise_(random_));
    clock_.Advance(static_cast<int64_t>(ns));
    busy_ns += ns;
    useful_ns += ns - cost_.fixed_ns;
    return std::span(logits_).first(batch.logit_rows.size() * 2);
  }

  double busy_ns = 0;
  double useful_ns = 0;  // not the part that each step costs whatever it holds

 private:
  const StepCost cost_;
  ManualClock& clock_;
  std::mt19937 random_{1};
  std::normal_distribution<double> noise_{1, 0.03};
  std::vector<float> logits_ = std::vector<float>(kLimits.max_logit_rows * 2);
};

struct Arrival {
  int64_t at_ns;
  ServiceClass service_class;
  size_t prompt, output;
};

struct Seen {
  int64_t first_ns = 0, end_ns = 0;  // after the arrival
};

class Watch final : public RequestObserver {
 public:
  Watch(const Clock& clock, int64_t at_ns, Seen& seen)
      : clock_(clock), at_ns_(at_ns), seen_(seen) {}
  void OnToken(const TokenEvent&) override {
    if (seen_.first_ns == 0) seen_.first_ns = clock_.NowNs() - at_ns_;
  }
  void OnFinish(const FinishEvent&) override { seen_.end_ns = clock_.NowNs() - at_ns_; }

 private:
  const Clock& clock_;
  const int64_t at_ns_;
  Seen& seen_;
};

struct Run {
  std::vector<Seen> seen;  // of each arrival
  double busy, useful;     // shares of the time, and of the busy time
};

Run Simulate(const std::vector<Arrival>& arrivals, const StepCost& cost, EngineOptions options,
             bool classes) {
  ManualClock clock(1);
  MetricRegistry metrics;
  TimedExecutor executor(cost, clock);
  auto pool = BlockPool::Create({.data = nullptr,
                                 .dtype = KvDType::kF32,
                                 .num_blocks = 4096,
                                 .layers = 1,
                                 .kv_heads = 1,
                                 .head_dim = 1,
                                 .block_tokens = 16})
                  .value();
  options.kv_blocks = pool->num_blocks();
  options.prefix_cache = false;
  options.speculate = false;
  options.max_queued = arrivals.size();
  options = ResolveEngineOptions(options, kLimits, 2).value();
  EngineCore core(options, *pool, executor, clock, metrics);
  Run run{.seen = std::vector<Seen>(arrivals.size()), .busy = 0, .useful = 0};
  for (size_t next = 0; next < arrivals.size() || core.num_live() > 0;) {
    while (next < arrivals.size() && arrivals[next].at_ns <= clock.NowNs()) {
      const Arrival& arrival = arrivals[next];
      Request request;
      request.prompt_ids.assign(arrival.prompt, 0);
      request.params.temperature = 0;
      request.params.max_tokens = static_cast<uint32_t>(arrival.output);
      if (classes) request.service_class = arrival.service_class;
      request.observer = std::make_unique<Watch>(clock, arrival.at_ns, run.seen[next]);
      auto live =
          PrepareRequest(
              std::move(request),
              {.options = options, .step = kLimits, .geometry = pool->view(), .vocab_size = 2})
              .value();
      live->sequence.id = ++next;
      live->submitted_ns = arrival.at_ns;
      core.Add(std::move(live));
    }
    const int64_t next_ns = next < arrivals.size() ? arrivals[next].at_ns : INT64_MAX;
    const int64_t wake_ns = core.num_live() == 0 ? next_ns : std::min(core.Step(), next_ns);
    if (wake_ns > clock.NowNs()) clock.Advance(wake_ns - clock.NowNs());
  }
  run.busy = executor.busy_ns / static_cast<double>(clock.NowNs());
  run.useful = executor.useful_ns / executor.busy_ns;
  return run;
}

double Percentile(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1,
                         static_cast<size_t>(share * static_cast<double>(values.size())))];
}

std::vector<double> Milliseconds(const Run& run, const std::vector<Arrival>& arrivals,
                                 ServiceClass service_class, int64_t Seen::*what) {
  std::vector<double> out;
  for (size_t i = 0; i < arrivals.size(); ++i) {
    if (arrivals[i].service_class != service_class) continue;
    out.push_back(static_cast<double>(run.seen[i].*what) * 1e-6);
  }
  return out;
}

// Three classes against one queue, the same arrivals.
void ClassesAgainstOneQueue() {
  constexpr StepCost kCost = {
      .fixed_ns = 4e6, .prefill_token_ns = 2.5e5, .decode_row_ns = 6e5, .attended_ns = 60};
  std::mt19937 random(7);
  std::exponential_distribution<double> gap(7.0);  // requests a second
  std::vector<Arrival> arrivals;
  double at = 0;
  for (size_t i = 0; i < 6000; ++i) {
    at += gap(random) * 1e9;
    const size_t dice = random() % 10;
    const auto time = static_cast<int64_t>(at);
    if (dice < 3) {
      arrivals.push_back({time, ServiceClass::kRealtime, 40 + random() % 40, 8 + random() % 8});
    } else if (dice < 7) {
      arrivals.push_back({time, ServiceClass::kStandard, 100 + random() % 200, 30 + random() % 40});
    } else {
      arrivals.push_back({time, ServiceClass::kBatch, 400 + random() % 600, 50 + random() % 100});
    }
  }
  const Run one = Simulate(arrivals, kCost, {}, false);
  const Run three = Simulate(arrivals, kCost, {}, true);
  fmt::print("Service classes: {} requests, 7 a second, the engine busy {:.0f} % of the time\n\n",
             arrivals.size(), 100 * one.busy);
  fmt::print("| class | figure | one queue, ms | classes, ms | ratio |\n|---|---|--:|--:|--:|\n");
  for (const ServiceClass c :
       {ServiceClass::kRealtime, ServiceClass::kStandard, ServiceClass::kBatch}) {
    for (const auto& [name, what] :
         {std::pair("first token", &Seen::first_ns), std::pair("whole answer", &Seen::end_ns)}) {
      for (const double share : {0.5, 0.99}) {
        const double before = Percentile(Milliseconds(one, arrivals, c, what), share);
        const double after = Percentile(Milliseconds(three, arrivals, c, what), share);
        fmt::print("| {} | p{:.0f} {} | {:.0f} | {:.0f} | {:.2f} |\n", ServiceClassName(c),
                   100 * share, name, before, after, after / before);
      }
    }
  }
}

// Short requests that are one step each: alone, gathered for up to 10 ms, and as they come.
void BatchingAgainstNone() {
  constexpr StepCost kCost = {.fixed_ns = 8e6, .prefill_token_ns = 1e5, .decode_row_ns = 1e5};
  fmt::print("\nDynamic batching: requests of 32 tokens; a step costs 8 ms and 0.1 ms a token\n\n");
  fmt::print(
      "| a second | batching | busy | of it useful | mean latency, ms | p99, ms |\n"
      "|--:|---|--:|--:|--:|--:|\n");
  for (const double rate : {70.0, 240.0}) {
    std::mt19937 random(7);
    std::exponential_distribution<double> gap(rate);
    std::vector<Arrival> arrivals;
    double at = 0;
    for (size_t i = 0; i < 5000; ++i) {
      at += gap(random) * 1e9;
      arrivals.push_back({static_cast<int64_t>(at), ServiceClass::kStandard, 32, 1});
    }
    struct Mode {
      const char* name;
      size_t max_sequences;
      int64_t gather_ns;
    };
    for (const Mode& mode : {Mode{"none", 1, 0}, Mode{"up to 32, 10 ms", 32, 10'000'000},
                             Mode{"up to 32, no wait", 32, 0}}) {
      EngineOptions options;
      options.max_sequences = mode.max_sequences;
      options.gather_ns = mode.gather_ns;
      const Run run = Simulate(arrivals, kCost, options, true);
      const std::vector<double> ms =
          Milliseconds(run, arrivals, ServiceClass::kStandard, &Seen::end_ns);
      double sum = 0;
      for (const double one : ms) sum += one;
      fmt::print("| {:.0f} | {} | {:.0f} % | {:.0f} % | {:.1f} | {:.1f} |\n", rate, mode.name,
                 100 * run.busy, 100 * run.useful, sum / static_cast<double>(ms.size()),
                 Percentile(ms, 0.99));
    }
  }
}

}  // namespace
}  // namespace pelton

int main() {
  pelton::ClassesAgainstOneQueue();
  pelton::BatchingAgainstNone();
  return 0;
}
