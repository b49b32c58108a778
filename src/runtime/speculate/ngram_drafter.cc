#include "runtime/speculate/ngram_drafter.h"

#include <algorithm>

#include "runtime/speculate/draft_worth.h"

namespace pelton {
namespace {

constexpr size_t kLongestSearched = 16;  // a longer match is as good
constexpr float kLearn = 0.04f;          // weight of one guess in the moving share

}  // namespace

size_t NgramDrafter::LengthIndex(size_t match) {
  if (match <= 2) return 0;
  if (match <= 4) return 1;
  if (match <= 8) return 2;
  return match <= 16 ? 3 : 4;
}

void NgramDrafter::Advance(std::span<const int32_t> tokens) {
  if (source_ > 0 && source_ + 1 < tokens.size()) {
    const bool right = tokens[source_] == tokens.back();
    float& share = right_[LengthIndex(match_)];
    share += kLearn * ((right ? 1.0f : 0.0f) - share);
    if (right) {
      ++source_;
      ++match_;
      return;
    }
  }
  Search(tokens);
}

void NgramDrafter::Search(std::span<const int32_t> tokens) {
  source_ = match_ = 0;
  const size_t size = tokens.size();
  if (size < kLeastMatch + 1) return;
  const int32_t last = tokens[size - 1], before = tokens[size - 2];
  const size_t end = size > kMaxLookBack ? size - kMaxLookBack : 1;
  // The newest of the longest matches.
  for (size_t i = size - 2; i >= end; --i) {
    if (tokens[i] != last || tokens[i - 1] != before) continue;
    size_t match = kLeastMatch;
    while (match < kLongestSearched && match <= i &&
           tokens[i - match] == tokens[size - 1 - match]) {
      ++match;
    }
    if (match <= match_) continue;
    match_ = match;
    source_ = i + 1;
    if (match == kLongestSearched) return;
  }
}

size_t NgramDrafter::WorthDrafting(std::span<const int32_t> tokens, const StepCost& cost,
                                   const StepShape& decoding) const {
  if (source_ == 0) return 0;
  const double least = LeastProbability(tokens.size(), cost, decoding);
  const size_t most = std::min(kMaxDrafts, tokens.size() - source_);
  double probability = 1;
  for (size_t count = 0; count < most; ++count) {
    probability *= static_cast<double>(right_[LengthIndex(match_ + count)]);
    if (probability < least) return count;
  }
  return most;
}

}  // namespace pelton
