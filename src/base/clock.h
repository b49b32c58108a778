#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace pelton {

// Where time comes from, so that tests and the simulator can replace it. Any thread.
class Clock {
 public:
  virtual ~Clock() = default;
  // Nanoseconds since an arbitrary start; never goes back.
  virtual int64_t NowNs() const = 0;
};

inline double ToSeconds(int64_t ns) { return static_cast<double>(ns) * 1e-9; }

// The machine's monotonic clock.
class MonotonicClock final : public Clock {
 public:
  int64_t NowNs() const override {
    const auto since_start = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::nanoseconds>(since_start).count();
  }
};

// Stands still until it is told to move.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(int64_t now_ns = 0) : now_ns_(now_ns) {}
  int64_t NowNs() const override { return now_ns_.load(std::memory_order_relaxed); }
  // Requires: delta_ns >= 0.
  void Advance(int64_t delta_ns) { now_ns_.fetch_add(delta_ns, std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> now_ns_;
};

}  // namespace pelton
