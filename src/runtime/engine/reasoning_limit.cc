#include "runtime/engine/reasoning_limit.h"

#include <utility>

#include "base/check.h"

namespace pelton {

ReasoningLimit::ReasoningLimit(std::optional<ReasoningBudget> budget) : budget_(std::move(budget)) {
  if (!budget_) return;
  PELTON_CHECK(!budget_->end.empty() && !budget_->closing.empty(), "reasoning can be closed");
  state_ = !budget_->begin.empty() ? State::kBefore
           : budget_->tokens == 0  ? State::kClosing
                                   : State::kInside;
}

std::optional<int32_t> ReasoningLimit::Forced() const {
  if (state_ != State::kClosing) return std::nullopt;
  return budget_->closing[at_];
}

void ReasoningLimit::Advance(int32_t id) {
  switch (state_) {
    case State::kBefore:
      if (id != budget_->begin[at_]) {
        state_ = State::kAfter;  // an answer without reasoning
      } else if (++at_ == budget_->begin.size()) {
        at_ = 0;
        state_ = budget_->tokens == 0 ? State::kClosing : State::kInside;
      }
      return;
    case State::kInside:
      at_ = id == budget_->end[at_] ? at_ + 1 : id == budget_->end[0] ? 1 : 0;
      ++used_;
      if (at_ == budget_->end.size()) {
        state_ = State::kAfter;
      } else if (at_ == 0 && used_ >= budget_->tokens) {
        state_ = State::kClosing;  // not between two tokens of the mark
      }
      return;
    case State::kClosing:
      if (id == budget_->closing[at_]) {
        if (++at_ == budget_->closing.size()) state_ = State::kAfter;
      } else if (id == budget_->end.back()) {
        state_ = State::kAfter;  // the model did it
      } else {
        at_ = 0;
      }
      return;
    case State::kAfter:
      return;
  }
}

}  // namespace pelton
