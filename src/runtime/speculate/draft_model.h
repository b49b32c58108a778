#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/clock.h"
#include "graph/execute/step_executor.h"
#include "runtime/schedule/latency_predictor.h"
#include "runtime/sequence/sequence.h"
#include "runtime/speculate/model_drafter.h"

namespace pelton {

// The K/V rows of a draft model, in as many blocks of as many tokens as the main model's.
struct DraftCache {
  KvCacheView view;
  size_t first_layer = 0;  // of each block; it and those after it are the draft model's
};

// Makes the guesses of all sequences, in passes after each step. Its K/V follows the main model's
// blocks, so that blocks that are shared, dropped or kept take it with them. It is one of two
// kinds:
//
// - A layer that predicts a further token (MTP): row i of a sequence goes on from the main model's
//   hidden state of position i and the token of position i + 1. The last row of a cached block saw
//   the next token of the sequence that computed it: that of another sequence may be another one,
//   which makes a guess less likely, never an output wrong. Rows that were left out are zeros.
// - A language model by itself, smaller than the main one: row i is the token of position i. What
//   it did not read in one step it reads in a later one.
//
// For further guesses it goes on from its own guess, over rows that the next step computes again.
// Engine thread only; no allocation after construction.
class DraftModel {
 public:
  // `executor` takes and gives hidden states of the main model's size, or takes none; it has the
  // main model's limits, except that one row of a sequence has logits, and may know a shorter
  // context. Guesses are below `vocab_size`. All are borrowed.
  DraftModel(StepExecutor& executor, const DraftCache& cache, size_t vocab_size,
             const Clock& clock);

  void Clear();

  // What a block held before must not have a say in anything: to be called for each that the main
  // model takes.
  void ClearBlock(int32_t block);

  // Adds the rows that the last step made known: it computed the sequence's tokens from `begin` on,
  // whose hidden states are its rows from `hidden_row` on. Returns whether that is all there is to
  // know, so that Ask may follow.
  bool Add(Sequence& sequence, size_t begin, size_t hidden_row);

  // Asks for guesses at what follows the tokens of the sequence that was added last. Requires:
  // guesses > 0. The drafter is borrowed until Run.
  void Ask(const Sequence& sequence, size_t guesses, ModelDrafter& drafter);

  // Reads the rows, whose hidden states are among `hidden` of the step, and gives drafters
  // their guesses: one for each pass, fewer where a block ends. Returns the number of passes.
  size_t Run(std::span<const float> hidden);

  // What a pass takes by its shape. All zero: unknown.
  StepCost cost() const { return predictor_.cost(); }
  DraftRecord& record() { return record_; }

 private:
  // A sequence that wants guesses.
  struct Chain {
    const Sequence* sequence;
    ModelDrafter* drafter;
    size_t position;  // of its last row
    size_t wanted;    // guesses
    size_t logit_row;
    std::array<int32_t, ModelDrafter::kMaxGuesses> guesses;
    size_t made;
  };
  // Rows of hidden states that lie end to end.
  struct Source {
    size_t row;
    size_t count;
  };

  bool FromHidden() const { return executor_.hidden_size() > 0; }
  void ClearRows();
  void AddRow(const Sequence& sequence, size_t position, int32_t token);
  void RunPass();
  // The chains that go on after `made` guesses, with their rows; false: none.
  bool AddNextRows(size_t made);

  StepExecutor& executor_;
  const DraftCache cache_;
  const size_t vocab_size_;
  const Clock& clock_;
  LatencyPredictor predictor_;
  DraftRecord record_;

  std::vector<int32_t> tokens_;
  std::vector<int32_t> positions_;
  std::vector<int32_t> slots_;
  std::vector<SequenceSpan> spans_;
  std::vector<int32_t> logit_rows_;
  StepShape shape_;
  std::vector<Source> sources_;
  std::vector<Chain> chains_;
  std::vector<float> states_;  // [sequences, hidden]: its own, for the next pass
};

}  // namespace pelton
