#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "runtime/sample/output_constraint.h"

namespace pelton {

// A request's constraint, if it has one, with the mask of the token that comes next and, where only
// one text may follow, the tokens that will most likely write it and the masks after each of them.
// Those are drafts: each is kept only if it is what the model chooses from the mask, so that the
// output is the one of single steps. One thread at a time.
class ConstrainedOutput {
 public:
  static constexpr size_t kMaxGuesses = 8;

  // Without a constraint it may only be asked for `constrained` and `guesses`.
  explicit ConstrainedOutput(std::unique_ptr<OutputConstraint> constraint)
      : constraint_(std::move(constraint)) {}
  // Reserves the masks. Before all others.
  void Reserve(size_t vocab_size, bool foresee);

  bool constrained() const { return constraint_ != nullptr; }

  // Makes the mask of the next token, and looks ahead. Requires: there is none yet.
  void Fill();
  bool filled() const { return at_ < num_masks_; }
  // False: the constraint is broken, or the masks of the tokens that were asked for are.
  bool sound() const { return sound_; }
  // Of the next token; the caller may add to it. Requires: filled.
  std::span<uint32_t> mask() { return Mask(at_); }

  // The guesses whose masks are there, after the next token's.
  std::span<const int32_t> guesses() const {
    return filled() ? std::span(guesses_).subspan(at_, num_masks_ - 1 - at_)
                    : std::span<const int32_t>();
  }
  // Share of guesses that were right, the latest counting most.
  double right() const { return right_; }

  // Goes on with a token; false if the constraint is broken.
  bool Accept(int32_t id);
  bool MayEnd() const { return constraint_->MayEnd(); }
  // Whether no token may follow. Requires: filled.
  bool IsExhausted() const;

 private:
  std::span<uint32_t> Mask(size_t i) { return std::span(masks_).subspan(i * words_, words_); }

  std::unique_ptr<OutputConstraint> constraint_;
  bool foresee_ = false;
  bool sound_ = true;
  size_t words_ = 0;                            // of one mask
  std::vector<uint32_t> masks_;                 // [1 + kMaxGuesses][words_]
  std::array<int32_t, kMaxGuesses> guesses_{};  // guess i comes before mask i + 1
  size_t at_ = 0;         // the next token's mask; the guesses before it were right
  size_t num_masks_ = 0;  // that are filled
  double right_ = 0.8;
};

}  // namespace pelton
