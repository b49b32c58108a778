#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "runtime/sample/candidates.h"
#include "runtime/sequence/sampling_params.h"

namespace pelton {

struct TokenLogprob {
  int32_t id;
  float logprob;  // natural logarithm
};

struct SampleArgs {
  std::span<float> logits;             // [vocab_size]; changed inside the call, restored after it
  const SamplingParams& params;        // validated
  uint64_t seed;                       // of the sequence
  std::span<const int32_t> tokens;     // prompt and output so far
  std::span<const int32_t> forbidden;  // ids that must not be drawn, at most kMaxForbidden
  // Bit i % 32 of word i / 32: whether token i may be drawn; empty: all may.
  std::span<const uint32_t> allowed = {};
};

// Logits to the next token. The steps, in llama.cpp's order:
//   logit_bias, penalties, forbidden ids, the mask, top_k, typical_p, top_p, min_p, temperature,
//   draw.
// Each filter sees the distribution that the ones before it left, renormalised, at temperature 1.
// A temperature below 0.001 takes the largest logit after the penalties, the lowest id on ties.
// Otherwise the draw is UniformAt(seed, tokens.size()) through the cumulative weights, in
// descending order of logits if top_k, typical_p or top_p is in use and in ascending order of ids
// if none is. So the token depends on its own row, tokens and seed, and on nothing else.
//
// No allocation after construction and the first mask, and no full sort of the vocabulary unless
// top_p or typical_p keeps most of it. Engine thread only.
class Sampler {
 public:
  static constexpr size_t kMaxForbidden = 1024;

  // max_tokens bounds SampleArgs::tokens.
  Sampler(size_t vocab_size, size_t max_tokens);

  // Empty if the row holds NaN or +infinity, or leaves no token to draw ("numerical_error").
  std::optional<int32_t> Sample(const SampleArgs& args);

  struct RowLogprobs {
    float chosen;    // log-probability of the id that was asked for
    size_t num_top;  // entries of `top` that were filled
  };
  // Log-probabilities under the row as the model gave it: softmax over the whole vocabulary at
  // temperature 1 before any bias, penalty or filter. Fills `top` with the most probable tokens,
  // best first. Empty if the row holds NaN or +infinity, or nothing above -infinity.
  // Requires: top.size() <= SamplingParams::kMaxLogprobs.
  std::optional<RowLogprobs> Logprobs(std::span<const float> row, int32_t id,
                                      std::span<TokenLogprob> top);

 private:
  struct Change {
    int32_t id;
    float old_logit;
  };
  struct Typical {
    float distance;  // of the token's information from the entropy
    Candidate candidate;
  };

  // False if a forbidden logit was NaN or +infinity, which would otherwise go unseen.
  bool ApplyChanges(const SampleArgs& args);
  void ApplyPenalties(const SampleArgs& args);
  void UndoChanges(std::span<float> logits);
  void Set(std::span<float> logits, int32_t id, float logit);

  int32_t Draw(const SampleArgs& args, float max);
  int32_t DrawByIds(const SampleArgs& args, float max, double uniform);
  void SelectNucleus(std::span<const float> row, float max, float top_p);
  void TakeAll(std::span<const float> row);
  void KeepTypical(float best, float typical_p);
  void KeepNucleus(double total, float top_p);
  void KeepAboveMinP(float min_p);
  // sum over the candidates of e^(logit - best).
  double CandidateSum(float best) const;

  std::vector<Candidate> candidates_;
  std::vector<Typical> typical_;
  std::vector<Change> changes_;
  std::vector<uint32_t> counts_;    // [vocab_size] all zero between calls
  std::vector<float> unmasked_;     // [vocab_size] of a row with a mask
  std::vector<double> chunk_sums_;  // [vocab_size / kChunk] of DrawByIds
};

}  // namespace pelton
