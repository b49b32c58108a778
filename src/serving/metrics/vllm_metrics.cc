#include "serving/metrics/vllm_metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "serving/metrics/metrics_text.h"

namespace pelton {
namespace {

using Bounds = std::vector<double>;
using Entry = MetricRegistry::Entry;

const Bounds kFirstToken = {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75,
                            1,     2.5,   5,    7.5,  10,   20,   40,   80,  160,  640, 2560};
const Bounds kToken = {0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5,
                       0.75, 1,     2.5,  5,     7.5, 10,   20,  40,  80};
const Bounds kRequest = {0.3, 0.5, 0.8, 1,  1.5, 2,   2.5, 5,   10,   15,  20,
                         30,  40,  50,  60, 120, 240, 480, 960, 1920, 7680};
const Bounds kStepTokens = {1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384};
const Bounds kChoices = {1, 2, 5, 10, 20};
const Bounds kContext = {};  // 1, 2, 5, 10, … up to the longest sequence

struct Scalar {
  const char* name;
  const char* type;
  const char* own;
  const char* help;
};
constexpr Scalar kScalars[] = {
    {"vllm:num_requests_running", "gauge", "pelton_requests_running",
     "Number of requests in model execution batches."},
    {"vllm:num_requests_waiting", "gauge", "pelton_requests_waiting",
     "Number of requests waiting to be processed."},
    {"vllm:prefix_cache_queries_total", "counter", "pelton_prompt_tokens_total",
     "Prefix cache queries, in terms of number of queried tokens."},
    {"vllm:prefix_cache_hits_total", "counter", "pelton_prompt_cached_tokens_total",
     "Prefix cache hits, in terms of number of cached tokens."},
    {"vllm:gpu_prefix_cache_queries_total", "counter", "pelton_prompt_tokens_total",
     "The same as vllm:prefix_cache_queries_total, under its earlier name."},
    {"vllm:gpu_prefix_cache_hits_total", "counter", "pelton_prompt_cached_tokens_total",
     "The same as vllm:prefix_cache_hits_total, under its earlier name."},
    {"vllm:num_preemptions_total", "counter", "pelton_preemptions_total",
     "Cumulative number of preemption from the engine."},
    {"vllm:prompt_tokens_total", "counter", "pelton_prompt_tokens_total",
     "Number of prefill tokens processed."},
    {"vllm:generation_tokens_total", "counter", "pelton_output_tokens_total",
     "Number of generation tokens processed."},
};

struct Distribution {
  const char* name;
  const char* own;
  const Bounds& bounds;
  const char* help;
};
const Distribution kDistributions[] = {
    {"vllm:iteration_tokens_total", "pelton_engine_step_tokens", kStepTokens,
     "Histogram of number of tokens per engine_step."},
    {"vllm:time_to_first_token_seconds", "pelton_first_token_seconds", kFirstToken,
     "Histogram of time to first token in seconds."},
    {"vllm:inter_token_latency_seconds", "pelton_inter_token_seconds", kToken,
     "Histogram of inter-token latency in seconds."},
    {"vllm:time_per_output_token_seconds", "pelton_inter_token_seconds", kToken,
     "The same as vllm:inter_token_latency_seconds, under its earlier name."},
    {"vllm:request_time_per_output_token_seconds", "pelton_output_token_seconds", kToken,
     "Histogram of time_per_output_token_seconds per request."},
    {"vllm:e2e_request_latency_seconds", "pelton_request_seconds", kRequest,
     "Histogram of e2e request latency in seconds."},
    {"vllm:request_queue_time_seconds", "pelton_request_queue_seconds", kRequest,
     "Histogram of time spent in WAITING phase for request."},
    {"vllm:request_inference_time_seconds", "pelton_request_inference_seconds", kRequest,
     "Histogram of time spent in RUNNING phase for request."},
    {"vllm:request_prefill_time_seconds", "pelton_request_prefill_seconds", kRequest,
     "Histogram of time spent in PREFILL phase for request."},
    {"vllm:request_decode_time_seconds", "pelton_request_decode_seconds", kRequest,
     "Histogram of time spent in DECODE phase for request."},
    {"vllm:request_prompt_tokens", "pelton_request_prompt_tokens", kContext,
     "Number of prefill tokens processed."},
    {"vllm:request_generation_tokens", "pelton_request_output_tokens", kContext,
     "Number of generation tokens processed."},
    {"vllm:request_max_num_generation_tokens", "pelton_request_output_tokens", kContext,
     "Histogram of maximum number of requested generation tokens."},
    {"vllm:request_params_max_tokens", "pelton_request_max_tokens", kContext,
     "Histogram of the max_tokens request parameter."},
    {"vllm:request_params_n", "pelton_request_choices", kChoices,
     "Histogram of the n request parameter."},
};

// How a finish reason is called there. A deadline is the server's abort.
struct Reason {
  const char* name;
  std::vector<std::string_view> own;
};
const Reason kReasons[] = {
    {"stop", {"stop"}},
    {"length", {"length"}},
    {"abort", {"cancelled", "deadline"}},
    {"error", {"error"}},
};

// 1, 2, 5, 10, … up to `most`.
Bounds ContextBounds(size_t most) {
  Bounds bounds;
  for (size_t scale = 1; scale <= most; scale *= 10) {
    for (const size_t step : {1, 2, 5}) {
      if (step * scale <= most) bounds.push_back(static_cast<double>(step * scale));
    }
  }
  return bounds;
}

// A number as Python's client library writes it into "le", which is part of a series' name:
// "0.25", "1.0", "1e+06".
std::string BoundText(double bound) {
  std::string text = fmt::format("{}", bound);
  const size_t dot = text.find('.');
  if (dot != std::string::npos || text.find('e') != std::string::npos) return text;
  if (text.size() <= 6) return text + ".0";
  const size_t exponent = text.size() - 1;
  std::string mantissa = text.substr(0, 1) + "." + text.substr(1);
  mantissa.erase(mantissa.find_last_not_of('0') + 1);
  if (mantissa.back() == '.') mantissa.pop_back();
  return fmt::format("{}e+0{}", mantissa, exponent);
}

// One model's counts.
class Model {
 public:
  explicit Model(const VllmSource& from)
      : source(from),
        labels(fmt::format("model_name=\"{}\",engine=\"0\"", LabelValue(from.model_name))),
        entries_(from.registry.Entries()) {}

