#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/mutex.h"

namespace pelton {

// A number that only grows. Any thread; updates are relaxed atomics and never allocate.
class Counter {
 public:
  void Add(uint64_t delta = 1) { value_.fetch_add(delta, std::memory_order_relaxed); }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

// A number that goes up and down. Any thread.
class Gauge {
 public:
  void Set(int64_t value) { value_.store(value, std::memory_order_relaxed); }
  void Add(int64_t delta) { value_.fetch_add(delta, std::memory_order_relaxed); }
  int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> value_{0};
};

// Counts of observations in fixed buckets. Bucket i holds the values that are at most
// upper_bounds()[i] and above the bound before it; one more bucket holds the rest and NaN.
// Any thread; a reader may see an observation's bucket before its sum.
class Histogram {
 public:
  // Requires: the bounds ascend strictly and at least one is given.
  explicit Histogram(std::vector<double> upper_bounds);

  void Observe(double value);

  std::span<const double> upper_bounds() const { return upper_bounds_; }
  // Requires: bucket <= upper_bounds().size().
  uint64_t bucket_count(size_t bucket) const {
    return counts_[bucket].load(std::memory_order_relaxed);
  }
  double sum() const { return sum_.load(std::memory_order_relaxed); }

 private:
  std::vector<double> upper_bounds_;
  std::vector<std::atomic<uint64_t>> counts_;  // [upper_bounds + 1]
  std::atomic<double> sum_{0};
};

// Names the metrics of a process. Registering takes a lock and may allocate; the references that
// it returns stay valid as long as the registry and are used without it.
class MetricRegistry {
 public:
  // One metric: exactly one of the three pointers is set.
  struct Entry {
    std::string name;    // for example "pelton_requests_finished_total"
    std::string labels;  // rendered, for example `reason="stop"`; empty for none
    std::string help;
    std::unique_ptr<Counter> counter;
    std::unique_ptr<Gauge> gauge;
    std::unique_ptr<Histogram> histogram;
  };

  // The metric with this name and these labels, made at the first call.
  // Requires: later calls ask for the same kind.
  Counter& AddCounter(std::string name, std::string labels, std::string help);
  Gauge& AddGauge(std::string name, std::string labels, std::string help);
  // The bounds of the first call stay.
  Histogram& AddHistogram(std::string name, std::string labels, std::string help,
                          std::vector<double> upper_bounds);

  // All metrics in the order of registration. Entries are never removed.
  std::vector<const Entry*> Entries() const;

 private:
  Entry& FindOrAdd(std::string name, std::string labels, std::string help) REQUIRES_LOCK(mutex_);

  mutable Mutex mutex_;
  std::vector<std::unique_ptr<Entry>> entries_ GUARDED_BY(mutex_);
};

}  // namespace pelton
