// Packs the weights of matmuls as W8, whatever they are stored as, and rotates the rows that they
// are multiplied by. Heads and routers keep their format.
#include <algorithm>
#include <map>

#include "graph/passes/passes.h"
#include "graph/passes/rewriter.h"
#include "kernels/ops/rotate.h"

namespace pelton {
namespace {

// A choice of experts turns on small differences.
bool IsRouter(const Graph& graph, const Uses& uses, const Node& node) {
  return std::ranges::any_of(uses.Readers(node.outputs[0]), [&](int reader) {
    return graph.nodes[static_cast<size_t>(reader)].kind == OpKind::kRoute;
  });
}

bool CanBeW8(const Graph& graph, const Uses& uses, const Node& node) {
  // The columns of a head are part of a row.
  if (!IsMatmul(node.kind) || node.kind == OpKind::kHeadMatmul) return false;
  const Value& weight = graph.value(node.inputs[1]);
  return !IsRouter(graph, uses, node) && weight.type == ElementType::kStored &&
         MayRotate(static_cast<size_t>(weight.shape.cols().factor)) &&
         graph.value(node.inputs[0]).type == ElementType::kF32;
}

// Whether a node is a matmul that will multiply by W8.
bool BecomesW8(const Graph& graph, const Uses& uses, const Node& node) {
  return IsMatmul(node.kind) && std::ranges::all_of(uses.Readers(node.inputs[1]), [&](int reader) {
           const Node& other = graph.nodes[static_cast<size_t>(reader)];
           return PackedInputs(other.kind).empty() || CanBeW8(graph, uses, other);
         });
}

// Rotated rows, made once for all that read the same.
class RotatedRows {
 public:
  explicit RotatedRows(Rewriter& rewriter) : rewriter_(rewriter), graph_(rewriter.graph()) {}

  // x rotated, right before node n if it is not there yet. Rows that experts read are rotated
  // before they are copied.
  ValueId Before(int n, ValueId x) {
    if (const auto it = rotated_.find(x); it != rotated_.end()) return it->second;
    Node made{OpKind::kRotate, {x}, {}, {}};
    if (const Node* rows = rewriter_.ProducerOf(x, OpKind::kExpertRows); rows != nullptr) {
      made = *rows;
      made.inputs[0] = Before(n, rows->inputs[0]);
      if (OnlyW8Reads(x)) rewriter_.Remove(rewriter_.ProducerIndex(x));
    }
    const ValueId out = graph_.AddResult(graph_.UniqueName(graph_.value(x).name + ".rotated"));
    graph_.value(out).type = ElementType::kF32;
    graph_.value(out).shape = graph_.value(x).shape;
    made.outputs = {out};
    rewriter_.InsertBefore(n, std::move(made));
    rotated_.emplace(x, out);
    return out;
  }

 private:
  bool OnlyW8Reads(ValueId x) const {
    const Uses& uses = rewriter_.uses();
    return !uses.IsOutput(x) && std::ranges::all_of(uses.Readers(x), [&](int reader) {
      return BecomesW8(graph_, uses, graph_.nodes[static_cast<size_t>(reader)]);
    });
  }

  Rewriter& rewriter_;
  Graph& graph_;
  std::map<ValueId, ValueId> rotated_;
};

}  // namespace

bool UseW8Weights(Graph& graph) {
  Rewriter rewriter(graph);
  RotatedRows rotated(rewriter);
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    if (!BecomesW8(graph, rewriter.uses(), graph.nodes[n])) continue;
    Node& node = graph.nodes[n];
    graph.value(node.inputs[1]).constant.packed_as = DType::kW8;
    node.inputs[0] = rotated.Before(static_cast<int>(n), node.inputs[0]);
  }
  return rewriter.Finish();
}

}  // namespace pelton
