#include "runtime/engine/reasoning_limit.h"

#include <gtest/gtest.h>

namespace pelton {
namespace {

// The ids that an output gets from a model that wants to write `wishes`.
std::vector<int32_t> Write(ReasoningLimit limit, const std::vector<int32_t>& wishes) {
  std::vector<int32_t> out;
  for (const int32_t wish : wishes) {
    out.push_back(limit.Forced().value_or(wish));
    limit.Advance(out.back());
  }
  return out;
}

using Ids = std::vector<int32_t>;

TEST(ReasoningLimit, ClosesWhatIsTooLong) {
  const ReasoningBudget budget{.tokens = 3, .begin = {}, .end = {9}, .closing = {7, 9, 8}};
  EXPECT_EQ(Write(ReasoningLimit(budget), {1, 2, 3, 4, 5, 6, 1, 2}), (Ids{1, 2, 3, 7, 9, 8, 1, 2}));
  // It ended by itself, at the last moment.
  EXPECT_EQ(Write(ReasoningLimit(budget), {1, 2, 9, 4, 5, 6, 1, 2}), (Ids{1, 2, 9, 4, 5, 6, 1, 2}));
}

TEST(ReasoningLimit, ABudgetOfNothingClosesAtOnce) {
  EXPECT_EQ(Write(ReasoningLimit(ReasoningBudget{0, {}, {9}, {9}}), {1, 2}), (Ids{9, 2}));
  EXPECT_EQ(Write(ReasoningLimit(ReasoningBudget{0, {5}, {9}, {9}}), {5, 1, 2}), (Ids{5, 9, 2}));
}

TEST(ReasoningLimit, CountsFromTheMarkThatOpens) {
  const ReasoningBudget budget{.tokens = 2, .begin = {5, 6}, .end = {9}, .closing = {9}};
  EXPECT_EQ(Write(ReasoningLimit(budget), {5, 6, 1, 2, 3, 4}), (Ids{5, 6, 1, 2, 9, 4}));
  // Without it there is no reasoning, wherever the mark comes later.
  EXPECT_EQ(Write(ReasoningLimit(budget), {5, 1, 5, 6, 1, 2, 3}), (Ids{5, 1, 5, 6, 1, 2, 3}));
}

TEST(ReasoningLimit, LetsAMarkOfSeveralTokensEnd) {
  const ReasoningBudget budget{.tokens = 2, .begin = {}, .end = {8, 9}, .closing = {8, 9}};
  EXPECT_EQ(Write(ReasoningLimit(budget), {1, 8, 9, 3, 4}), (Ids{1, 8, 9, 3, 4}));
  EXPECT_EQ(Write(ReasoningLimit(budget), {1, 8, 3, 3, 3, 4}), (Ids{1, 8, 3, 8, 9, 4}));
  EXPECT_EQ(Write(ReasoningLimit(budget), {8, 8, 9, 3}), (Ids{8, 8, 9, 3}));
}

TEST(ReasoningLimit, AsksAgainForWhatWasNotAllowed) {
  ReasoningLimit limit(ReasoningBudget{.tokens = 0, .begin = {}, .end = {9}, .closing = {7, 9}});
  for (const int32_t id : {1, 7, 2, 7}) {
    EXPECT_TRUE(limit.Forced());
    limit.Advance(id);
  }
  EXPECT_EQ(limit.Forced(), 9);
  limit.Advance(9);
  EXPECT_FALSE(limit.Forced());
}

TEST(ReasoningLimit, ForcesNothingWithoutABudget) {
  EXPECT_EQ(Write(ReasoningLimit(std::nullopt), {1, 2, 3}), (Ids{1, 2, 3}));
}

}  // namespace
}  // namespace pelton
