#pragma once

#include <map>
#include <vector>

#include "graph/ir/graph.h"

namespace pelton {

// Collects the changes of one sweep over a graph and makes them at the end, so that node numbers
// and uses stay valid while a pass looks for its patterns.
class Rewriter {
 public:
  explicit Rewriter(Graph& graph);

  Graph& graph() { return graph_; }
  const Uses& uses() const { return uses_; }

  // The node that makes `id` if it is of this kind, still there, and made `id` as its first output;
  // null otherwise.
  Node* ProducerOf(ValueId id, OpKind kind);
  int ProducerIndex(ValueId id) const { return uses_.Producer(id); }
  // The same, and nobody but one node reads `id`.
  Node* OnlyReadProducerOf(ValueId id, OpKind kind);

  bool removed(int n) const { return removed_[static_cast<size_t>(n)]; }
  void Remove(int n) { removed_[static_cast<size_t>(n)] = true; }
  // The new node runs right before node n. Its outputs exist already.
  void InsertBefore(int n, Node node);
  // All reads of `from` become reads of `to`. Chains are followed.
  void Replace(ValueId from, ValueId to);

  // Whether anything was changed.
  bool Finish();

 private:
  ValueId Resolve(ValueId id) const;

  Graph& graph_;
  Uses uses_;
  std::vector<bool> removed_;
  std::map<int, std::vector<Node>> inserted_;
  std::map<ValueId, ValueId> replaced_;
};

}  // namespace pelton
