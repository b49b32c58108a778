#include "runtime/speculate/model_drafter.h"

#include <algorithm>

namespace pelton {
namespace {

constexpr float kLearnOwn = 0.08f;     // weight of one guess in a sequence's moving share
constexpr float kLearnRecord = 0.02f;  // and in that of all sequences
constexpr size_t kTrials = 4;          // guesses in a row that tell whether drafting pays by now
constexpr size_t kFirstPause = 64;     // tokens between trials; doubled each time
constexpr size_t kLongestPause = 1024;
constexpr size_t kLongerEvery = 64;  // asks for one guess more than pays, to learn of later places
constexpr float kRarelyWorth = 0.1f;
constexpr size_t kTryEvery = 8;  // of the sequences that begin while drafting does not pay

}  // namespace

void ModelDrafter::Begin(DraftRecord& record) {
  record_ = &record;
  right_ = record.right;
  next_pause_ = kFirstPause;
  trials_ = kTrials;
  if (record.worth < kRarelyWorth && ++record.begun_idle % kTryEvery != 0) pause_ = kLongestPause;
}

void ModelDrafter::Advance(std::span<const int32_t> tokens) {
  if (pause_ > 0) --pause_;
  if (at_ == num_guesses_) return;
  const bool right = guesses_[at_] == tokens.back();
  const float score = right ? 1.0f : 0.0f;
  right_[at_] += kLearnOwn * (score - right_[at_]);
  if (record_ != nullptr) record_->right[at_] += kLearnRecord * (score - record_->right[at_]);
  at_ = right ? at_ + 1 : num_guesses_;
}

size_t ModelDrafter::WorthDrafting(std::span<const int32_t> tokens, const StepCost& cost,
                                   const StepShape& decoding) const {
  if (at_ == num_guesses_) return 0;
  const double least = LeastProbability(tokens.size(), cost, decoding);
  double probability = 1;
  for (size_t count = 0; at_ + count < num_guesses_; ++count) {
    probability *= static_cast<double>(right_[at_ + count]);
    if (probability < least) return count;
  }
  return num_guesses_ - at_;
}

std::span<const int32_t> ModelDrafter::Drafts(std::span<const int32_t>, size_t count) const {
  return std::span(guesses_).subspan(at_, count);
}

size_t ModelDrafter::Wanted(const DraftCosts& costs, size_t position, size_t most) {
  most = std::min(most, kMaxGuesses);
  if (pause_ > 0 || most == 0) return 0;
  if (!costs.known()) return 1;  // passes tell what passes cost
  const size_t worth = GuessesWorth(right_, costs, position, most);
  if (record_ != nullptr) {
    record_->worth += kLearnRecord * ((worth > 0 ? 1.0f : 0.0f) - record_->worth);
  }
  if (worth > 0) {
    next_pause_ = kFirstPause;
    trials_ = kTrials;
    return ++asked_ % kLongerEvery == 0 ? std::min(worth + 1, most) : worth;
  }
  if (trials_ > 0) {
    --trials_;
    return 1;
  }
  pause_ = next_pause_;
  next_pause_ = std::min(2 * next_pause_, kLongestPause);
  trials_ = kTrials;
  return 0;
}

void ModelDrafter::SetGuesses(std::span<const int32_t> guesses) {
  std::ranges::copy(guesses, guesses_.begin());
  at_ = 0;
  num_guesses_ = guesses.size();
}

}  // namespace pelton
