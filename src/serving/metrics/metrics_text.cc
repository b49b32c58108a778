#include "serving/metrics/metrics_text.h"

#include <fmt/format.h>

#include <map>
#include <vector>

namespace pelton {
namespace {

using Entry = MetricRegistry::Entry;

std::string Joined(const std::string& labels, const std::string& more) {
  return labels + (labels.empty() || more.empty() ? "" : ",") + more;
}

std::string Braced(const std::string& labels, const std::string& more = "") {
  if (labels.empty() && more.empty()) return "";
  return "{" + Joined(labels, more) + "}";
}

// One metric of one source.
struct Line {
  const Entry* entry;
  std::string labels;
};

void AddHistogram(const Line& line, std::string* out) {
  const Histogram& histogram = *line.entry->histogram;
  const std::string& name = line.entry->name;
  uint64_t count = 0;
  for (size_t i = 0; i <= histogram.upper_bounds().size(); ++i) {
    count += histogram.bucket_count(i);
    const std::string bound = i < histogram.upper_bounds().size()
                                  ? fmt::format("le=\"{}\"", histogram.upper_bounds()[i])
                                  : "le=\"+Inf\"";
    *out += fmt::format("{}_bucket{} {}\n", name, Braced(line.labels, bound), count);
  }
  *out += fmt::format("{}_sum{} {}\n", name, Braced(line.labels), histogram.sum());
  *out += fmt::format("{}_count{} {}\n", name, Braced(line.labels), count);
}

void AddLine(const Line& line, std::string* out) {
  const Entry& entry = *line.entry;
  if (entry.histogram) {
    AddHistogram(line, out);
  } else if (entry.counter) {
    *out += fmt::format("{}{} {}\n", entry.name, Braced(line.labels), entry.counter->value());
  } else {
    *out += fmt::format("{}{} {}\n", entry.name, Braced(line.labels), entry.gauge->value());
  }
}

}  // namespace

std::string MetricsText(std::span<const MetricSource> sources) {
  // The lines of one name stand together, whenever and wherever they were registered.
  std::vector<std::vector<Line>> names;
  std::map<std::string_view, size_t> places;
  for (const MetricSource& source : sources) {
    for (const Entry* entry : source.registry.Entries()) {
      const auto [place, fresh] = places.emplace(entry->name, names.size());
      if (fresh) names.emplace_back();
      names[place->second].push_back({entry, Joined(source.labels, entry->labels)});
    }
  }
  std::string out;
  for (const std::vector<Line>& lines : names) {
    const Entry& first = *lines[0].entry;
    const char* type = first.counter ? "counter" : first.gauge ? "gauge" : "histogram";
    out += fmt::format("# HELP {} {}\n# TYPE {} {}\n", first.name, first.help, first.name, type);
    for (const Line& line : lines) AddLine(line, &out);
  }
  return out;
}

std::string MetricsText(const MetricRegistry& registry) {
  const MetricSource source{.registry = registry};
  return MetricsText(std::span(&source, 1));
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
