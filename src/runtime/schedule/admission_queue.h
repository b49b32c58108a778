#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "runtime/schedule/step_plan.h"

namespace pelton {

// Hands waiting sequences out in the order in which they are to be admitted: the most urgent class
// first (as aged by the time that it waits), in it the tenant that was served least, in that the
// oldest. A sequence that was handed out counts as if its tenant had been given its prompt. Those
// whose deadline has passed are left out.
class AdmissionQueue {
 public:
  // Borrows everything; `served` is scratch.
  AdmissionQueue(const ScheduleState& state, const ClassPolicies& policies, int64_t now_ns,
                 std::vector<double>& served);

  // The next one; `before` holds those that were handed out. O(waiting).
  std::optional<size_t> Next(std::span<const size_t> before);

 private:
  const ScheduleState& state_;
  const ClassPolicies& policies_;
  const int64_t now_ns_;
  std::vector<double>& served_;
};

}  // namespace pelton
