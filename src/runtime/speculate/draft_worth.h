#pragma once

#include <cstddef>
#include <span>

#include "runtime/schedule/step_cost.h"

namespace pelton {

inline constexpr double kDraftMargin = 1.15;  // a draft must pay more than it costs

// Time of one more row at `position` in a step, ns.
inline double RowNs(size_t position, const StepCost& cost) {
  StepShape row;
  row.Add(position, 1, true);
  StepCost marginal = cost;
  marginal.fixed_ns = 0;
  return marginal.Of(row);
}

// How likely a guess for the token after the first `position` must be for a row of the next step:
// what one more row costs, as a share of what a token takes in `decoding`, the step without it.
// Above 1, so that nothing is worth it, while costs are unknown.
inline double LeastProbability(size_t position, const StepCost& cost, const StepShape& decoding) {
  if (decoding.decode_rows == 0 || !cost.known()) return 2;
  const double token_ns = cost.Of(decoding) / static_cast<double>(decoding.decode_rows);
  return kDraftMargin * RowNs(position, cost) / token_ns;
}

// What drafting with a model costs: its guesses take passes of their own beside the rows in which
// they are checked.
struct DraftCosts {
  StepCost step;       // of the main model
  StepCost pass;       // of the draft model, a guess for each sequence
  StepShape decoding;  // the next step without guesses

  bool known() const { return decoding.decode_rows > 0 && step.known() && pass.known(); }
  // What a sequence's token takes in that step, and its part of a pass, ns. Require: known().
  double token_ns() const { return step.Of(decoding) / static_cast<double>(decoding.decode_rows); }
  double pass_ns() const { return pass.Of(decoding) / static_cast<double>(decoding.decode_rows); }
  // A pass as a share of a step; 0 while unknown.
  double pass_share() const { return known() ? pass_ns() / token_ns() : 0; }
};

// How many guesses pay most, of which the i-th is right with probability right[i] if those before
// it are: their tokens for nothing, against a pass and a row of the next step each. At most `most`
// <= right.size(); 0: none pays. Requires: costs.known().
inline size_t GuessesWorth(std::span<const float> right, const DraftCosts& costs, size_t position,
                           size_t most) {
  const double token_ns = costs.token_ns();
  const double each_ns = kDraftMargin * (RowNs(position, costs.step) + costs.pass_ns());
  double probability = 1, gain_ns = 0, best_ns = 0;
  size_t best = 0;
  for (size_t i = 0; i < most; ++i) {
    probability *= static_cast<double>(right[i]);
    gain_ns += probability * token_ns - each_ns;
    if (gain_ns <= best_ns) continue;
    best_ns = gain_ns;
    best = i + 1;
  }
  return best;
}

}  // namespace pelton
