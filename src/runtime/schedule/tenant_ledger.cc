#include "runtime/schedule/tenant_ledger.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/check.h"

namespace pelton {

uint32_t TenantLedger::Enter(std::string_view tenant, double weight) {
  PELTON_CHECK(weight > 0, "a tenant has a share");
  const auto found = places_.find(std::string(tenant));
  uint32_t place;
  if (found != places_.end()) {
    place = found->second;
  } else {
    // Nothing has changed if memory ends on the way.
    Account account = {.name = std::string(tenant), .requests = 0, .used = true};
    if (unused_.empty()) {
      shares_.reserve(shares_.size() + 1);
      accounts_.reserve(accounts_.size() + 1);
      unused_.reserve(accounts_.size() + 1);  // ForgetOneIdle adds to it, too
      unused_.push_back(static_cast<uint32_t>(shares_.size()));
      shares_.emplace_back();
      accounts_.emplace_back();
    }
    place = unused_.back();
    places_.emplace(tenant, place);
    unused_.pop_back();
    shares_[place] = {};
    accounts_[place] = std::move(account);
    ++num_idle_;
  }
  if (accounts_[place].requests == 0) {
    shares_[place].served = std::max(shares_[place].served, LeastServedAtWork());
    --num_idle_;
  }
  ++accounts_[place].requests;
  shares_[place].weight = weight;
  return place;
}

void TenantLedger::Leave(uint32_t place) {
  PELTON_CHECK(accounts_[place].requests > 0, "who leaves has entered");
  if (--accounts_[place].requests > 0) return;
  ++num_idle_;
  if (num_idle_ > kMaxIdle) ForgetOneIdle();
}

double TenantLedger::LeastServedAtWork() const {
  double least = std::numeric_limits<double>::max();
  for (size_t i = 0; i < shares_.size(); ++i) {
    if (accounts_[i].requests > 0) least = std::min(least, shares_[i].served);
  }
  return least == std::numeric_limits<double>::max() ? 0 : least;
}

void TenantLedger::ForgetOneIdle() {
  size_t chosen = shares_.size();
  for (size_t i = 0; i < shares_.size(); ++i) {
    if (!accounts_[i].used || accounts_[i].requests > 0) continue;
    if (chosen == shares_.size() || shares_[i].served < shares_[chosen].served) chosen = i;
  }
  places_.erase(accounts_[chosen].name);
  accounts_[chosen] = {};
  unused_.push_back(static_cast<uint32_t>(chosen));
  --num_idle_;
}

}  // namespace pelton
