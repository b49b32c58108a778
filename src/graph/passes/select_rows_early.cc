// Only some rows of a step need logits. Ops that treat each row by itself commute with the choice
// of rows, so the choice moves up: the last layer's feed-forward part then runs for those rows
// only.
#include "graph/passes/passes.h"
#include "graph/passes/rewriter.h"

namespace pelton {
namespace {

// Inputs of a row-wise op that have one row per row of its output.
std::vector<size_t> RowInputs(const Graph& graph, const Node& node) {
  std::vector<size_t> rows;
  switch (node.kind) {
    case OpKind::kAdd:
    case OpKind::kMul:
    case OpKind::kSilu:
    case OpKind::kGeluTanh:
    case OpKind::kGeluErf:
    case OpKind::kScale:
    case OpKind::kSoftCap:
    case OpKind::kRmsNorm:
    case OpKind::kLayerNorm:
    case OpKind::kMatmul:
    case OpKind::kStreamWeights:
    case OpKind::kStreamMerge:
    case OpKind::kStreamMix:
      break;
    default:
      return rows;
  }
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    const ValueId input = node.inputs[i];
    if (input == kNoValue) continue;
    const Value& value = graph.value(input);
    if (value.type == ElementType::kF32 && value.shape.rank() == 2) rows.push_back(i);
  }
  return rows;
}

bool MoveUpOnce(Graph& graph) {
  Rewriter rewriter(graph);
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    const int n = static_cast<int>(i);
    if (graph.nodes[i].kind != OpKind::kGatherRows) continue;
    const Node gather = graph.nodes[i];
    const int producer = rewriter.ProducerIndex(gather.inputs[0]);
    if (producer < 0 || rewriter.removed(producer) || !rewriter.uses().OnlyRead(gather.inputs[0])) {
      continue;
    }
    Node op = graph.nodes[static_cast<size_t>(producer)];
    const std::vector<size_t> row_inputs = RowInputs(graph, op);
    if (row_inputs.empty()) continue;
    for (size_t input : row_inputs) {
      const ValueId rows =
          graph.AddResult(graph.UniqueName(graph.value(op.inputs[input]).name + ".rows"));
      const Shape shape{graph.value(gather.outputs[0]).shape.rows(),
                        graph.value(op.inputs[input]).shape.cols()};
      graph.value(rows).type = ElementType::kF32;
      graph.value(rows).shape = shape;
      rewriter.InsertBefore(
          n, {OpKind::kGatherRows, {op.inputs[input], gather.inputs[1]}, {rows}, {}});
      op.inputs[input] = rows;
    }
    op.outputs = gather.outputs;
    rewriter.InsertBefore(n, std::move(op));
    rewriter.Remove(producer);
    rewriter.Remove(n);
  }
  return rewriter.Finish();
}

}  // namespace

bool SelectRowsEarly(Graph& graph) {
  bool changed = false;
  // The same rows of one value may be chosen twice on the way; they must be one choice again before
  // their source can have a single reader.
  while (MoveUpOnce(graph)) {
    MergeCommonSubexpressions(graph);
    changed = true;
  }
  return changed;
}

}  // namespace pelton
