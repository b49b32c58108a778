#pragma once

#include "graph/ir/graph.h"
#include "models/weights/model_config.h"
#include "models/weights/weight_source.h"

namespace pelton {

// DeepSeek-V4, from folders with the tensor names of its release. Requires: config.compressed.
// Source: DeepSeek-V4 report, section 2, and the released inference code.
Result<Graph> BuildDeepseek4(const ModelConfig& config, const WeightSource& weights);

// Lanes that a token needs in the cache beside its key: value and gate of the entries, then of the
// indexer's entries, in the layer that needs most. Requires: config.compressed.
size_t CompressedLanes(const ModelConfig& config);

}  // namespace pelton
