#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <memory>
#include <utility>

namespace pelton {

// Bytes of request bodies that a server holds at a time, however many connections send them. An
// eighth of it is for bodies of at most kSmall, so that large ones keep no small one out. Any
// thread.
class BodyBudget {
 public:
  explicit BodyBudget(size_t limit) : limit_(limit) {}  // bytes; 0: no limit

  static constexpr size_t kSmall = 64 << 10;

  // The most that one body gets; 0: no limit.
  size_t most() const { return std::max(limit_ - limit_ / 8, std::min(limit_, kSmall)); }
  size_t used() const { return used_.load(std::memory_order_relaxed); }

 private:
  friend class BodyLease;
  bool Take(size_t bytes, bool small);

  const size_t limit_;
  std::atomic<size_t> used_{0};
};

// What one body has of a budget; given back with it.
class BodyLease {
 public:
  BodyLease() = default;
  explicit BodyLease(std::shared_ptr<BodyBudget> budget) : budget_(std::move(budget)) {}
  ~BodyLease();
  BodyLease(BodyLease&& from) noexcept;
  BodyLease& operator=(BodyLease&& from) noexcept;

  // Takes what is missing to `bytes` in all. False, and nothing changes, if that is not left. A
  // lease without a budget takes anything.
  bool Raise(size_t bytes);

 private:
  std::shared_ptr<BodyBudget> budget_;
  size_t bytes_ = 0;
};

}  // namespace pelton
