#pragma once

#include "base/status.h"
#include "graph/ir/graph.h"
#include "models/weights/model_config.h"
#include "models/weights/weight_source.h"

namespace pelton {

// BERT: learned positions and segments, post-norm layers of attention in both directions and a
// plain feed-forward part. With a classifier (config.classes > 0) the output is that of the pooler
// and the classifier. Source: Devlin et al. 2018, BERT.
Result<Graph> BuildBert(const ModelConfig& config, const WeightSource& weights);

}  // namespace pelton
