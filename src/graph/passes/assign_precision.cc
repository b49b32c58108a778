// Fast numerics: what a matmul over quantised weights reads is quantised to 8 bits, once for all
// matmuls that read it. What W8 weights are multiplied by is rotated, and so given by the rotation.
#include <algorithm>
#include <map>

#include "graph/passes/passes.h"
#include "graph/passes/rewriter.h"

namespace pelton {
namespace {

bool OnlyW8Reads(const Graph& graph, const Uses& uses, ValueId x) {
  return !uses.IsOutput(x) && std::ranges::all_of(uses.Readers(x), [&](int reader) {
    const Node& node = graph.nodes[static_cast<size_t>(reader)];
    return IsMatmul(node.kind) && graph.value(node.inputs[1]).constant.packed_as;
  });
}

}  // namespace

bool AssignPrecision(Graph& graph) {
  Rewriter rewriter(graph);
  bool changed = false;
  std::map<ValueId, ValueId> quantized;
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    Node& node = graph.nodes[n];
    // The products of heads are few, and their rows are parts of rows.
    if (!IsMatmul(node.kind) || node.kind == OpKind::kHeadMatmul) continue;
    const ValueId x = node.inputs[0];
    const ConstantData& weight = graph.value(node.inputs[1]).constant;
    if (graph.value(x).type != ElementType::kF32 || !IsQuantized(weight.PackedDType())) continue;
    if (weight.packed_as) {
      Node* rotation = rewriter.ProducerOf(x, OpKind::kRotate);
      if (rotation == nullptr || !OnlyW8Reads(graph, rewriter.uses(), x)) continue;
      rotation->attributes["quantized"] = int64_t{1};
      graph.value(x).type = ElementType::kQuantizedRows;
      changed = true;
      continue;
    }
    const auto [it, is_new] = quantized.try_emplace(x, kNoValue);
    if (is_new) {
      const auto quantize = [&](ValueId from) {
        const ValueId to = graph.AddResult(graph.UniqueName(graph.value(from).name + ".q8"));
        graph.value(to).type = ElementType::kQuantizedRows;
        graph.value(to).shape = graph.value(from).shape;
        return to;
      };
      it->second = quantize(x);
      Node made{OpKind::kQuantize, {x}, {it->second}, {}};
      // Rows that several experts read are quantised once, before they are copied.
      const Node* rows = rewriter.OnlyReadProducerOf(x, OpKind::kExpertRows);
      if (rows != nullptr) {
        const ValueId source = rows->inputs[0];
        const auto [once, first] = quantized.try_emplace(source, kNoValue);
        if (first) {
          once->second = quantize(source);
          rewriter.InsertBefore(static_cast<int>(n),
                                {OpKind::kQuantize, {source}, {once->second}, {}});
        }
        made = *rows;
        made.inputs[0] = once->second;
        made.outputs = {it->second};
        rewriter.Remove(rewriter.ProducerIndex(x));
      }
      rewriter.InsertBefore(static_cast<int>(n), std::move(made));
    }
    node.inputs[0] = it->second;
  }
  return rewriter.Finish() || changed;
}

}  // namespace pelton
