#include "serving/metrics/metrics_text.h"

#include <fmt/format.h>

#include <set>

namespace pelton {
namespace {

using Entry = MetricRegistry::Entry;

std::string Braced(const std::string& labels, const std::string& more = "") {
  if (labels.empty() && more.empty()) return "";
  return "{" + labels + (labels.empty() || more.empty() ? "" : ",") + more + "}";
}

void AddHistogram(const Entry& entry, std::string* out) {
  const Histogram& histogram = *entry.histogram;
  uint64_t count = 0;
  for (size_t i = 0; i <= histogram.upper_bounds().size(); ++i) {
    count += histogram.bucket_count(i);
    const std::string bound = i < histogram.upper_bounds().size()
                                  ? fmt::format("le=\"{}\"", histogram.upper_bounds()[i])
                                  : "le=\"+Inf\"";
    *out += fmt::format("{}_bucket{} {}\n", entry.name, Braced(entry.labels, bound), count);
  }
  *out += fmt::format("{}_sum{} {}\n", entry.name, Braced(entry.labels), histogram.sum());
  *out += fmt::format("{}_count{} {}\n", entry.name, Braced(entry.labels), count);
}

}  // namespace

std::string MetricsText(const MetricRegistry& registry) {
  std::string out;
  const std::vector<const Entry*> entries = registry.Entries();
  std::set<std::string> written;
  for (const Entry* first : entries) {
    if (!written.insert(first->name).second) continue;
    const char* type = first->counter ? "counter" : first->gauge ? "gauge" : "histogram";
    out += fmt::format("# HELP {} {}\n# TYPE {} {}\n", first->name, first->help, first->name, type);
    // The lines of one name stand together, whenever they were registered.
    for (const Entry* entry : entries) {
      if (entry->name != first->name) continue;
      if (entry->histogram) {
        AddHistogram(*entry, &out);
      } else if (entry->counter) {
        out +=
            fmt::format("{}{} {}\n", entry->name, Braced(entry->labels), entry->counter->value());
      } else {
        out += fmt::format("{}{} {}\n", entry->name, Braced(entry->labels), entry->gauge->value());
      }
    }
  }
  return out;
}

std::string LabelValue(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace pelton
