#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "base/check.h"
#include "runtime/engine/hashing_executor.h"

namespace pelton {

// A draft model for tests beside a HashingExecutor. Its guesses are the main model's habit, or
// wrong.
class TestGuesser : public StepExecutor {
 public:
  size_t habit = 0;      // as the main model's; 0: guesses are wrong
  double agreement = 1;  // the share of positions at which they are the habit's; any, by itself
  std::function<void()> after_run;
  size_t num_passes = 0;
  size_t num_missing = 0;  // rows before others that were never written

 protected:
  // What the guess for the token of `position + 1` is.
  size_t GuessAfter(size_t position, size_t wrong) const {
    if (habit == 0) return wrong;
    // Whether it agrees looks random, and is the same for a position that is guessed twice.
    auto hash = static_cast<uint32_t>(position) * 0x9e3779b1u;
    hash = (hash ^ (hash >> 15)) * 0x85ebca77u;
    hash ^= hash >> 13;
    return static_cast<double>(hash) < agreement * 0x1p32 ? position % habit : wrong;
  }
};

// A further layer of the main model for tests, over the same cache, whose last layer is its own: K
// holds the token after the row's, V the hidden state. It checks that what it is given fits what
// the main model has in the cache, at each position that it is shown.
class GuessingExecutor final : public TestGuesser {
 public:
  GuessingExecutor(const KvCacheView& cache, const StepLimits& limits, size_t vocab_size)
      : cache_(cache),
        limits_(limits),
        vocab_size_(vocab_size),
        logits_(limits.max_sequences * vocab_size),
        input_(limits.max_tokens),
        output_(limits.max_sequences) {}

  const StepLimits& limits() const override { return limits_; }
  size_t vocab_size() const override { return vocab_size_; }
  std::span<const float> hidden() const override { return output_; }
  size_t hidden_size() const override { return 1; }
  std::span<float> HiddenInput(size_t rows) override { return std::span(input_).first(rows); }

  std::span<float> Run(const StepBatch& batch) override {
    ++num_passes;
    size_t next_logit_row = 0;
    for (const SequenceSpan& span : batch.sequences) {
      for (int32_t i = 0; i < span.count; ++i) {
        const size_t row = static_cast<size_t>(span.first_row) + static_cast<size_t>(i);
        const size_t position =
            static_cast<size_t>(span.context - span.count) + static_cast<size_t>(i);
        PELTON_CHECK(static_cast<size_t>(batch.positions[row]) == position, "rows are in order");
        const size_t slot = SlotOf(span, position);
        PELTON_CHECK(static_cast<size_t>(batch.slots[row]) == slot, "slots follow the table");
        *Key(slot) = static_cast<uint32_t>(batch.tokens[row]) + 1;
        std::memcpy(Value(slot), &input_[row], sizeof(float));
        PELTON_CHECK(input_[row] < 0 || input_[row] == HashingExecutor::HiddenOf(MainValue(slot)),
                     "a row goes on from the hidden state of its position");
        const bool wants = next_logit_row < batch.logit_rows.size() &&
                           static_cast<size_t>(batch.logit_rows[next_logit_row]) == row;
        if (wants) Guess(position, next_logit_row++);
      }
      // What a guess goes on from, the main model has not computed.
      if (input_[static_cast<size_t>(span.first_row)] >= 0) CheckContext(span);
    }
    PELTON_CHECK(next_logit_row == batch.logit_rows.size(), "logit rows ascend");
    if (after_run) after_run();
    return std::span(logits_).first(next_logit_row * vocab_size_);
  }

 private:
  size_t SlotOf(const SequenceSpan& span, size_t position) const {
    return static_cast<size_t>(span.block_table[position / cache_.block_tokens]) *
               cache_.block_tokens +
           position % cache_.block_tokens;
  }
  uint32_t* Word(std::byte* rows, size_t slot) const {
    return reinterpret_cast<uint32_t*>(rows) + slot % cache_.block_tokens;
  }
  size_t Block(size_t slot) const { return slot / cache_.block_tokens; }
  size_t Last() const { return cache_.layers - 1; }
  uint32_t* Key(size_t slot) const { return Word(cache_.K(Block(slot), Last(), 0), slot); }
  uint32_t* Value(size_t slot) const { return Word(cache_.V(Block(slot), Last(), 0), slot); }
  uint32_t MainKey(size_t slot) const { return *Word(cache_.K(Block(slot), 0, 0), slot); }
  uint32_t MainValue(size_t slot) const { return *Word(cache_.V(Block(slot), 0, 0), slot); }

  // Rows before the pass hold the token after theirs, except at the end of a block, which another
  // sequence may have computed, and those that were left out.
  void CheckContext(const SequenceSpan& span) {
    const auto begin = static_cast<size_t>(span.context - span.count);
    for (size_t p = 0; p < begin; ++p) {
      const size_t slot = SlotOf(span, p);
      if (*Key(slot) == 0) {
        ++num_missing;
        continue;
      }
      float state;
      std::memcpy(&state, Value(slot), sizeof(state));
      if (state < 0) continue;  // of a guess, in the same step
      PELTON_CHECK(state == HashingExecutor::HiddenOf(MainValue(slot)), "a cached row is its own");
      if ((p + 1) % cache_.block_tokens == 0 || p + 1 >= begin) continue;
      PELTON_CHECK(*Key(slot) == MainKey(SlotOf(span, p + 1)) + 1, "and has the token after it");
    }
  }

  // The row of position p sees the token of p + 1 and guesses that of p + 2.
  void Guess(size_t position, size_t logit_row) {
    const std::span<float> row = std::span(logits_).subspan(logit_row * vocab_size_, vocab_size_);
    std::fill(row.begin(), row.end(), 0.0f);
    row[GuessAfter(position + 1, vocab_size_ - 1)] = 1;
    output_[logit_row] = -1;  // marks the rows that go on from its own output
  }

  KvCacheView cache_;
  StepLimits limits_;
  size_t vocab_size_;
  std::vector<float> logits_;
  std::vector<float> input_;
  std::vector<float> output_;
};

}  // namespace pelton
