#pragma once

#include <vector>

#include "kernels/ops/indexer.h"

namespace pelton::reference {

// The indexer's scores of a row in f64, for each j up to its position.
std::vector<double> IndexScores(const IndexScoresArgs& args, const SequenceSpan& sequence,
                                size_t row);

// The `top` positions of the largest scores, equal ones by lowest position: sorted by that and cut.
std::vector<int32_t> TopPositions(const std::vector<float>& scores, size_t top);

}  // namespace pelton::reference
