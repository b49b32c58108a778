#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace pelton {

// What a tenant was given, as the scheduler sees it.
struct TenantShare {
  double served = 0;  // weighted tokens so far, divided by the weight
  double weight = 1;  // of its share of what is contended for
};

// The virtual token counters that keep tenants fair: each computed prompt token counts one and each
// generated token two, divided by the tenant's weight; who has the smallest counter is next. A
// tenant that comes back from idleness starts at least at the smallest counter of those at work,
// so that nobody saves up. Source: Sheng et al. 2024, "Fairness in Serving Large Language Models",
// algorithm 2. One thread.
class TenantLedger {
 public:
  static constexpr double kPromptToken = 1;
  static constexpr double kOutputToken = 2;
  // Idle tenants whose counters are remembered; those served least go first.
  static constexpr size_t kMaxIdle = 1024;

  // A request of the tenant begins; the weight replaces an earlier one. Returns the tenant's place
  // in shares(), which stays until as many requests have left as entered. Requires: weight > 0.
  uint32_t Enter(std::string_view tenant, double weight);
  void Leave(uint32_t place);
  // Charges `cost`, in kPromptToken and kOutputToken.
  void Charge(uint32_t place, double cost) {
    shares_[place].served += cost / shares_[place].weight;
  }

  std::span<const TenantShare> shares() const { return shares_; }

 private:
  struct Account {
    std::string name;
    size_t requests = 0;
    bool used = false;
  };
  double LeastServedAtWork() const;
  void ForgetOneIdle();

  std::vector<TenantShare> shares_;
  std::vector<Account> accounts_;  // of shares_
  std::unordered_map<std::string, uint32_t> places_;
  std::vector<uint32_t> unused_;
  size_t num_idle_ = 0;
};

}  // namespace pelton
