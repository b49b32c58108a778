// Packs the weights of matmuls as W8, whatever they are stored as, and rotates the rows that they
// are multiplied by. Experts, heads and routers keep their format.
#include <algorithm>
#include <map>

#include "graph/passes/passes.h"
#include "graph/passes/rewriter.h"
#include "kernels/ops/rotate.h"

namespace pelton {
namespace {

bool IsPlainMatmul(const Node& node) {
  return node.kind == OpKind::kMatmul || node.kind == OpKind::kGatedMatmul;
}

// A choice of experts turns on small differences.
bool IsRouter(const Graph& graph, const Uses& uses, const Node& node) {
  return std::ranges::any_of(uses.Readers(node.outputs[0]), [&](int reader) {
    return graph.nodes[static_cast<size_t>(reader)].kind == OpKind::kRoute;
  });
}

bool CanBeW8(const Graph& graph, const Uses& uses, const Node& node) {
  const Value& weight = graph.value(node.inputs[1]);
  return IsPlainMatmul(node) && !IsRouter(graph, uses, node) &&
         weight.type == ElementType::kStored &&
         MayRotate(static_cast<size_t>(weight.shape.cols().factor)) &&
         graph.value(node.inputs[0]).type == ElementType::kF32;
}

}  // namespace

bool UseW8Weights(Graph& graph) {
  Rewriter rewriter(graph);
  std::map<ValueId, ValueId> rotated;
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    Node& node = graph.nodes[n];
    if (!IsMatmul(node.kind)) continue;
    const ValueId weight = node.inputs[1];
    const bool all = std::ranges::all_of(rewriter.uses().Readers(weight), [&](int reader) {
      const Node& other = graph.nodes[static_cast<size_t>(reader)];
      return !IsMatmul(other.kind) || CanBeW8(graph, rewriter.uses(), other);
    });
    if (!all) continue;
    graph.value(weight).constant.packed_as = DType::kW8;
    const ValueId x = node.inputs[0];
    const auto [it, is_new] = rotated.try_emplace(x, kNoValue);
    if (is_new) {
      it->second = graph.AddResult(graph.UniqueName(graph.value(x).name + ".rotated"));
      graph.value(it->second).type = ElementType::kF32;
      graph.value(it->second).shape = graph.value(x).shape;
      rewriter.InsertBefore(static_cast<int>(n), {OpKind::kRotate, {x}, {it->second}, {}});
    }
    node.inputs[0] = it->second;
  }
  return rewriter.Finish();
}

}  // namespace pelton
