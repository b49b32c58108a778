#include "graph/passes/rewriter.h"

#include <algorithm>

namespace pelton {

Rewriter::Rewriter(Graph& graph) : graph_(graph), uses_(graph), removed_(graph.nodes.size()) {}

Node* Rewriter::ProducerOf(ValueId id, OpKind kind) {
  if (id == kNoValue || static_cast<size_t>(id) >= graph_.num_values()) return nullptr;
  const int n = uses_.Producer(id);
  if (n < 0 || removed(n)) return nullptr;
  Node& node = graph_.nodes[static_cast<size_t>(n)];
  return node.kind == kind && node.outputs[0] == id ? &node : nullptr;
}

Node* Rewriter::OnlyReadProducerOf(ValueId id, OpKind kind) {
  Node* node = ProducerOf(id, kind);
  return node != nullptr && uses_.OnlyRead(id) ? node : nullptr;
}

void Rewriter::InsertBefore(int n, Node node) { inserted_[n].push_back(std::move(node)); }

void Rewriter::Replace(ValueId from, ValueId to) { replaced_[from] = to; }

ValueId Rewriter::Resolve(ValueId id) const {
  for (auto it = replaced_.find(id); it != replaced_.end(); it = replaced_.find(id)) {
    id = it->second;
  }
  return id;
}

bool Rewriter::Finish() {
  const bool any_removed = std::find(removed_.begin(), removed_.end(), true) != removed_.end();
  if (!any_removed && inserted_.empty() && replaced_.empty()) return false;
  std::vector<Node> nodes;
  nodes.reserve(graph_.nodes.size());
  for (size_t n = 0; n < graph_.nodes.size(); ++n) {
    if (const auto it = inserted_.find(static_cast<int>(n)); it != inserted_.end()) {
      for (Node& node : it->second) nodes.push_back(std::move(node));
    }
    if (!removed_[n]) nodes.push_back(std::move(graph_.nodes[n]));
  }
  graph_.nodes = std::move(nodes);
  if (!replaced_.empty()) {
    for (Node& node : graph_.nodes) {
      for (ValueId& input : node.inputs) input = Resolve(input);
    }
    for (ValueId& output : graph_.outputs) output = Resolve(output);
  }
  return true;
}

}  // namespace pelton
