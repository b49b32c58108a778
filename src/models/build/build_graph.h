#pragma once

#include <string>

#include "base/status.h"
#include "graph/ir/graph.h"
#include "models/weights/model_config.h"
#include "models/weights/weight_source.h"

namespace pelton {

// The model as a plain graph of standard ops. Inputs: tokens, positions, slots i32[T] and
// logit_rows i32[R]; output: logits f32[R, vocab]. An encoder has token_types i32[T] instead of
// slots and gives hidden states f32[R, hidden], or f32[R, classes] of each text whose first row is
// among the rows. Borrows the data of `weights`. Every tensor's
// presence, type and shape is checked: DataLoss "FILE: tensor NAME: found ..., expected ...";
// Unimplemented for an architecture or a feature without a builder.
Result<Graph> BuildGraph(const ModelConfig& config, const WeightSource& weights);

// Architectures that BuildGraph builds, for messages: "llama, qwen2, qwen3".
std::string BuildableArchitectures();

}  // namespace pelton
