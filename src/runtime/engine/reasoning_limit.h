#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace pelton {

// How long a model may reason, and how the reasoning is told from the rest of the output.
struct ReasoningBudget {
  size_t tokens;                 // of the reasoning, marks excluded
  std::vector<int32_t> begin;    // what opens it, at the start of the output; empty: the prompt did
  std::vector<int32_t> end;      // what closes it; not empty
  std::vector<int32_t> closing;  // what is written once the budget is used up; not empty
};

// Follows one output, and says which tokens must come where its reasoning has become too long.
// Engine thread only; no allocation after construction.
class ReasoningLimit {
 public:
  // Without a budget nothing is ever forced.
  explicit ReasoningLimit(std::optional<ReasoningBudget> budget);

  // The token that must come next, whatever the model says.
  std::optional<int32_t> Forced() const;

  // A token was added to the output. One that could not be forced is asked for again.
  void Advance(int32_t id);

 private:
  enum class State : uint8_t { kBefore, kInside, kClosing, kAfter };

  std::optional<ReasoningBudget> budget_;
  State state_ = State::kAfter;
  size_t at_ = 0;    // in `begin`, `end` or `closing`: what of it has come
  size_t used_ = 0;  // tokens of the reasoning
};

}  // namespace pelton
