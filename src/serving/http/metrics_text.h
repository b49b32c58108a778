#pragma once

#include <string>

#include "base/metrics.h"

namespace pelton {

// All metrics in Prometheus' text format, version 0.0.4.
std::string MetricsText(const MetricRegistry& registry);

}  // namespace pelton
