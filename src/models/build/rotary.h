#pragma once

#include "graph/ir/graph.h"
#include "models/weights/model_config.h"

namespace pelton {

// Frequencies of the rotary pairs as a value, [rope.dims / 2].
ValueId AddFrequencies(const RopeConfig& rope, Graph* graph);

}  // namespace pelton
