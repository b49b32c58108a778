#pragma once

#include <memory>

#include "graph/execute/bound_op.h"
#include "kernels/ops/indexer.h"

namespace pelton {

// Ops of the indexer, whose arguments lack what depends on the step only.
std::unique_ptr<BoundOp> BindIndexWrite(const IndexWriteArgs& args);
std::unique_ptr<BoundOp> BindIndexScores(const IndexScoresArgs& args);
std::unique_ptr<BoundOp> BindTopPositions(const TopPositionsArgs& args);
std::unique_ptr<BoundOp> BindKeepPositions(const KeepPositionsArgs& args);

}  // namespace pelton
