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

// Makes the guesses of all sequences with a layer that predicts a further token (MTP), in passes
// after each step. Row i of a sequence goes on from the main model's hidden state of position i and
// the token of position i + 1, and its K/V lies in the last layer of the same cache blocks, so that
// blocks that are shared, dropped or kept take it with them. The last row of a cached block saw the
// next token of the sequence that computed it: that of another sequence may be another one, which
// makes a guess less likely, never an output wrong. Rows that were left out are zeros.
//
// For further guesses the layer goes on from its own output, over rows that the next step computes
// again. Engine thread only; no allocation after construction.
class DraftModel {
 public:
  // `executor` takes and gives hidden states of one size and has the main model's limits, except
  // that one row of a sequence has logits; borrowed, as the clock.
  DraftModel(StepExecutor& executor, size_t block_tokens, const Clock& clock);

  void Clear();

  // Adds the rows [begin, end) of a sequence, whose hidden states are rows of the last step from
  // `hidden_row` on, and asks for guesses at what follows its tokens: then end + 1 is their number.
  // Requires: begin < end < the number of its tokens; blocks cover them. `drafter` may be null if
  // `guesses` is 0, and is borrowed until Run.
  void Add(const Sequence& sequence, size_t begin, size_t end, size_t hidden_row, size_t guesses,
           ModelDrafter* drafter);

  // Reads the rows, whose hidden states are among `hidden`, that the step gave, and gives drafters
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

  void ClearRows();
  void AddRow(const Sequence& sequence, size_t position, int32_t token);
  void RunPass();
  // The chains that go on after `made` guesses, with their rows; false: none.
  bool AddNextRows(size_t made);

  StepExecutor& executor_;
  const size_t block_tokens_;
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
  std::vector<float> states_;  // [sequences, hidden]: of the layer's own, for the next pass
};

}  // namespace pelton
