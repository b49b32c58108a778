// Matmuls that read the same rows (q, k and v; gate and up where they were not joined) become one
// over weights laid end to end: one pass over the rows, one barrier. Their results are views of it.
#include <algorithm>
#include <map>

#include "graph/passes/passes.h"
#include "graph/passes/rewriter.h"

namespace pelton {
namespace {

bool CanMerge(const Graph& graph, const Uses& uses, const Node& node) {
  if (node.kind != OpKind::kMatmul || node.inputs[3] != kNoValue || !node.attributes.empty()) {
    return false;
  }
  const Value& weight = graph.value(node.inputs[1]);
  if (weight.type != ElementType::kStored || weight.constant.interleave_panels ||
      !uses.OnlyRead(node.inputs[1]) || uses.IsOutput(node.outputs[0])) {
    return false;
  }
  if (node.inputs[2] == kNoValue) return true;
  const Value& bias = graph.value(node.inputs[2]);
  return bias.kind == ValueKind::kConstant;
}

}  // namespace

bool MergeSiblingMatmuls(Graph& graph) {
  Rewriter rewriter(graph);
  std::map<std::pair<ValueId, DType>, std::vector<int>> groups;
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    const Node& node = graph.nodes[n];
    if (!CanMerge(graph, rewriter.uses(), node)) continue;
    const DType dtype = graph.value(node.inputs[1]).constant.tensors[0].dtype;
    groups[{node.inputs[0], dtype}].push_back(static_cast<int>(n));
  }
  for (const auto& [key, members] : groups) {
    if (members.size() < 2) continue;
    ConstantData weights;
    std::vector<float> biases;
    bool any_bias = false;
    int64_t rows = 0;
    for (int n : members) {
      const Node& node = graph.nodes[static_cast<size_t>(n)];
      const Value& weight = graph.value(node.inputs[1]);
      weights.tensors.insert(weights.tensors.end(), weight.constant.tensors.begin(),
                             weight.constant.tensors.end());
      rows += weight.shape.rows().factor;
      if (node.inputs[2] != kNoValue) {
        const std::vector<float>& bias = graph.value(node.inputs[2]).constant.numbers;
        biases.insert(biases.end(), bias.begin(), bias.end());
        any_bias = true;
      } else {
        biases.resize(static_cast<size_t>(rows));
      }
    }
    const Node& first = graph.nodes[static_cast<size_t>(members[0])];
    const Shape x = graph.value(first.inputs[0]).shape;
    const std::string name = weights.tensors[0].name;
    const ValueId weight =
        graph.AddConstant(graph.UniqueName(name + "+siblings"), ElementType::kStored,
                          Shape{rows, x.cols()}, std::move(weights));
    const ValueId bias =
        any_bias ? graph.AddNumbers(name + "+biases", std::move(biases)) : kNoValue;
    const ValueId all = graph.AddResult(graph.UniqueName(name + "+siblings.out"));
    graph.value(all).type = ElementType::kF32;
    graph.value(all).shape = Shape{x.rows(), rows};
    rewriter.InsertBefore(members[0],
                          {OpKind::kMatmul, {first.inputs[0], weight, bias, kNoValue}, {all}, {}});
    int64_t begin = 0;
    for (int n : members) {
      const Node& node = graph.nodes[static_cast<size_t>(n)];
      const int64_t count = graph.value(node.outputs[0]).shape.cols().factor;
      rewriter.InsertBefore(
          members[0],
          {OpKind::kSliceCols, {all}, {node.outputs[0]}, {{"begin", begin}, {"count", count}}});
      rewriter.Remove(n);
      begin += count;
    }
  }
  return rewriter.Finish();
}

}  // namespace pelton