  const Entry* Find(std::string_view name, std::string_view own_labels = "") const {
    for (const Entry* entry : entries_) {
      if (entry->name == name && entry->labels == own_labels) return entry;
    }
    return nullptr;
  }
  // 0 where there is no such metric.
  double ValueOf(std::string_view name, std::string_view own_labels = "") const {
    const Entry* entry = Find(name, own_labels);
    if (entry == nullptr) return 0;
    return entry->counter ? static_cast<double>(entry->counter->value())
                          : static_cast<double>(entry->gauge->value());
  }

  const VllmSource& source;
  const std::string labels;

 private:
  const std::vector<const Entry*> entries_;
};

class Writer {
 public:
  explicit Writer(std::span<const VllmSource> sources) : models_(sources.begin(), sources.end()) {}

  std::string Text() {
    for (const Scalar& scalar : kScalars) {
      if (!Head(scalar.own, scalar.name, scalar.type, scalar.help)) continue;
      for (const Model& model : models_) {
        if (model.Find(scalar.own)) Line(model, scalar.name, "", model.ValueOf(scalar.own));
      }
    }
    AddCacheUsage("vllm:kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.");
    AddCacheUsage("vllm:gpu_cache_usage_perc",
                  "The same as vllm:kv_cache_usage_perc, under its earlier name.");
    AddReasons();
    for (const Distribution& each : kDistributions) {
      if (!Head(each.own, each.name, "histogram", each.help)) continue;
      for (const Model& model : models_) AddDistribution(model, each);
    }
    AddCacheConfig();
    return std::move(out_);
  }

