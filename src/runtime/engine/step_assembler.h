#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "graph/execute/step_executor.h"
#include "runtime/sequence/sequence.h"

namespace pelton {

// Lays the planned parts of sequences end to end as one StepBatch. Memory is reserved for the
// largest step, so that nothing is allocated later.
class StepAssembler {
 public:
  StepAssembler(const StepLimits& limits, size_t block_tokens) : block_tokens_(block_tokens) {
    tokens_.reserve(limits.max_tokens);
    positions_.reserve(limits.max_tokens);
    slots_.reserve(limits.max_tokens);
    spans_.reserve(limits.max_sequences);
    logit_rows_.reserve(limits.max_logit_rows);
  }

  void Clear() {
    tokens_.clear();
    positions_.clear();
    slots_.clear();
    spans_.clear();
    logit_rows_.clear();
    prompt_rows_ = 0;
  }
  // What was added so far are rows of prompts, what comes after are not.
  void EndPrompts() { prompt_rows_ = tokens_.size(); }

  size_t num_rows() const { return tokens_.size(); }
  size_t num_logit_rows() const { return logit_rows_.size(); }

  // Adds the next `count` tokens that are not computed, and guessed ones after the last known
  // token; returns how many of them want logits, the last ones. Requires: the sequence's blocks
  // cover them and stay until the batch has run; drafts are empty unless the known tokens end with
  // `count`.
  size_t Add(const Sequence& sequence, size_t count, std::span<const int32_t> drafts) {
    const size_t begin = sequence.computed_tokens;
    const size_t known = begin + count;
    const size_t end = known + drafts.size();
    const size_t logit_begin = sequence.LogitBegin();
    const size_t rows_before = logit_rows_.size();
    spans_.push_back({.first_row = static_cast<int32_t>(tokens_.size()),
                      .count = static_cast<int32_t>(end - begin),
                      .context = static_cast<int32_t>(end),
                      .block_table = sequence.blocks.data()});
    for (size_t position = begin; position < end; ++position) {
      const auto block = static_cast<size_t>(sequence.blocks[position / block_tokens_]);
      if (position >= logit_begin) logit_rows_.push_back(static_cast<int32_t>(tokens_.size()));
      tokens_.push_back(position < known ? sequence.tokens[position] : drafts[position - known]);
      positions_.push_back(static_cast<int32_t>(position));
      slots_.push_back(static_cast<int32_t>(block * block_tokens_ + position % block_tokens_));
    }
    return logit_rows_.size() - rows_before;
  }

  StepBatch batch() const {
    return {.tokens = tokens_,
            .positions = positions_,
            .slots = slots_,
            .sequences = spans_,
            .logit_rows = logit_rows_,
            .prompt_rows = prompt_rows_};
  }

 private:
  size_t block_tokens_;
  std::vector<int32_t> tokens_;
  std::vector<int32_t> positions_;
  std::vector<int32_t> slots_;
  std::vector<SequenceSpan> spans_;
  std::vector<int32_t> logit_rows_;
  size_t prompt_rows_ = 0;
};

}  // namespace pelton
