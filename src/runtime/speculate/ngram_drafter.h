#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "runtime/speculate/drafter.h"

namespace pelton {

// Guesses how a sequence goes on: as it did after the last time that its latest tokens stood in
// prompt or output ("prompt lookup"). Each token that comes is compared with the guess, whether or
// not the guess was computed, so that the drafter knows how often it is right, by the length of
// what matched, at no cost of a step. No allocation; engine thread only.
class NgramDrafter final : public Drafter {
 public:
  static constexpr size_t kMaxDrafts = 16;
  static constexpr size_t kLeastMatch = 2;       // tokens that must have stood there before
  static constexpr size_t kMaxLookBack = 32768;  // tokens that are searched

  // O(1) while the guesses are right, else O(kMaxLookBack).
  void Advance(std::span<const int32_t> tokens) override;
  // At most kMaxDrafts.
  size_t WorthDrafting(std::span<const int32_t> tokens, const StepCost& cost,
                       const StepShape& decoding) const override;
  // A part of `tokens`.
  std::span<const int32_t> Drafts(std::span<const int32_t> tokens, size_t count) const override {
    return tokens.subspan(source_, count);
  }

 private:
  static constexpr size_t kNumLengths = 5;
  static size_t LengthIndex(size_t match);
  void Search(std::span<const int32_t> tokens);

  size_t source_ = 0;  // where the guess for the next token stands; 0: there is none
  size_t match_ = 0;   // equal tokens before it and before the end
  // Share of guesses that were right, by the length of the match. The priors are low, so that a
  // text has to show that it repeats.
  std::array<float, kNumLengths> right_ = {0.15f, 0.3f, 0.5f, 0.65f, 0.8f};
};

}  // namespace pelton
