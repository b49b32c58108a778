// Fast numerics: what a matmul over quantised weights reads is quantised to 8 bits, once for all
// matmuls that read it.
#include <map>

#include "graph/passes/passes.h"
#include "graph/passes/rewriter.h"

namespace pelton {

bool AssignPrecision(Graph& graph) {
  Rewriter rewriter(graph);
  std::map<ValueId, ValueId> quantized;
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    Node& node = graph.nodes[n];
    if (node.kind != OpKind::kMatmul && node.kind != OpKind::kGatedMatmul) continue;
    const ValueId x = node.inputs[0];
    if (graph.value(x).type != ElementType::kF32 ||
        !IsQuantized(graph.value(node.inputs[1]).constant.tensors[0].dtype)) {
      continue;
    }
    const auto [it, is_new] = quantized.try_emplace(x, kNoValue);
    if (is_new) {
      it->second = graph.AddResult(graph.UniqueName(graph.value(x).name + ".q8"));
      graph.value(it->second).type = ElementType::kQuantizedRows;
      graph.value(it->second).shape = graph.value(x).shape;
      rewriter.InsertBefore(static_cast<int>(n), {OpKind::kQuantize, {x}, {it->second}, {}});
    }
    node.inputs[0] = it->second;
  }
  return rewriter.Finish();
}

}  // namespace pelton
