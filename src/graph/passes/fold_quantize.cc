// An op whose result is only quantised gives it so itself.
#include "graph/passes/passes.h"
#include "graph/passes/rewriter.h"
#include "kernels/ops/quantized_rows.h"

namespace pelton {
namespace {

// Whether the kernel of `node` can give output `id` quantised.
bool CanQuantize(const Graph& graph, const Node& node, ValueId id) {
  const Dim cols = graph.value(id).shape.cols();
  const auto whole_blocks = [](int64_t size) {
    return size % static_cast<int64_t>(QuantizedRows::kBlock) == 0;
  };
  switch (node.kind) {
    case OpKind::kRmsNorm:
      return node.Int("groups") == 1;
    case OpKind::kAddRmsNorm:
      return id == node.outputs[1];
    case OpKind::kGatedMul:
    case OpKind::kLayerNorm:
      return true;
    case OpKind::kMatmul:
    case OpKind::kGatedMatmul:
    case OpKind::kExpertMatmul:
    case OpKind::kGatedExpertMatmul:
      return cols.constant() && whole_blocks(cols.factor);
    // A unit of attention makes whole heads.
    case OpKind::kAttention:
    case OpKind::kSelfAttention:
      return cols.constant() && whole_blocks(cols.factor / node.Int("heads"));
    default:
      return false;
  }
}

}  // namespace

bool FoldQuantize(Graph& graph) {
  Rewriter rewriter(graph);
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    const Node& quantize = graph.nodes[n];
    if (quantize.kind != OpKind::kQuantize) continue;
    const ValueId x = quantize.inputs[0];
    const int producer = rewriter.ProducerIndex(x);
    if (producer < 0 || !rewriter.uses().OnlyRead(x)) continue;
    Node& node = graph.nodes[static_cast<size_t>(producer)];
    if (!CanQuantize(graph, node, x)) continue;
    node.attributes["quantized"] = int64_t{1};
    for (ValueId& output : node.outputs) {
      if (output == x) output = quantize.outputs[0];
    }
    rewriter.Remove(static_cast<int>(n));
  }
  return rewriter.Finish();
}

}  // namespace pelton
