#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "base/metrics.h"

namespace pelton {

// A model's counts, and what vLLM's metrics tell beside them.
struct VllmSource {
  const MetricRegistry& registry;
  std::string model_name = "";
  size_t max_context = 0;  // bounds the buckets of tokens, as vLLM's max_model_len does
  bool prefix_cache = true;
};

// The engines' metrics once more, under the names, labels and buckets of vLLM's engine (v1), so
// that dashboards and scalers made for it work: names with "vllm:", labels model_name and engine,
// which is "0". Names that vLLM has given up are there too, as far as its dashboards had them.
// Everything is computed from the registry's own counts, whose bounds include vLLM's.
std::string VllmMetricsText(std::span<const VllmSource> sources);

}  // namespace pelton
