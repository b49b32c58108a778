#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "runtime/speculate/draft_worth.h"
#include "runtime/speculate/drafter.h"

namespace pelton {

// What all sequences together found about a draft model's guesses, so that a new one does not have
// to find it anew. Engine thread only.
struct DraftRecord {
  static constexpr size_t kMaxGuesses = 8;

  // Shares of right guesses by their place in a draft, where those before were right.
  std::array<float, kMaxGuesses> right = {0.6f, 0.55f, 0.5f, 0.45f, 0.45f, 0.4f, 0.4f, 0.4f};
  float worth = 1;        // share of the late decisions that were for drafting
  size_t begun_idle = 0;  // sequences that began while drafting did not pay
};

// The guesses that a draft model makes for one sequence, a pass after each step, and the decision
// whether to ask for them. Where guesses do not pay it asks for a few now and then only, after
// pauses that grow, and takes part in no pass between: so a draft model that never guesses right
// costs next to nothing.
class ModelDrafter final : public Drafter {
 public:
  static constexpr size_t kMaxGuesses = DraftRecord::kMaxGuesses;

  // Begins with what others found, and adds to it. The record is borrowed. Before all others.
  void Begin(DraftRecord& record);

  void Advance(std::span<const int32_t> tokens) override;
  size_t WorthDrafting(std::span<const int32_t> tokens, const StepCost& cost,
                       const StepShape& decoding) const override;
  std::span<const int32_t> Drafts(std::span<const int32_t> tokens, size_t count) const override;

  // How many guesses the model is to make, in as many passes, at most `most`; asked once for each
  // token or run of tokens. `position` is that of the first guess.
  size_t Wanted(const DraftCosts& costs, size_t position, size_t most);

  // Whether the model is to read the sequence's rows of a step at all: what it has not read is
  // missing in its K/V from then on. Where that costs next to nothing it always is.
  bool Follows(const DraftCosts& costs) const {
    return pause_ == 0 || costs.pass_share() < kNegligible;
  }

  // What the model guesses now; at most kMaxGuesses. Earlier guesses are forgotten.
  void SetGuesses(std::span<const int32_t> guesses);

 private:
  static constexpr double kNegligible = 0.02;  // of a token's time

  DraftRecord* record_ = nullptr;
  std::array<float, kMaxGuesses> right_ = {};  // as in the record, of this sequence
  std::array<int32_t, kMaxGuesses> guesses_ = {};
  size_t at_ = 0;  // the guess for the next token; those before it were right
  size_t num_guesses_ = 0;
  size_t pause_ = 0;       // tokens before it asks again
  size_t next_pause_ = 0;  // the pause after the guesses that are asked for on trial
  size_t trials_ = 0;      // that are left before that
  size_t asked_ = 0;
};

}  // namespace pelton
