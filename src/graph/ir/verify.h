#pragma once

#include "base/status.h"
#include "graph/ir/graph.h"

namespace pelton {

// Checks that the graph can run: every value made once and before it is read, inputs and
// attributes as the op's schema says, types and shapes as inferred, every cache written before it
// is read. Internal, naming the node, if not.
Status VerifyGraph(const Graph& graph);

}  // namespace pelton
