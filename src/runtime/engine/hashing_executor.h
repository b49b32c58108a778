#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <vector>

#include "base/check.h"
#include "graph/execute/step_executor.h"

namespace pelton {

// A model for tests whose logits are a hash of what really lies in the KV cache, read through the
// block tables: K holds the token, V a hash of all K and V before it. A block that is shared
// wrongly, stale, misplaced or not written changes every later token. It also checks that each
// batch is laid out as step_executor.h says.
class HashingExecutor final : public StepExecutor {
 public:
  // Its hidden states, a number for each token, are the hash too. Requires: cache.dtype == kF32,
  // kv_heads == head_dim == 1; it uses the first layer.
  HashingExecutor(const KvCacheView& cache, const StepLimits& limits, size_t vocab_size)
      : cache_(cache),
        limits_(limits),
        vocab_size_(vocab_size),
        logits_(limits.max_logit_rows * vocab_size),
        hidden_(limits.max_tokens),
        slot_used_(cache.num_blocks * cache.block_tokens) {}

  const StepLimits& limits() const override { return limits_; }
  size_t vocab_size() const override { return vocab_size_; }
  bool PromptsDiffer() const override { return prompts_differ; }
  std::span<const float> hidden() const override { return hidden_; }
  size_t hidden_size() const override { return 1; }
  // The hidden state of a token whose V is this word.
  static float HiddenOf(uint32_t word) { return static_cast<float>(word >> 8); }

  std::span<float> Run(const StepBatch& batch) override {
    CheckLayout(batch);
    ++num_steps;
    num_tokens += batch.tokens.size();
    size_t next_logit_row = 0;
    for (const SequenceSpan& span : batch.sequences) {
      for (int32_t i = 0; i < span.count; ++i) {
        const int32_t row = span.first_row + i;
        const uint32_t hash = RunToken(batch, span, row);
        hidden_[static_cast<size_t>(row)] = HiddenOf(hash);
        if (next_logit_row < batch.logit_rows.size() && batch.logit_rows[next_logit_row] == row) {
          const size_t logit_row = next_logit_row++;
          FillLogits(hash, batch.tokens[static_cast<size_t>(row)], logit_row);
          const auto position = static_cast<size_t>(batch.positions[static_cast<size_t>(row)]);
          if (habit > 0) logits_[logit_row * vocab_size_ + position % habit] += loud_habit ? 20 : 5;
        }
      }
    }
    PELTON_CHECK(next_logit_row == batch.logit_rows.size(), "logit rows ascend");
    if (after_run) after_run();
    return std::span(logits_).first(next_logit_row * vocab_size_);
  }

  int32_t poison_token = -1;  // logits after this token, and its K/V, are NaN
  int32_t favourite = -1;     // always the most probable token
  size_t habit = 0;           // not 0: token p % habit is probable after position p
  bool loud_habit = false;    // and always the most probable
  std::function<void()> after_run;
  bool prompts_differ = false;  // the same token hashes to something else when it is generated
  size_t num_steps = 0;
  size_t num_tokens = 0;

 private:
  static uint32_t Mix(uint32_t hash, uint32_t word) {
    hash = (hash ^ word) * 0x9E3779B1u;
    return hash ^ (hash >> 15);
  }

  // Word `position` of a sequence's K or V.
  static uint32_t* Word(std::byte* rows, size_t offset) {
    return reinterpret_cast<uint32_t*>(rows) + offset;
  }

