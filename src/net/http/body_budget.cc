#include "net/http/body_budget.h"

namespace pelton {

bool BodyBudget::Take(size_t bytes, bool small) {
  const size_t limit = small ? limit_ : most();
  size_t used = used_.load(std::memory_order_relaxed);
  do {
    if (limit_ > 0 && (used > limit || bytes > limit - used)) return false;
  } while (!used_.compare_exchange_weak(used, used + bytes, std::memory_order_relaxed));
  return true;
}

BodyLease::~BodyLease() {
  if (budget_ != nullptr) budget_->used_.fetch_sub(bytes_, std::memory_order_relaxed);
}

BodyLease::BodyLease(BodyLease&& from) noexcept
    : budget_(std::move(from.budget_)), bytes_(std::exchange(from.bytes_, 0)) {}

BodyLease& BodyLease::operator=(BodyLease&& from) noexcept {
  BodyLease old(std::move(*this));
  budget_ = std::move(from.budget_);
  bytes_ = std::exchange(from.bytes_, 0);
  return *this;
}

bool BodyLease::Raise(size_t bytes) {
  if (budget_ == nullptr || bytes <= bytes_) return true;
  if (!budget_->Take(bytes - bytes_, bytes <= BodyBudget::kSmall)) return false;
  bytes_ = bytes;
  return true;
}

}  // namespace pelton
