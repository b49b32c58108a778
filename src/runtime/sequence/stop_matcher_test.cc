#include "runtime/sequence/stop_matcher.h"

#include <gtest/gtest.h>

#include <random>

namespace pelton {
namespace {

struct Outcome {
  std::string text;
  int matched;
  bool operator==(const Outcome&) const = default;
};

// The meaning in one line: for every end, from the front, is a stop string complete there?
Outcome Reference(const std::string& text, const std::vector<std::string>& stops) {
  for (size_t end = 1; end <= text.size(); ++end) {
    int best = -1;
    for (size_t i = 0; i < stops.size(); ++i) {
      const size_t n = stops[i].size();
      if (n <= end && text.compare(end - n, n, stops[i]) == 0 &&
          (best < 0 || n > stops[static_cast<size_t>(best)].size())) {
        best = static_cast<int>(i);
      }
    }
    if (best >= 0) return {text.substr(0, end - stops[static_cast<size_t>(best)].size()), best};
  }
  return {text, -1};
}

Outcome RunSplit(const std::string& text, const std::vector<std::string>& stops,
                 const std::vector<size_t>& cuts) {
  StopMatcher matcher(stops);
  std::string out;
  size_t begin = 0;
  for (const size_t cut : cuts) {
    if (matcher.Feed(std::string_view(text).substr(begin, cut - begin), true, out)) {
      return {out, matcher.matched()};
    }
    begin = cut;
  }
  if (!matcher.Feed(std::string_view(text).substr(begin), true, out)) matcher.Finish(out);
  return {out, matcher.matched()};
}

TEST(StopMatcher, MatchesAcrossPiecesAndDropsTheMatch) {
  const std::vector<std::string> stops = {"\n\nUser:"};
  StopMatcher matcher(stops);
  std::string out;
  EXPECT_FALSE(matcher.Feed("Paris.\n", true, out));
  EXPECT_EQ(out, "Paris.") << "the newline may begin the stop string";
  EXPECT_FALSE(matcher.Feed("\nUs", true, out));
  EXPECT_EQ(out, "Paris.");
  EXPECT_TRUE(matcher.Feed("er: hello", true, out));
  EXPECT_EQ(out, "Paris.");
  EXPECT_EQ(matcher.matched(), 0);
}

TEST(StopMatcher, ReleasesWhatTurnedOutToBeText) {
  StopMatcher matcher(std::vector<std::string>{"abc"});
  std::string out;
  EXPECT_FALSE(matcher.Feed("xab", true, out));
  EXPECT_EQ(out, "x");
  EXPECT_FALSE(matcher.Feed("abd", true, out));
  EXPECT_EQ(out, "xababd");
  EXPECT_FALSE(matcher.Feed("ab", true, out));
  matcher.Finish(out);
  EXPECT_EQ(out, "xababdab");
}

TEST(StopMatcher, CountsOnlyWhatEndsWhereItMayStop) {
  StopMatcher matcher(std::vector<std::string>{"aa", "ab"});
  std::string out;
  EXPECT_FALSE(matcher.Feed("aaa", false, out));
  EXPECT_EQ(out, "aa") << "the last a may still begin one";
  EXPECT_TRUE(matcher.Feed("b", true, out));
  EXPECT_EQ(out, "aa");
  EXPECT_EQ(matcher.matched(), 1);
}

TEST(StopMatcher, WithoutStopStringsEverythingPasses) {
  StopMatcher matcher({});
  std::string out;
  EXPECT_FALSE(matcher.Feed("any", true, out));
  EXPECT_EQ(out, "any");
}

TEST(StopMatcher, EverySplitGivesTheWholeTextsResult) {
  std::mt19937 random(7);
  const auto below = [&](size_t n) {
    return std::uniform_int_distribution<size_t>(0, n - 1)(random);
  };
  size_t matches = 0;
  for (int round = 0; round < 4000; ++round) {
    std::vector<std::string> stops(below(4));
    for (std::string& stop : stops) {
      for (size_t n = 1 + below(5); n > 0; --n) stop += static_cast<char>('a' + below(2));
    }
    std::string text;
    for (size_t n = below(20); n > 0; --n) text += static_cast<char>('a' + below(3));
    const Outcome want = Reference(text, stops);
    matches += want.matched >= 0;
    std::vector<size_t> cuts;
    for (size_t i = 0; i < text.size(); ++i) {
      if (below(2) == 0) cuts.push_back(i);
    }
    const Outcome got = RunSplit(text, stops, cuts);
    ASSERT_EQ(got.text, want.text) << text;
    if (want.matched >= 0) {
      ASSERT_EQ(stops[static_cast<size_t>(got.matched)], stops[static_cast<size_t>(want.matched)]);
    } else {
      ASSERT_EQ(got.matched, -1);
    }
  }
  EXPECT_GT(matches, 500u);
}

// A model's output is input from outside: no quadratic time on long repetitive text.
TEST(StopMatcher, LongRepetitiveTextIsLinear) {
  const std::vector<std::string> stops = {std::string(1023, 'a') + 'b'};
  StopMatcher matcher(stops);
  const std::string piece(1000, 'a');
  std::string out;
  for (int i = 0; i < 1000; ++i) ASSERT_FALSE(matcher.Feed(piece, true, out));
  EXPECT_EQ(out.size(), 1000000u - 1023u);
}

}  // namespace
}  // namespace pelton
