#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "runtime/schedule/step_cost.h"

namespace pelton {

// Guesses how one sequence goes on. Guesses ride in the next step as further rows, and are right as
// far as the model chooses the same tokens. Whatever a drafter guesses, the output is the plain
// one; a bad one costs time only. It watches each token that comes, so that it knows how often its
// guesses are right, and drafts nothing where that does not pay. No allocation; engine thread only.
class Drafter {
 public:
  virtual ~Drafter() = default;

  // A token was added to `tokens`, which hold prompt and output. Requires: between calls exactly
  // one token was added.
  virtual void Advance(std::span<const int32_t> tokens) = 0;

  // How many guesses at what follows `tokens` are worth a row of the next step each: those whose
  // probability, times what a token takes in `decoding` (the step without them), exceeds what one
  // more row at the sequence's end costs. 0 while costs are unknown.
  virtual size_t WorthDrafting(std::span<const int32_t> tokens, const StepCost& cost,
                               const StepShape& decoding) const = 0;

  // The next `count` guesses, valid until the next call that is not const.
  // Requires: WorthDrafting allowed that many.
  virtual std::span<const int32_t> Drafts(std::span<const int32_t> tokens, size_t count) const = 0;
};

}  // namespace pelton
