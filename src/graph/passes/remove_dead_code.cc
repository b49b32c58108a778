// Removes ops whose results nobody reads, and marks single unread results as unused.
#include "graph/passes/passes.h"

namespace pelton {

bool RemoveDeadCode(Graph& graph) {
  std::vector<bool> read(graph.num_values());
  for (ValueId output : graph.outputs) read[static_cast<size_t>(output)] = true;
  bool changed = false;
  std::vector<bool> kept(graph.nodes.size());
  // Backwards: what a dead op reads may be dead too.
  for (size_t n = graph.nodes.size(); n-- > 0;) {
    Node& node = graph.nodes[n];
    bool needed = WritesCache(node.kind);
    for (ValueId output : node.outputs) {
      needed |= output != kNoValue && read[static_cast<size_t>(output)];
    }
    if (!needed) {
      changed = true;
      continue;
    }
    kept[n] = true;
    for (ValueId& output : node.outputs) {
      if (output == kNoValue || read[static_cast<size_t>(output)] || node.outputs.size() == 1) {
        continue;
      }
      output = kNoValue;
      changed = true;
    }
    for (ValueId input : node.inputs) {
      if (input != kNoValue) read[static_cast<size_t>(input)] = true;
    }
  }
  if (!changed) return false;
  size_t out = 0;
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    if (!kept[n]) continue;
    if (out != n) graph.nodes[out] = std::move(graph.nodes[n]);
    ++out;
  }
  graph.nodes.erase(graph.nodes.begin() + static_cast<std::ptrdiff_t>(out), graph.nodes.end());
  return true;
}

}  // namespace pelton
