#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/ops/kv_cache.h"

namespace pelton {

// The largest step that a plan can run.
struct StepLimits {
  size_t max_tokens;      // T
  size_t max_sequences;   // B
  size_t max_logit_rows;  // R
  size_t max_context;     // positions of one sequence
};

// One forward pass over a batch: the rows of all its sequences laid end to end.
struct StepBatch {
  std::span<const int32_t> tokens;          // [T] ids, each below the vocabulary size
  std::span<const int32_t> positions;       // [T] position of each token in its sequence
  std::span<const int32_t> slots;           // [T] block * block_tokens + offset, where its K/V goes
  std::span<const SequenceSpan> sequences;  // [B] covering the rows in order, without gaps
  std::span<const int32_t> logit_rows;  // [R] ascending rows whose logits are wanted; may be empty
  std::span<const int32_t> token_types = {};  // [T] segments; empty where the model has none
  size_t prompt_rows = 0;  // the first of T that are of prompts; see StepExecutor::PromptsDiffer
};

// What turns steps into logits. One thread at a time.
class StepExecutor {
 public:
  virtual ~StepExecutor() = default;

  virtual const StepLimits& limits() const = 0;
  virtual size_t vocab_size() const = 0;
  // Whether the K/V of a prompt's tokens is not that of the same tokens when they were generated:
  // rows of prompts come many at a time, for which there may be faster kernels with an arithmetic
  // of their own. What a token is must then be the same each time that it is computed.
  virtual bool PromptsDiffer() const { return false; }

  // Runs one step and writes its K/V to the cache that the executor was made with. Returns the
  // logits [R, vocab_size], owned by the executor and valid until the next Run. No allocation.
  // Requires: the batch is inside limits().
  virtual std::span<float> Run(const StepBatch& batch) = 0;

  // Hidden states that the last Run gave beside its logits, [rows, hidden_size()], as long valid as
  // they: of all tokens of a language model, of the rows with logits of an MTP layer. Empty where
  // the model gives none.
  virtual std::span<const float> hidden() const { return {}; }
  virtual size_t hidden_size() const { return 0; }
  // Where the caller writes the hidden states from which the next Run goes on, [rows,
  // hidden_size()], for as many rows as that step has tokens. Empty where the model takes none.
  virtual std::span<float> HiddenInput(size_t rows) {
    static_cast<void>(rows);
    return {};
  }
};

}  // namespace pelton
