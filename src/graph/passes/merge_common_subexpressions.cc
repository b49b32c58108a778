// Ops of the same kind on the same inputs with the same attributes are computed once.
#include <map>
#include <tuple>

#include "graph/passes/passes.h"
#include "graph/passes/rewriter.h"

namespace pelton {

bool MergeCommonSubexpressions(Graph& graph) {
  Rewriter rewriter(graph);
  using Key =
      std::tuple<OpKind, std::vector<ValueId>, std::map<std::string, Attribute, std::less<>>>;
  std::map<Key, const Node*> seen;
  std::map<ValueId, ValueId> merged;
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    const Node& node = graph.nodes[n];
    // A cache write is done for its effect; a second one must stay.
    if (WritesCache(node.kind)) continue;
    std::vector<ValueId> inputs = node.inputs;
    for (ValueId& input : inputs) {
      if (const auto it = merged.find(input); it != merged.end()) input = it->second;
    }
    const auto [it, is_new] =
        seen.try_emplace(Key(node.kind, std::move(inputs), node.attributes), &node);
    if (is_new) continue;
    bool same_outputs = true;  // an output that the first does not give cannot be shared
    for (size_t o = 0; o < node.outputs.size(); ++o) {
      same_outputs &= node.outputs[o] == kNoValue || it->second->outputs[o] != kNoValue;
    }
    if (!same_outputs) continue;
    for (size_t o = 0; o < node.outputs.size(); ++o) {
      if (node.outputs[o] == kNoValue) continue;
      rewriter.Replace(node.outputs[o], it->second->outputs[o]);
      merged[node.outputs[o]] = it->second->outputs[o];
    }
    rewriter.Remove(static_cast<int>(n));
  }
  return rewriter.Finish();
}

}  // namespace pelton
