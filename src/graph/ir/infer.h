#pragma once

#include <vector>

#include "base/status.h"
#include "graph/ir/graph.h"

namespace pelton {

struct TypeAndShape {
  ElementType type;
  Shape shape;
};

// Types and shapes of a node's outputs, from its inputs and attributes. InvalidArgument, naming op
// and input, if they do not fit the op.
Result<std::vector<TypeAndShape>> InferOutputs(const Graph& graph, const Node& node);

}  // namespace pelton
