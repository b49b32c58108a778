#include "base/metrics.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace pelton {

Histogram::Histogram(std::vector<double> upper_bounds)
    : upper_bounds_(std::move(upper_bounds)), counts_(upper_bounds_.size() + 1) {
  PELTON_CHECK(!upper_bounds_.empty(), "a histogram has at least one bound");
  PELTON_CHECK(
      std::adjacent_find(upper_bounds_.begin(), upper_bounds_.end(),
                         [](double a, double b) { return !(a < b); }) == upper_bounds_.end(),
      "histogram bounds ascend strictly");
}

void Histogram::Observe(double value) {
  size_t bucket = 0;  // few bounds: a scan beats a search, and NaN falls through to the last bucket
  while (bucket < upper_bounds_.size() && !(value <= upper_bounds_[bucket])) ++bucket;
  counts_[bucket].fetch_add(1, std::memory_order_relaxed);
  sum_.fetch_add(value, std::memory_order_relaxed);
}

MetricRegistry::Entry& MetricRegistry::FindOrAdd(std::string name, std::string labels,
                                                 std::string help) {
  for (const auto& entry : entries_) {
    if (entry->name == name && entry->labels == labels) return *entry;
  }
  entries_.push_back(std::make_unique<Entry>());
  Entry& entry = *entries_.back();
  entry.name = std::move(name);
  entry.labels = std::move(labels);
  entry.help = std::move(help);
  return entry;
}

Counter& MetricRegistry::AddCounter(std::string name, std::string labels, std::string help) {
  const MutexLock lock(mutex_);
  Entry& entry = FindOrAdd(std::move(name), std::move(labels), std::move(help));
  PELTON_CHECK(!entry.gauge && !entry.histogram, "a metric keeps its kind");
  if (!entry.counter) entry.counter = std::make_unique<Counter>();
  return *entry.counter;
}

Gauge& MetricRegistry::AddGauge(std::string name, std::string labels, std::string help) {
  const MutexLock lock(mutex_);
  Entry& entry = FindOrAdd(std::move(name), std::move(labels), std::move(help));
  PELTON_CHECK(!entry.counter && !entry.histogram, "a metric keeps its kind");
  if (!entry.gauge) entry.gauge = std::make_unique<Gauge>();
  return *entry.gauge;
}

Histogram& MetricRegistry::AddHistogram(std::string name, std::string labels, std::string help,
                                        std::vector<double> upper_bounds) {
  const MutexLock lock(mutex_);
  Entry& entry = FindOrAdd(std::move(name), std::move(labels), std::move(help));
  PELTON_CHECK(!entry.counter && !entry.gauge, "a metric keeps its kind");
  if (!entry.histogram) entry.histogram = std::make_unique<Histogram>(std::move(upper_bounds));
  return *entry.histogram;
}

std::vector<const MetricRegistry::Entry*> MetricRegistry::Entries() const {
  const MutexLock lock(mutex_);
  std::vector<const Entry*> out;
  out.reserve(entries_.size());
  for (const auto& entry : entries_) out.push_back(entry.get());
  return out;
}

}  // namespace pelton
