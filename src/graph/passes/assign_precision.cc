// Fast numerics: what a matmul over quantised weights reads is quantised, once for all matmuls that
// read it: to 8 bits, or to 16 where it is a gated product. Products of two activations have heavy
// tails, which cost a block's other values their precision: with SmolLM2 they alone make most of
// the loss that 8 bits bring (docs/design/numerics.md).
#include <map>

#include "graph/passes/passes.h"
#include "graph/passes/rewriter.h"

namespace pelton {
namespace {

bool IsMatmul(const Node& node) {
  return node.kind == OpKind::kMatmul || node.kind == OpKind::kGatedMatmul;
}
bool IsProduct(const Node& node) {
  return node.kind == OpKind::kMul || node.kind == OpKind::kGatedMul ||
         node.kind == OpKind::kGatedMatmul;
}

}  // namespace

bool AssignPrecision(Graph& graph) {
  Rewriter rewriter(graph);
  std::map<ValueId, ValueId> quantized;
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    Node& node = graph.nodes[n];
    if (!IsMatmul(node)) continue;
    const ValueId x = node.inputs[0];
    if (graph.value(x).type != ElementType::kF32 ||
        !IsQuantized(graph.value(node.inputs[1]).constant.tensors[0].dtype)) {
      continue;
    }
    const auto [it, is_new] = quantized.try_emplace(x, kNoValue);
    if (is_new) {
      const int producer = rewriter.ProducerIndex(x);
      const bool fine = producer >= 0 && IsProduct(graph.nodes[static_cast<size_t>(producer)]);
      it->second = graph.AddResult(graph.UniqueName(graph.value(x).name + (fine ? ".q16" : ".q8")));
      graph.value(it->second).type = fine ? ElementType::kTwoTermRows : ElementType::kQuantizedRows;
      graph.value(it->second).shape = graph.value(x).shape;
      rewriter.InsertBefore(
          static_cast<int>(n),
          {OpKind::kQuantize, {x}, {it->second}, {{"terms", int64_t{fine ? 2 : 1}}}});
    }
    node.inputs[0] = it->second;
  }
  return rewriter.Finish();
}

}  // namespace pelton
