// Removes ops that change nothing and joins chains of the same op.
#include <cmath>

#include "graph/passes/passes.h"
#include "graph/passes/rewriter.h"

namespace pelton {

bool Simplify(Graph& graph) {
  Rewriter rewriter(graph);
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    const int n = static_cast<int>(i);
    Node& node = graph.nodes[i];
    if (node.kind == OpKind::kScale && node.Number("by") == 1) {
      rewriter.Replace(node.outputs[0], node.inputs[0]);
      rewriter.Remove(n);
    } else if (node.kind == OpKind::kSliceCols && node.Int("begin") == 0 &&
               Dim(node.Int("count")) == graph.value(node.inputs[0]).shape.cols()) {
      rewriter.Replace(node.outputs[0], node.inputs[0]);
      rewriter.Remove(n);
    } else if (node.kind == OpKind::kScale) {
      // scale(scale(x)): only for exact powers of two is the product of factors the same number.
      Node* inner = rewriter.OnlyReadProducerOf(node.inputs[0], OpKind::kScale);
      int exponent;
      if (inner != nullptr && std::abs(std::frexp(inner->Number("by"), &exponent)) == 0.5) {
        node.attributes["by"] = node.Number("by") * inner->Number("by");
        node.inputs[0] = inner->inputs[0];
        rewriter.Remove(rewriter.ProducerIndex(inner->outputs[0]));
      }
    } else if (node.kind == OpKind::kSliceCols) {
      // A slice of a slice reads the first one's source.
      if (const Node* inner = rewriter.ProducerOf(node.inputs[0], OpKind::kSliceCols)) {
        node.attributes["begin"] = node.Int("begin") + inner->Int("begin");
        node.inputs[0] = inner->inputs[0];
      }
    }
  }
  return rewriter.Finish();
}

}  // namespace pelton
