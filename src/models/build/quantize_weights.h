#pragma once

#include <cstddef>
#include <vector>

#include "graph/ir/graph.h"

namespace pelton {

// Replaces the weights of matmuls that are stored as plain floats by Q8_0 (blocks of 32 with a
// scale of their largest magnitude / 127, in f16), which fast numerics multiply as integers. Those
// whose columns are no whole blocks, and tables that are read row by row too, stay as they are.
// Returns the new data, which the graph borrows until its weights are packed.
std::vector<std::vector<std::byte>> QuantizeWeights(Graph* graph);

}  // namespace pelton
