#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/metrics.h"

namespace pelton {

// A registry, and labels that all its metrics get besides their own: `model="a"`, or none.
struct MetricSource {
  const MetricRegistry& registry;
  std::string labels = "";
};

// All metrics in Prometheus' text format, version 0.0.4. Those of one name stand together.
std::string MetricsText(std::span<const MetricSource> sources);
std::string MetricsText(const MetricRegistry& registry);

// A text between the quotes of a label: backslash, quote and line feed are escaped.
std::string LabelValue(std::string_view text);

}  // namespace pelton
