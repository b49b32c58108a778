#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/check.h"
#include "runtime/engine/guessing_executor.h"

namespace pelton {

// A draft model by itself for tests beside a HashingExecutor: K of its own cache holds the token of
// the row. It checks that what it read is what the main model has in the same place.
class ReadingExecutor final : public TestGuesser {
 public:
  // `cache` has the blocks of `main_cache`; `main` is borrowed.
  ReadingExecutor(const KvCacheView& cache, const KvCacheView& main_cache,
                  const HashingExecutor& main, const StepLimits& limits, size_t vocab_size)
      : cache_(cache),
        main_cache_(main_cache),
        main_(main),
        limits_(limits),
        vocab_size_(vocab_size),
        logits_(limits.max_sequences * vocab_size) {}

  const StepLimits& limits() const override { return limits_; }
  size_t vocab_size() const override { return vocab_size_; }

  std::span<float> Run(const StepBatch& batch) override {
    ++num_passes;
    PELTON_CHECK(batch.tokens.size() <= limits_.max_tokens, "rows in limits");
    PELTON_CHECK(batch.sequences.size() <= limits_.max_sequences, "sequences in limits");
    // Later passes go on from guesses, which the main model has not computed.
    const bool first = main_.num_steps != seen_steps_;
    seen_steps_ = main_.num_steps;
    size_t next_logit_row = 0;
    for (const SequenceSpan& span : batch.sequences) {
      PELTON_CHECK(static_cast<size_t>(span.context) <= limits_.max_context, "context in limits");
      if (first) CheckContext(span);
      for (int32_t i = 0; i < span.count; ++i) {
        const size_t row = static_cast<size_t>(span.first_row) + static_cast<size_t>(i);
        const size_t position =
            static_cast<size_t>(span.context - span.count) + static_cast<size_t>(i);
        PELTON_CHECK(static_cast<size_t>(batch.positions[row]) == position, "rows are in order");
        PELTON_CHECK(static_cast<size_t>(batch.slots[row]) == SlotOf(span, position),
                     "slots follow the table");
        PELTON_CHECK(static_cast<size_t>(batch.tokens[row]) < vocab_size_, "it knows the token");
        *Key(cache_, SlotOf(span, position)) = static_cast<uint32_t>(batch.tokens[row]) + 1;
        if (next_logit_row < batch.logit_rows.size() &&
            static_cast<size_t>(batch.logit_rows[next_logit_row]) == row) {
          const std::span<float> logits =
              std::span(logits_).subspan(next_logit_row++ * vocab_size_, vocab_size_);
          std::ranges::fill(logits, 0.0f);
          logits[GuessAfter(position, vocab_size_ - 1)] = 1;
        }
      }
    }
    PELTON_CHECK(next_logit_row == batch.logit_rows.size(), "logit rows ascend");
    if (after_run) after_run();
    return std::span(logits_).first(next_logit_row * vocab_size_);
  }

 private:
  size_t SlotOf(const SequenceSpan& span, size_t position) const {
    const size_t block_tokens = cache_.block_tokens;
    return static_cast<size_t>(span.block_table[position / block_tokens]) * block_tokens +
           position % block_tokens;
  }
  static uint32_t* Key(const KvCacheView& cache, size_t slot) {
    return reinterpret_cast<uint32_t*>(cache.K(slot / cache.block_tokens, 0, 0)) +
           slot % cache.block_tokens;
  }

  void CheckContext(const SequenceSpan& span) {
    for (size_t p = 0; p < static_cast<size_t>(span.context - span.count); ++p) {
      const uint32_t key = *Key(cache_, SlotOf(span, p));
      num_missing += key == 0 ? 1 : 0;
      PELTON_CHECK(key == 0 || key == *Key(main_cache_, SlotOf(span, p)) + 1,
                   "it read what the main model did");
    }
  }

  KvCacheView cache_;
  KvCacheView main_cache_;
  const HashingExecutor& main_;
  StepLimits limits_;
  size_t vocab_size_;
  size_t seen_steps_ = 0;
  std::vector<float> logits_;
};

}  // namespace pelton
