#pragma once

#include "graph/ir/graph.h"
#include "models/weights/model_config.h"

namespace pelton {

// activation(gate) * up, as `config` states it. A clamped gate is one op from the beginning.
inline ValueId AddGate(const ModelConfig& config, ValueId gate, ValueId up, Graph* graph) {
  if (config.activation == Activation::kSwigluOai || config.gate_limit > 0) {
    const char* name = config.activation == Activation::kSwigluOai  ? "swiglu_oai"
                       : config.activation == Activation::kGeluTanh ? "gelu_tanh"
                                                                    : "silu";
    std::map<std::string, Attribute, std::less<>> attributes = {{"activation", std::string(name)}};
    if (config.gate_limit > 0) attributes["limit"] = config.gate_limit;
    return graph->Add(OpKind::kGatedMul, {gate, up}, std::move(attributes));
  }
  const OpKind kind =
      config.activation == Activation::kGeluTanh ? OpKind::kGeluTanh : OpKind::kSilu;
  return graph->Add(OpKind::kMul, {graph->Add(kind, {gate}), up});
}

}  // namespace pelton
