#pragma once

#include <vector>

#include "models/build/tensor_names.h"
#include "models/build/tensor_reader.h"
#include "models/weights/model_config.h"

namespace pelton {

// Matrices of all experts, [E * outputs, inputs], with as many numbers where they have biases.
struct ExpertMatrix {
  ValueId weight = kNoValue;
  ValueId bias = kNoValue;
};

// The chosen experts' gated products for the normed rows `x`, weighed and added up: `choice` is
// what kRoute gives. Requires: config.moe.
ValueId AddExperts(const ModelConfig& config, ValueId x, const std::vector<ValueId>& choice,
                   const ExpertMatrix& gate, const ExpertMatrix& up, const ExpertMatrix& down,
                   Graph* graph);

// The feed-forward part of a layer with experts, for the normed rows `x`: router, the chosen
// experts' gated products weighed and added up, and the shared expert. kNoValue if a tensor failed.
// Requires: config.moe.
ValueId AddMixture(const ModelConfig& config, const TensorNames& names, uint32_t layer, ValueId x,
                   TensorReader* tensors, Graph* graph);

}  // namespace pelton
