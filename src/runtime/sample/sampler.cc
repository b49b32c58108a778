#include "runtime/sample/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "base/checked_math.h"
#include "runtime/sample/philox.h"
#include "runtime/sample/row_scan.h"

namespace pelton {
namespace {

constexpr size_t kChunk = 1024;  // tokens per partial sum when drawing from the whole vocabulary
constexpr float kLowestTemperature = 1e-3f;  // below, one logit of difference is e^-1000 and less

std::span<const int32_t> PenaltyWindow(std::span<const int32_t> tokens, int32_t window) {
  if (window < 0) return tokens;
  return tokens.last(std::min(tokens.size(), static_cast<size_t>(window)));
}

}  // namespace

Sampler::Sampler(size_t vocab_size, size_t max_tokens) : counts_(vocab_size) {
  candidates_.reserve(vocab_size);
  typical_.reserve(vocab_size);
  changes_.reserve(SamplingParams::kMaxLogitBiases + std::min(max_tokens, vocab_size) +
                   kMaxForbidden);
  chunk_sums_.resize(DivUp(vocab_size, kChunk));
}

std::optional<int32_t> Sampler::Sample(const SampleArgs& args) {
  PELTON_CHECK(args.logits.size() == counts_.size(), "a row of logits covers the vocabulary");
  bool sound = ApplyChanges(args);
  if (!args.allowed.empty()) {
    PELTON_CHECK(args.allowed.size() * 32 >= args.logits.size(), "a mask covers the vocabulary");
    unmasked_.assign(args.logits.begin(), args.logits.end());
    // The mask would hide what is wrong with a logit.
    sound &= FiniteMax(args.logits).has_value();
    ApplyMask(args.allowed, args.logits);
  }
  const std::optional<float> max = FiniteMax(args.logits);
  std::optional<int32_t> id;
  if (sound && max) {
    const bool greedy = args.params.temperature < kLowestTemperature;
    id = greedy ? FirstEqual(args.logits, *max) : Draw(args, *max);
  }
  if (!args.allowed.empty()) std::ranges::copy(unmasked_, args.logits.begin());
  UndoChanges(args.logits);
  return id;
}

std::optional<Sampler::RowLogprobs> Sampler::Logprobs(std::span<const float> row, int32_t id,
                                                      std::span<TokenLogprob> top) {
  const std::optional<float> max = FiniteMax(row);
  if (!max) return std::nullopt;
  const double log_sum = std::log(SumExp(row, *max, 1.0f, -kInfinity));
  const auto logprob = [&](float logit) {
    return static_cast<float>(static_cast<double>(logit) - static_cast<double>(*max) - log_sum);
  };
  candidates_.clear();
  if (!top.empty()) SelectTop(row, top.size(), candidates_);
  for (size_t i = 0; i < candidates_.size(); ++i) {
    top[i] = {candidates_[i].id, logprob(candidates_[i].logit)};
  }
  return RowLogprobs{logprob(row[static_cast<size_t>(id)]), candidates_.size()};
}

void Sampler::Set(std::span<float> logits, int32_t id, float logit) {
  float& place = logits[static_cast<size_t>(id)];
  changes_.push_back({id, place});
  place = logit;
}

bool Sampler::ApplyChanges(const SampleArgs& args) {
  changes_.clear();
  for (const LogitBias& entry : args.params.logit_bias) {
    Set(args.logits, entry.id, args.logits[static_cast<size_t>(entry.id)] + entry.bias);
  }
  ApplyPenalties(args);
  bool sound = true;
  for (const int32_t id : args.forbidden) {
    sound &= args.logits[static_cast<size_t>(id)] < kInfinity;
    Set(args.logits, id, -kInfinity);
  }
  return sound;
}

void Sampler::ApplyPenalties(const SampleArgs& args) {
  const SamplingParams& params = args.params;
  if (params.repetition_penalty == 1 && params.presence_penalty == 0 &&
      params.frequency_penalty == 0) {
    return;
  }
  const std::span<const int32_t> seen = PenaltyWindow(args.tokens, params.penalty_window);
  for (const int32_t id : seen) ++counts_[static_cast<size_t>(id)];
  for (const int32_t id : seen) {
    uint32_t& count = counts_[static_cast<size_t>(id)];
    if (count == 0) continue;  // done at its first mention
    float logit = args.logits[static_cast<size_t>(id)];
    logit = logit > 0 ? logit / params.repetition_penalty : logit * params.repetition_penalty;
    logit -= static_cast<float>(count) * params.frequency_penalty + params.presence_penalty;
    Set(args.logits, id, logit);
    count = 0;
  }
}

void Sampler::UndoChanges(std::span<float> logits) {
  for (size_t i = changes_.size(); i > 0; --i) {
    logits[static_cast<size_t>(changes_[i - 1].id)] = changes_[i - 1].old_logit;
  }
}

int32_t Sampler::Draw(const SampleArgs& args, float max) {
  const SamplingParams& params = args.params;
  const std::span<const float> row = args.logits;
  const double uniform = UniformAt(args.seed, args.tokens.size());
  const bool top_k = params.top_k > 0 && params.top_k < row.size();
  const bool typical = params.typical_p < 1;
  const bool top_p = params.top_p < 1;
  if (!top_k && !typical && !top_p) return DrawByIds(args, max, uniform);

  if (top_k || typical) {
    if (top_k) {
      SelectTop(row, params.top_k, candidates_);
    } else {
      TakeAll(row);
    }
    if (typical) KeepTypical(max, params.typical_p);
    if (top_p) KeepNucleus(CandidateSum(candidates_.front().logit), params.top_p);
  } else {
    SelectNucleus(row, max, params.top_p);
  }
  if (params.min_p > 0) KeepAboveMinP(params.min_p);

  const float best = candidates_.front().logit;
  const auto weight = [&](const Candidate& candidate) {
    return static_cast<double>(ExpNonPositive((candidate.logit - best) / params.temperature));
  };
  double total = 0;
  for (const Candidate& candidate : candidates_) total += weight(candidate);
  const double target = uniform * total;
  double cumulative = 0;
  for (const Candidate& candidate : candidates_) {
    cumulative += weight(candidate);
    if (cumulative > target) return candidate.id;
  }
  return candidates_.front().id;  // unreachable but for rounding: target < total
}

int32_t Sampler::DrawByIds(const SampleArgs& args, float max, double uniform) {
  const std::span<const float> row = args.logits;
  const float scale = 1.0f / args.params.temperature;
  const float floor = args.params.min_p > 0 ? max + std::log(args.params.min_p) : -kInfinity;
  double total = 0;
  for (size_t chunk = 0; chunk < chunk_sums_.size(); ++chunk) {
    const size_t begin = chunk * kChunk;
    chunk_sums_[chunk] =
        SumExp(row.subspan(begin, std::min(kChunk, row.size() - begin)), max, scale, floor);
    total += chunk_sums_[chunk];
  }
  double target = uniform * total;
  int32_t last_possible = FirstEqual(row, max);  // for when rounding runs past the end
  for (size_t chunk = 0; chunk < chunk_sums_.size(); ++chunk) {
    if (target >= chunk_sums_[chunk]) {
      target -= chunk_sums_[chunk];
      continue;
    }
    const size_t end = std::min(row.size(), (chunk + 1) * kChunk);
    double cumulative = 0;
    for (size_t i = chunk * kChunk; i < end; ++i) {
      if (!(row[i] >= floor)) continue;
      const double weight = static_cast<double>(ExpNonPositive(scale * (row[i] - max)));
      if (weight == 0) continue;
      cumulative += weight;
      last_possible = static_cast<int32_t>(i);
      if (cumulative > target) return last_possible;
    }
    return last_possible;
  }
  return last_possible;
}

void Sampler::TakeAll(std::span<const float> row) {
  candidates_.clear();
  for (size_t i = 0; i < row.size(); ++i) {
    if (row[i] > -kInfinity) candidates_.push_back({row[i], static_cast<int32_t>(i)});
  }
}

double Sampler::CandidateSum(float best) const {
  double sum = 0;
  for (const Candidate& candidate : candidates_) {
    sum += static_cast<double>(ExpNonPositive(candidate.logit - best));
  }
  return sum;
}

void Sampler::SelectNucleus(std::span<const float> row, float max, float top_p) {
  const double total = SumExp(row, max, 1.0f, -kInfinity);
  // Most nuclei are small; each attempt costs one quick pass over the row.
  for (size_t count = 64;; count *= 8) {
    count = std::min(count, row.size());
    SelectTop(row, count, candidates_);
    if (count == row.size() || candidates_.size() < count ||
        CandidateSum(max) >= static_cast<double>(top_p) * total) {
      return KeepNucleus(total, top_p);
    }
  }
}

void Sampler::KeepNucleus(double total, float top_p) {
  const float best = candidates_.front().logit;
  const double target = static_cast<double>(top_p) * total;
  double cumulative = 0;
  for (size_t i = 0; i < candidates_.size(); ++i) {
    cumulative += static_cast<double>(ExpNonPositive(candidates_[i].logit - best));
    if (cumulative >= target) {
      candidates_.resize(i + 1);
      return;
    }
  }
}

// Source: Meister, Pimentel, Wiher & Cotterell 2023, "Locally typical sampling".
void Sampler::KeepTypical(float best, float typical_p) {
  const double total = CandidateSum(best);
  const double log_total = std::log(total);
  double entropy = 0;
  for (const Candidate& candidate : candidates_) {
    const double p = static_cast<double>(ExpNonPositive(candidate.logit - best)) / total;
    if (p > 0) entropy -= p * (static_cast<double>(candidate.logit - best) - log_total);
  }
  typical_.clear();
  for (const Candidate& candidate : candidates_) {
    const double information = log_total - static_cast<double>(candidate.logit - best);
    typical_.push_back({static_cast<float>(std::abs(information - entropy)), candidate});
  }
  const auto closer = [](const Typical& a, const Typical& b) {
    return a.distance < b.distance ||
           (a.distance == b.distance && Better(a.candidate, b.candidate));
  };
  const double target = static_cast<double>(typical_p) * total;
  double cumulative = 0;
  candidates_.clear();
  auto begin = typical_.begin();
  for (ptrdiff_t count = 64; begin != typical_.end() && cumulative <= target; count *= 4) {
    const auto end = begin + std::min(count, typical_.end() - begin);
    if (end != typical_.end()) std::nth_element(begin, end, typical_.end(), closer);
    std::sort(begin, end, closer);
    for (; begin != end && cumulative <= target; ++begin) {
      cumulative += static_cast<double>(ExpNonPositive(begin->candidate.logit - best));
      candidates_.push_back(begin->candidate);
    }
  }
  std::sort(candidates_.begin(), candidates_.end(), Better);
}

void Sampler::KeepAboveMinP(float min_p) {
  const float floor = candidates_.front().logit + std::log(min_p);
  while (candidates_.back().logit < floor) candidates_.pop_back();
}

}  // namespace pelton
