#pragma once

#include <cstddef>
#include <vector>

#include "graph/execute/step_executor.h"
#include "runtime/engine/step_assembler.h"
#include "runtime/kv/block_pool.h"
#include "runtime/kv/prefix_index.h"
#include "runtime/sequence/sequence.h"
#include "runtime/speculate/draft_model.h"

namespace pelton {

// Where the K/V of a prompt is not that of the same tokens when they were generated, the next turn
// of a chat could reuse nothing of the last answer. While the engine has nothing else to do, this
// computes answers again as the prompts that they will be part of. Engine thread only.
class AnswerRereader {
 public:
  // All are borrowed; `draft_model` may be null.
  AnswerRereader(BlockPool& pool, PrefixIndex& index, StepExecutor& executor,
                 StepAssembler& assembler, DraftModel* draft_model);

  // Takes over a sequence that has ended and gave its blocks back, if that is worth it. The newest
  // few are kept. No allocation.
  void Offer(Sequence& ended);

  // Computes some tokens, few enough that whoever comes meanwhile hardly waits; false if there are
  // none left. Requires: no sequence runs.
  bool Step();
  // Gives the blocks back, for sequences that are to run; what was computed stays cached.
  void Pause();

 private:
  // The end of the whole blocks of `sequence`, in tokens.
  size_t WholeBlocks(const Sequence& sequence) const;
  void Begin(Sequence& sequence);

  BlockPool& pool_;
  PrefixIndex& index_;
  StepExecutor& executor_;
  StepAssembler& assembler_;
  DraftModel* const draft_model_;
  std::vector<Sequence> answers_;  // the newest last
};

}  // namespace pelton
