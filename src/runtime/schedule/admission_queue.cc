#include "runtime/schedule/admission_queue.h"

#include <algorithm>

namespace pelton {

AdmissionQueue::AdmissionQueue(const ScheduleState& state, const ClassPolicies& policies,
                               int64_t now_ns, std::vector<double>& served)
    : state_(state), policies_(policies), now_ns_(now_ns), served_(served) {
  served_.clear();
  for (const TenantShare& share : state.tenants) served_.push_back(share.served);
  if (served_.empty()) served_.push_back(0);
}

std::optional<size_t> AdmissionQueue::Next(std::span<const size_t> before) {
  std::optional<size_t> best;
  ServiceClass best_class = ServiceClass::kBackground;
  for (size_t i = 0; i < state_.waiting.size(); ++i) {
    const SequenceView& s = state_.waiting[i];
    const ServiceClass aged = AgedClass(s.service_class, now_ns_ - s.since_ns, policies_);
    const bool better =
        !best || aged < best_class ||
        (aged == best_class && served_[s.tenant] < served_[state_.waiting[*best].tenant]);
    if (!better || now_ns_ > s.deadline_ns) continue;
    if (std::find(before.begin(), before.end(), i) != before.end()) continue;
    best = i;
    best_class = aged;
  }
  if (!best) return std::nullopt;
  const SequenceView& s = state_.waiting[*best];
  const double weight = state_.tenants.empty() ? 1 : state_.tenants[s.tenant].weight;
  served_[s.tenant] += TenantLedger::kPromptToken * static_cast<double>(s.known_tokens) / weight;
  return best;
}

}  // namespace pelton
