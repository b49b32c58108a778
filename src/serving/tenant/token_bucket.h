#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace pelton {

// A rate per minute as a bucket that holds one minute's worth and is full at first. What turns out
// to have cost more than was taken makes it negative, so that the next ones wait. One thread.
class TokenBucket {
 public:
  // 0: no limit.
  explicit TokenBucket(uint64_t per_minute = 0)
      : capacity_(static_cast<double>(per_minute)), level_(capacity_) {}

  bool limited() const { return capacity_ > 0; }
  uint64_t per_minute() const { return static_cast<uint64_t>(capacity_); }

  // Another rate; what was used stays used.
  void SetRate(uint64_t per_minute) {
    const double used = limited() ? capacity_ - level_ : 0;
    capacity_ = static_cast<double>(per_minute);
    level_ = capacity_ - used;
  }

  void Refill(int64_t now_ns) {
    if (last_ns_ != 0 && now_ns > last_ns_) {
      const double minutes = static_cast<double>(now_ns - last_ns_) / 60e9;
      level_ = std::min(capacity_, level_ + minutes * capacity_);
    }
    last_ns_ = now_ns;
  }

  // Of what asks for more than a minute's worth a full bucket is enough.
  bool Has(double amount) const {
    return !limited() || level_ >= std::min(amount, capacity_) - 1e-9;
  }
  void Take(double amount) {
    if (limited()) level_ -= amount;
  }

  // Whole tokens that are left; at least 0.
  uint64_t left() const { return static_cast<uint64_t>(std::max(0.0, std::floor(level_ + 1e-9))); }
  // Seconds until Has(amount), and until it is full.
  double SecondsUntil(double amount) const {
    if (!limited()) return 0;
    return std::max(0.0, std::min(amount, capacity_) - level_) / capacity_ * 60;
  }
  double SecondsUntilFull() const { return SecondsUntil(capacity_); }

 private:
  double capacity_;
  double level_;
  int64_t last_ns_ = 0;
};

}  // namespace pelton
