#include "runtime/speculate/ngram_drafter.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace pelton {
namespace {

// A row more costs a tenth of a step.
constexpr StepCost kCheapRows = {.fixed_ns = 9e6, .decode_row_ns = 1e6};
constexpr StepCost kDearRows = {.fixed_ns = 1e6, .decode_row_ns = 9e6};

StepShape OneRow() {
  StepShape shape;
  shape.Add(0, 1, true);
  return shape;
}

struct Text {
  std::vector<int32_t> tokens;
  NgramDrafter drafter;
  void Add(int32_t id) {
    tokens.push_back(id);
    drafter.Advance(tokens);
  }
  size_t Worth(const StepCost& cost) const { return drafter.WorthDrafting(tokens, cost, OneRow()); }
};

TEST(NgramDrafter, GuessesWhatFollowedBefore) {
  Text text;
  for (const int32_t id : {1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2}) text.Add(id);
  const size_t worth = text.Worth(kCheapRows);
  ASSERT_GT(worth, 0u);
  EXPECT_EQ(text.drafter.Drafts(text.tokens, worth)[0], 3);
  // The longest match counts before the newest.
  Text other;
  for (const int32_t id : {1, 2, 3, 40, 9, 2, 3, 50, 8, 1, 2, 3}) other.Add(id);
  ASSERT_GT(other.Worth(kCheapRows), 0u);
  EXPECT_EQ(other.drafter.Drafts(other.tokens, 1)[0], 40);
}

TEST(NgramDrafter, DraftsAsMuchAsPays) {
  Text text;
  for (int round = 0; round < 10; ++round) {
    for (int32_t id = 0; id < 30; ++id) text.Add(id);
  }
  EXPECT_EQ(text.Worth(kCheapRows), NgramDrafter::kMaxDrafts);
  EXPECT_EQ(text.Worth({}), 0u) << "nobody knows what it costs";
  // A row for nine tenths of a step only pays at once, not beside others that share its step.
  EXPECT_EQ(text.Worth(kDearRows), 0u);
  const StepCost middle = {.fixed_ns = 5e6, .decode_row_ns = 5e6};
  EXPECT_GT(text.Worth(middle), 0u);
  StepShape crowded;
  for (size_t i = 0; i < 8; ++i) crowded.Add(0, 1, true);
  EXPECT_EQ(text.drafter.WorthDrafting(text.tokens, middle, crowded), 0u);
}

TEST(NgramDrafter, StopsWhereTheTextDoesNotRepeat) {
  std::mt19937 random(1);
  Text text;
  for (int i = 0; i < 3000; ++i) text.Add(static_cast<int32_t>(random() % 20));
  size_t drafted = 0;
  for (int i = 0; i < 200; ++i) {
    text.Add(static_cast<int32_t>(random() % 20));
    drafted += text.Worth(kCheapRows);
  }
  EXPECT_LT(drafted, 15u);
  for (int round = 0; round < 6; ++round) {
    for (int32_t id = 100; id < 140; ++id) text.Add(id);
  }
  EXPECT_GT(text.Worth(kCheapRows), 4u) << "it finds back by watching";
}

// Against the definition, on random texts of few symbols.
TEST(NgramDrafter, MatchesTheDefinition) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    std::vector<int32_t> tokens(40);
    for (int32_t& token : tokens) token = static_cast<int32_t>(random() % 3);
    NgramDrafter drafter;  // one call: it searches
    drafter.Advance(tokens);
    size_t best = 0, source = 0;
    for (size_t i = tokens.size() - 2; i > 0; --i) {
      size_t match = 0;
      while (match < 16 && match <= i && tokens[i - match] == tokens[tokens.size() - 1 - match]) {
        ++match;
      }
      if (match >= 2 && match > best) {
        best = match;
        source = i + 1;
      }
    }
    const size_t worth = drafter.WorthDrafting(tokens, {.fixed_ns = 1e6}, OneRow());
    ASSERT_EQ(worth > 0, best > 0);
    if (best > 0) {
      EXPECT_EQ(drafter.Drafts(tokens, 1)[0], tokens[source]);
    }
  }
}

}  // namespace
}  // namespace pelton
