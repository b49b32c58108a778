#pragma once

#include <string>
#include <string_view>

#include "base/metrics.h"

namespace pelton {

// All metrics in Prometheus' text format, version 0.0.4.
std::string MetricsText(const MetricRegistry& registry);

// A text between the quotes of a label: backslash, quote and line feed are escaped.
std::string LabelValue(std::string_view text);

}  // namespace pelton