 private:
  // Only if a model has the metric of our own.
  bool Head(std::string_view own, std::string_view name, std::string_view type,
            std::string_view help) {
    const bool any = std::any_of(models_.begin(), models_.end(),
                                 [&](const Model& model) { return model.Find(own) != nullptr; });
    if (any) out_ += fmt::format("# HELP {0} {2}\n# TYPE {0} {1}\n", name, type, help);
    return any;
  }
  void Line(const Model& model, std::string_view name, std::string_view more, double value) {
    out_ += fmt::format("{}{{{}{}}} {}\n", name, model.labels, more, value);
  }

  void AddCacheUsage(const char* name, const char* help) {
    if (!Head("pelton_kv_blocks", name, "gauge", help)) return;
    for (const Model& model : models_) {
      if (model.Find("pelton_kv_blocks") == nullptr) continue;
      const double all = std::max(model.ValueOf("pelton_kv_blocks"), 1.0);
      Line(model, name, "", model.ValueOf("pelton_kv_blocks_held") / all);
    }
  }

  void AddReasons() {
    constexpr const char* kName = "vllm:request_success_total";
    constexpr const char* kOwn = "pelton_requests_finished_total";
    out_ += fmt::format(
        "# HELP {0} Count of successfully processed requests.\n# TYPE {0} counter\n", kName);
    for (const Model& model : models_) {
      for (const Reason& reason : kReasons) {
        double count = 0;
        for (const std::string_view own : reason.own) {
          count += model.ValueOf(kOwn, fmt::format("reason=\"{}\"", own));
        }
        Line(model, kName, fmt::format(",finished_reason=\"{}\"", reason.name), count);
      }
    }
  }

  void AddDistribution(const Model& model, const Distribution& each) {
    const Entry* own = model.Find(each.own);
    if (own == nullptr) return;
    const Histogram& histogram = *own->histogram;
    const std::string name = each.name;
    uint64_t count = 0;
    size_t bucket = 0;
    for (const double bound :
         each.bounds.empty() ? ContextBounds(model.source.max_context) : each.bounds) {
      while (bucket < histogram.upper_bounds().size() &&
             histogram.upper_bounds()[bucket] <= bound) {
        count += histogram.bucket_count(bucket++);
      }
      PELTON_CHECK(bucket > 0 && histogram.upper_bounds()[bucket - 1] == bound,
                   "the bounds of a histogram include vLLM's");
      Line(model, name + "_bucket", fmt::format(",le=\"{}\"", BoundText(bound)),
           static_cast<double>(count));
    }
    while (bucket <= histogram.upper_bounds().size()) count += histogram.bucket_count(bucket++);
    Line(model, name + "_bucket", ",le=\"+Inf\"", static_cast<double>(count));
    Line(model, name + "_sum", "", histogram.sum());
    Line(model, name + "_count", "", static_cast<double>(count));
  }

  // vLLM's own tells no model here; with several they must be told apart.
  void AddCacheConfig() {
    constexpr const char* kName = "vllm:cache_config_info";
    if (!Head("pelton_kv_blocks", kName, "gauge", "Information of the LLMEngine CacheConfig")) {
      return;
    }
    for (const Model& model : models_) {
      if (model.Find("pelton_kv_blocks") == nullptr) continue;
      const std::string which =
          models_.size() > 1
              ? fmt::format(",model_name=\"{}\"", LabelValue(model.source.model_name))
              : "";
      out_ += fmt::format(
          "{}{{block_size=\"{}\",cache_dtype=\"auto\",enable_prefix_caching=\"{}\",engine=\"0\","
          "num_cpu_blocks=\"None\",num_gpu_blocks=\"{}\"{}}} 1.0\n",
          kName, model.ValueOf("pelton_kv_block_tokens"),
          model.source.prefix_cache ? "True" : "False", model.ValueOf("pelton_kv_blocks"), which);
    }
  }

  const std::vector<Model> models_;
  std::string out_;
};

}  // namespace

std::string VllmMetricsText(std::span<const VllmSource> sources) {
  return sources.empty() ? std::string() : Writer(sources).Text();
}

}  // namespace pelton
