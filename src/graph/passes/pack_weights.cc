// Marks the weights of matmuls as packed: the executor then lays them out in panels. A table that
// is also read row by row (tied embeddings) keeps its stored form beside.
#include <map>

#include "graph/passes/passes.h"

namespace pelton {

bool PackWeights(Graph& graph) {
  bool changed = false;
  std::map<ValueId, ValueId> packed;
  const Uses uses(graph);
  for (Node& node : graph.nodes) {
    for (const size_t input : PackedInputs(node.kind)) {
      const ValueId weight = node.inputs[input];
      if (graph.value(weight).type != ElementType::kStored) continue;
      const auto [it, is_new] = packed.try_emplace(weight, kNoValue);
      if (is_new) {
        bool only_packed = true;
        for (int reader : uses.Readers(weight)) {
          only_packed &= !PackedInputs(graph.nodes[static_cast<size_t>(reader)].kind).empty();
        }
        if (only_packed) {
          graph.value(weight).type = ElementType::kPacked;
          it->second = weight;
        } else {
          const Value stored = graph.value(weight);
          it->second = graph.AddConstant(graph.UniqueName(stored.name + ".packed"),
                                         ElementType::kPacked, stored.shape, stored.constant);
        }
      }
      node.inputs[input] = it->second;
      changed = true;
    }
  }
  return changed;
}

}  // namespace pelton
