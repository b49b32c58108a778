#pragma once

#include <cstddef>

#include "runtime/schedule/step_cost.h"

namespace pelton {

// How likely a guess for the token after the first `position` must be for a row of the next step:
// what one more row costs, as a share of what a token takes in `decoding`, the step without it.
// Above 1, so that nothing is worth it, while costs are unknown.
inline double LeastProbability(size_t position, const StepCost& cost, const StepShape& decoding) {
  constexpr double kMargin = 1.15;  // a draft must pay more than it costs
  if (decoding.decode_rows == 0 || !cost.known()) return 2;
  const double token_ns = cost.Of(decoding) / static_cast<double>(decoding.decode_rows);
  StepShape row;
  row.Add(position, 1, true);
  StepCost marginal = cost;
  marginal.fixed_ns = 0;
  return kMargin * marginal.Of(row) / token_ns;
}

}  // namespace pelton
