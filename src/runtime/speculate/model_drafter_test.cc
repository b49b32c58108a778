#include "runtime/speculate/model_drafter.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace pelton {
namespace {

// A main model that reads weights for most of a step, as one of decoding.
constexpr StepCost kStep = {.fixed_ns = 9e6, .decode_row_ns = 1e6};

StepShape RowsOf(size_t count) {
  StepShape shape;
  for (size_t i = 0; i < count; ++i) shape.Add(0, 1, true);
  return shape;
}

// Decodes with a draft model that is right with probability `agreement`, as the engine does:
// guesses are checked in the next step, and whatever is decided takes its simulated time.
struct Simulation {
  StepCost step = kStep;
  StepCost pass = {.fixed_ns = 3e5, .decode_row_ns = 1e5};
  double agreement = 1;
  size_t most = 3;
  DraftRecord record = {};
  std::mt19937 random{7};
  double with_ns = 0, without_ns = 0;
  size_t checked = 0, accepted = 0;

  void Decode(size_t tokens) {
    const StepShape one = RowsOf(1);
    const DraftCosts costs = {.step = step, .pass = pass, .decoding = one};
    ModelDrafter drafter;
    drafter.Begin(record);
    std::vector<int32_t> text = {1};
    while (text.size() < tokens) {
      const size_t drafts = drafter.WorthDrafting(text, step, one);
      with_ns += step.Of(RowsOf(1 + drafts));
      checked += drafts;
      const std::vector<int32_t> guesses(drafter.Drafts(text, drafts).begin(),
                                         drafter.Drafts(text, drafts).end());
      for (size_t i = 0;; ++i) {
        // The true next token: what was or would be guessed, or another.
        const auto next = static_cast<int32_t>(text.size() * 2);
        text.push_back(next);
        without_ns += step.Of(one);
        drafter.Advance(text);
        if (i == guesses.size() || guesses[i] != next) break;
        ++accepted;
      }
      const bool follows = drafter.Follows(costs);
      const size_t wanted = drafter.Wanted(costs, text.size(), most);
      if (follows) with_ns += pass.Of(one) * static_cast<double>(std::max<size_t>(wanted, 1));
      if (wanted == 0) continue;
      std::vector<int32_t> made;
      for (size_t i = 0; i < wanted; ++i) {
        const bool right = std::uniform_real_distribution<double>()(random) < agreement;
        made.push_back(static_cast<int32_t>((text.size() + i) * 2) + (right ? 0 : 1));
      }
      drafter.SetGuesses(made);
    }
  }
  double speedup() const { return without_ns / with_ns; }
};

// Tokens of a step with k guesses that are right with probability p each, over its time.
double Predicted(const Simulation& s, size_t k) {
  double tokens = 1, probability = 1;
  for (size_t i = 0; i < k; ++i) tokens += probability *= s.agreement;
  const double time = s.step.Of(RowsOf(1 + k)) + static_cast<double>(k) * s.pass.Of(RowsOf(1));
  return tokens * s.step.Of(RowsOf(1)) / time;
}

TEST(ModelDrafter, AlwaysRightIsAsFastAsPredicted) {
  Simulation s{.agreement = 1};
  for (int i = 0; i < 20; ++i) s.Decode(400);
  EXPECT_EQ(s.accepted, s.checked);
  EXPECT_GT(s.speedup(), 0.97 * Predicted(s, 3));
  EXPECT_GT(s.speedup(), 2.5);
}

TEST(ModelDrafter, HalfRightIsAsFastAsPredicted) {
  Simulation s{.agreement = 0.5};
  for (int i = 0; i < 20; ++i) s.Decode(400);
  const double best = std::max({Predicted(s, 1), Predicted(s, 2), Predicted(s, 3)});
  EXPECT_GT(s.speedup(), 0.93 * best);
  EXPECT_GT(s.speedup(), 1.2);
}

TEST(ModelDrafter, NeverRightCostsNextToNothing) {
  // Passes of 2, 4 and 25 % of a step, long and short answers.
  for (const double pass_ns : {2e5, 4e5, 2.5e6}) {
    for (const size_t tokens : {60, 1000}) {
      Simulation s{.pass = {.fixed_ns = pass_ns}, .agreement = 0};
      for (size_t total = 0; total < 20000; total += tokens) s.Decode(tokens);
      EXPECT_EQ(s.accepted, 0u);
      EXPECT_GT(s.speedup(), 0.97) << pass_ns << " ns a pass, " << tokens << " tokens";
    }
  }
}

TEST(ModelDrafter, DearRowsAreNotDrafted) {
  // Where a step is as long as its rows are many, even right guesses gain nothing.
  Simulation s{.step = {.fixed_ns = 2e5, .decode_row_ns = 9.8e6}, .agreement = 0.8};
  for (int i = 0; i < 20; ++i) s.Decode(400);
  EXPECT_GT(s.speedup(), 0.97);
}

TEST(ModelDrafter, FindsBackWhenGuessesTurnRight) {
  Simulation s{.agreement = 0};
  for (int i = 0; i < 5; ++i) s.Decode(1000);
  s.agreement = 1;
  for (int i = 0; i < 60; ++i) s.Decode(1000);
  s.with_ns = s.without_ns = 0;
  for (int i = 0; i < 5; ++i) s.Decode(1000);
  EXPECT_GT(s.speedup(), 2);
}

TEST(ModelDrafter, AsksForOneGuessWhileCostsAreUnknown) {
  ModelDrafter drafter;
  DraftRecord record;
  drafter.Begin(record);
  EXPECT_EQ(drafter.Wanted({.step = kStep, .pass = {}, .decoding = RowsOf(1)}, 5, 3), 1u);
  drafter.SetGuesses(std::vector<int32_t>{9});
  const std::vector<int32_t> text = {1, 2};
  EXPECT_EQ(drafter.WorthDrafting(text, {}, RowsOf(1)), 0u) << "nobody knows what a row costs";
  EXPECT_EQ(drafter.WorthDrafting(text, kStep, RowsOf(1)), 1u);
  EXPECT_EQ(drafter.Drafts(text, 1)[0], 9);
}

TEST(ModelDrafter, GuessesAreForgottenAfterAWrongOne) {
  ModelDrafter drafter;
  DraftRecord record;
  drafter.Begin(record);
  drafter.SetGuesses(std::vector<int32_t>{3, 4, 5});
  std::vector<int32_t> text = {1, 2, 3};
  drafter.Advance(text);
  const StepCost free_rows = {.fixed_ns = 1e6};
  EXPECT_EQ(drafter.WorthDrafting(text, free_rows, RowsOf(1)), 2u);
  EXPECT_EQ(drafter.Drafts(text, 2)[0], 4);
  text.push_back(7);
  drafter.Advance(text);
  EXPECT_EQ(drafter.WorthDrafting(text, free_rows, RowsOf(1)), 0u);
}

}  // namespace
}  // namespace pelton