  uint32_t RunToken(const StepBatch& batch, const SequenceSpan& span, int32_t row) {
    const int32_t position = batch.positions[static_cast<size_t>(row)];
    const int32_t token = batch.tokens[static_cast<size_t>(row)];
    uint32_t hash = 1;
    for (int32_t p = 0; p < position; ++p) {
      const auto block =
          static_cast<size_t>(span.block_table[static_cast<size_t>(p) / cache_.block_tokens]);
      const size_t offset = static_cast<size_t>(p) % cache_.block_tokens;
      hash = Mix(Mix(hash, *Word(cache_.K(block, 0, 0), offset)),
                 *Word(cache_.V(block, 0, 0), offset));
    }
    hash = Mix(Mix(hash, static_cast<uint32_t>(token)), static_cast<uint32_t>(position));
    if (prompts_differ && static_cast<size_t>(row) < batch.prompt_rows) hash = Mix(hash, 1);
    const auto slot = static_cast<size_t>(batch.slots[static_cast<size_t>(row)]);
    const size_t block = slot / cache_.block_tokens;
    const size_t offset = slot % cache_.block_tokens;
    *Word(cache_.K(block, 0, 0), offset) = static_cast<uint32_t>(token);
    *Word(cache_.V(block, 0, 0), offset) = token == poison_token ? 0x7fc00000u : hash;
    return hash;
  }

  void FillLogits(uint32_t hash, int32_t token, size_t logit_row) {
    const std::span<float> row = std::span(logits_).subspan(logit_row * vocab_size_, vocab_size_);
    for (size_t i = 0; i < vocab_size_; ++i) {
      const uint32_t word = Mix(Mix(hash, 0xABCDu), static_cast<uint32_t>(i));
      row[i] = static_cast<float>(word >> 8) * 0x1p-24f * 8 - 4;
    }
    if (favourite >= 0) row[static_cast<size_t>(favourite)] = 20;
    if (token == poison_token) row[vocab_size_ / 2] = std::numeric_limits<float>::quiet_NaN();
  }

  void CheckLayout(const StepBatch& batch) {
    const size_t num_tokens_now = batch.tokens.size();
    PELTON_CHECK(num_tokens_now > 0 && num_tokens_now <= limits_.max_tokens, "tokens in limits");
    PELTON_CHECK(batch.sequences.size() <= limits_.max_sequences, "sequences in limits");
    PELTON_CHECK(batch.logit_rows.size() <= limits_.max_logit_rows, "logit rows in limits");
    PELTON_CHECK(batch.positions.size() == num_tokens_now && batch.slots.size() == num_tokens_now,
                 "one position and one slot per token");
    std::fill(slot_used_.begin(), slot_used_.end(), 0);
    int32_t next_row = 0;
    bool border_seen = batch.prompt_rows == num_tokens_now;
    for (const SequenceSpan& span : batch.sequences) {
      PELTON_CHECK(span.first_row == next_row && span.count > 0, "spans follow each other");
      border_seen |= static_cast<size_t>(next_row) == batch.prompt_rows;
      PELTON_CHECK(static_cast<size_t>(span.context) <= limits_.max_context, "context in limits");
      next_row += span.count;
      for (int32_t i = 0; i < span.count; ++i) {
        const size_t row = static_cast<size_t>(span.first_row) + static_cast<size_t>(i);
        const int32_t position = span.context - span.count + i;
        PELTON_CHECK(batch.positions[row] == position, "positions end at the context");
        PELTON_CHECK(batch.tokens[row] >= 0 && static_cast<size_t>(batch.tokens[row]) < vocab_size_,
                     "tokens are in the vocabulary");
        const auto slot = static_cast<size_t>(batch.slots[row]);
        const auto want =
            static_cast<size_t>(
                span.block_table[static_cast<size_t>(position) / cache_.block_tokens]) *
                cache_.block_tokens +
            static_cast<size_t>(position) % cache_.block_tokens;
        PELTON_CHECK(slot == want, "a slot is where the block table puts its position");
        PELTON_CHECK(slot_used_[slot]++ == 0, "no two tokens share a slot");
      }
    }
    PELTON_CHECK(static_cast<size_t>(next_row) == num_tokens_now, "spans cover the rows");
    PELTON_CHECK(border_seen, "no sequence is of prompts in part");
  }

  KvCacheView cache_;
  StepLimits limits_;
  size_t vocab_size_;
  std::vector<float> logits_;
  std::vector<float> hidden_;
  std::vector<uint8_t> slot_used_;
};

}  // namespace pelton
