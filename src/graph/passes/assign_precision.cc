// Fast numerics: what a matmul over quantised weights reads is quantised to 8 bits, once for all
// matmuls that read it. What W8 weights are multiplied by is rotated, and so given by the rotation.
#include <algorithm>
#include <map>
#include <vector>

#include "graph/passes/passes.h"
#include "graph/passes/rewriter.h"

namespace pelton {
namespace {

bool ReadsW8(const Graph& graph, const Node& node) {
  return IsMatmul(node.kind) && graph.value(node.inputs[1]).constant.packed_as.has_value();
}

// Whether matmuls by W8 are all that reads rotated rows, or copies of them for experts; `copies`
// gets those.
bool OnlyW8Reads(const Graph& graph, const Uses& uses, ValueId rows, std::vector<ValueId>* copies) {
  return !uses.IsOutput(rows) && std::ranges::all_of(uses.Readers(rows), [&](int reader) {
    const Node& node = graph.nodes[static_cast<size_t>(reader)];
    if (node.kind != OpKind::kExpertRows || copies == nullptr) return ReadsW8(graph, node);
    copies->push_back(node.outputs[0]);
    return OnlyW8Reads(graph, uses, node.outputs[0], nullptr);
  });
}

// Makes what is multiplied by W8 8 bits where it is rotated.
bool QuantizeRotated(Graph& graph, Rewriter& rewriter, ValueId x) {
  const Node* rows = rewriter.ProducerOf(x, OpKind::kExpertRows);
  const ValueId source = rows != nullptr ? rows->inputs[0] : x;
  Node* rotation = rewriter.ProducerOf(source, OpKind::kRotate);
  std::vector<ValueId> quantized = {source};
  if (rotation == nullptr || !OnlyW8Reads(graph, rewriter.uses(), source, &quantized)) return false;
  rotation->attributes["quantized"] = int64_t{1};
  for (const ValueId id : quantized) graph.value(id).type = ElementType::kQuantizedRows;
  return true;
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
      changed |= QuantizeRotated(graph, rewriter, x);
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
