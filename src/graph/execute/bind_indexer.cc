#include "graph/execute/bind_indexer.h"

#include "graph/execute/binder.h"

namespace pelton {
namespace {

// Scores have a place for each position of the step's longest context.
template <typename Args>
void TakeScoredSequences(Args& args, const StepState& step) {
  args.sequences = step.batch->sequences.data();
  args.num_sequences = step.batch->sequences.size();
  args.scores_stride = step.sizes.context;
}

}  // namespace

std::unique_ptr<BoundOp> BindIndexWrite(const IndexWriteArgs& args) {
  return MakeTableOp(IndexWriteImpls(), args, [](IndexWriteArgs& a, const StepState& step) {
    a.slots = step.batch->slots.data();
    return a.tokens = step.sizes.tokens;
  });
}

std::unique_ptr<BoundOp> BindIndexScores(const IndexScoresArgs& args) {
  return MakeTableOp(
      IndexScoresImpls(), args,
      [](IndexScoresArgs& a, const StepState& step) {
        TakeScoredSequences(a, step);
        a.tokens = step.sizes.tokens;
        return IndexScoresUnits(a);
      },
      IndexScoresScratchBytes);
}

std::unique_ptr<BoundOp> BindTopPositions(const TopPositionsArgs& args) {
  return MakeTableOp(TopPositionsImpls(), args, [](TopPositionsArgs& a, const StepState& step) {
    TakeScoredSequences(a, step);
    return a.tokens = step.sizes.tokens;
  });
}

std::unique_ptr<BoundOp> BindKeepPositions(const KeepPositionsArgs& args) {
  return MakeTableOp(KeepPositionsImpls(), args, [](KeepPositionsArgs& a, const StepState& step) {
    TakeScoredSequences(a, step);
    return step.sizes.tokens * a.heads;
  });
}

}  // namespace pelton
