#include "runtime/engine/constrained_output.h"

#include <algorithm>

#include "base/checked_math.h"

namespace pelton {

namespace {
constexpr double kLearn = 0.05;  // weight of one guess in the moving share
}

void ConstrainedOutput::Reserve(size_t vocab_size, bool foresee) {
  if (!constrained()) return;
  foresee_ = foresee;
  words_ = DivUp(vocab_size, size_t{32});
  masks_.resize(words_ * (foresee ? 1 + kMaxGuesses : 1));
}

void ConstrainedOutput::Fill() {
  at_ = 0;
  num_masks_ = 1;
  sound_ = constraint_->FillMask(Mask(0));
  if (!sound_ || !foresee_) return;
  const size_t count = constraint_->Foresee(Mask(0), guesses_);
  for (; num_masks_ <= count; ++num_masks_) {
    const auto guess = static_cast<size_t>(guesses_[num_masks_ - 1]);
    const bool allowed = (Mask(num_masks_ - 1)[guess / 32] >> guess % 32 & 1) != 0;
    if (!allowed || !constraint_->Accept(static_cast<int32_t>(guess))) break;
    if (!constraint_->FillMask(Mask(num_masks_))) {
      constraint_->Retract(1);
      break;
    }
  }
  constraint_->Retract(num_masks_ - 1);
}

bool ConstrainedOutput::Accept(int32_t id) {
  if (at_ + 1 < num_masks_) {
    const bool right = guesses_[at_] == id;
    right_ += kLearn * ((right ? 1.0 : 0.0) - right_);
    at_ = right ? at_ + 1 : num_masks_;
  } else {
    at_ = num_masks_;
  }
  sound_ = constraint_->Accept(id);
  return sound_;
}

bool ConstrainedOutput::IsExhausted() const {
  const auto mask = std::span(masks_).subspan(at_ * words_, words_);
  return std::ranges::all_of(mask, [](uint32_t word) { return word == 0; });
}

}  // namespace pelton
