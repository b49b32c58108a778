// What is done to a matmul's result at once is done in registers: bias, activation times the other
// half (gate and up then are one matmul over alternating panels), residual.
#include <algorithm>

#include "graph/passes/passes.h"
#include "graph/passes/rewriter.h"

namespace pelton {
namespace {

bool HasEpilogue(const Node& matmul) {
  return matmul.inputs[2] != kNoValue || matmul.inputs[3] != kNoValue ||
         matmul.attributes.contains("activation");
}

// mul(silu(gate), up) -> gated_mul(gate, up), in either order of the factors.
bool JoinActivationAndMul(Graph& graph) {
  Rewriter rewriter(graph);
  for (Node& mul : graph.nodes) {
    if (mul.kind != OpKind::kMul || graph.value(mul.inputs[1]).shape.rank() != 2) continue;
    for (size_t side : {0, 1}) {
      const Node* silu = rewriter.OnlyReadProducerOf(mul.inputs[side], OpKind::kSilu);
      const Node* gelu = rewriter.OnlyReadProducerOf(mul.inputs[side], OpKind::kGeluTanh);
      const Node* activation = silu != nullptr ? silu : gelu;
      if (activation == nullptr) continue;
      const ValueId gate = activation->inputs[0], up = mul.inputs[1 - side];
      rewriter.Remove(rewriter.ProducerIndex(mul.inputs[side]));
      mul = Node{OpKind::kGatedMul,
                 {gate, up},
                 mul.outputs,
                 {{"activation", std::string(silu != nullptr ? "silu" : "gelu_tanh")}}};
      break;
    }
  }
  return rewriter.Finish();
}

bool JoinGateAndUp(Graph& graph) {
  Rewriter rewriter(graph);
  for (Node& gated : graph.nodes) {
    if (gated.kind != OpKind::kGatedMul) continue;
    const Node* gate = rewriter.OnlyReadProducerOf(gated.inputs[0], OpKind::kMatmul);
    const Node* up = rewriter.OnlyReadProducerOf(gated.inputs[1], OpKind::kMatmul);
    if (gate == nullptr || up == nullptr || gate == up || gate->inputs[0] != up->inputs[0] ||
        HasEpilogue(*gate) || HasEpilogue(*up)) {
      continue;
    }
    const Value& gate_weight = graph.value(gate->inputs[1]);
    const Value& up_weight = graph.value(up->inputs[1]);
    if (gate_weight.constant.tensors.size() != 1 || up_weight.constant.tensors.size() != 1)
      continue;
    const StoredTensor gate_tensor = gate_weight.constant.tensors[0];
    const StoredTensor up_tensor = up_weight.constant.tensors[0];
    if (gate_tensor.dtype != up_tensor.dtype || gate_tensor.rows != up_tensor.rows ||
        !rewriter.uses().OnlyRead(gate->inputs[1]) || !rewriter.uses().OnlyRead(up->inputs[1])) {
      continue;
    }
    ConstantData data;
    data.tensors = {gate_tensor, up_tensor};
    data.interleave_panels = true;
    const ValueId x = gate->inputs[0];
    rewriter.Remove(rewriter.ProducerIndex(gated.inputs[0]));
    rewriter.Remove(rewriter.ProducerIndex(gated.inputs[1]));
    const ValueId weight =
        graph.AddConstant(graph.UniqueName(gate_tensor.name + "+up"), ElementType::kStored,
                          Shape{gate_tensor.rows * 2, gate_tensor.cols}, std::move(data));
    gated = Node{OpKind::kGatedMatmul, {x, weight}, gated.outputs, gated.attributes};
  }
  return rewriter.Finish();
}

// add(matmul(x, w), b): b a number per column (bias), or rows (residual).
bool JoinAdds(Graph& graph) {
  Rewriter rewriter(graph);
  for (Node& add : graph.nodes) {
    if (add.kind != OpKind::kAdd || graph.value(add.inputs[0]).shape.rank() != 2) continue;
    for (size_t side : {0, 1}) {
      const Node* matmul = rewriter.OnlyReadProducerOf(add.inputs[side], OpKind::kMatmul);
      if (matmul == nullptr) continue;
      const ValueId other = add.inputs[1 - side];
      const bool bias = graph.value(other).shape.rank() == 1;
      // In the kernel the residual comes after the bias.
      if (matmul->inputs[3] != kNoValue || (bias && matmul->inputs[2] != kNoValue)) continue;
      if (bias && matmul->attributes.contains("activation")) continue;
      if (other == add.inputs[side]) continue;
      Node fused = *matmul;
      fused.inputs[bias ? 2 : 3] = other;
      fused.outputs = add.outputs;
      rewriter.Remove(rewriter.ProducerIndex(add.inputs[side]));
      add = std::move(fused);
      break;
    }
  }
  return rewriter.Finish();
}

// gelu_erf(matmul(x, w, b)) -> the matmul does it.
bool JoinActivations(Graph& graph) {
  Rewriter rewriter(graph);
  for (Node& gelu : graph.nodes) {
    if (gelu.kind != OpKind::kGeluErf) continue;
    const Node* matmul = rewriter.OnlyReadProducerOf(gelu.inputs[0], OpKind::kMatmul);
    if (matmul == nullptr || matmul->inputs[3] != kNoValue ||
        matmul->attributes.contains("activation")) {
      continue;
    }
    Node fused = *matmul;
    fused.attributes["activation"] = std::string("gelu_erf");
    fused.outputs = gelu.outputs;
    rewriter.Remove(rewriter.ProducerIndex(gelu.inputs[0]));
    gelu = std::move(fused);
  }
  return rewriter.Finish();
}

}  // namespace

bool FuseEpilogues(Graph& graph) {
  bool changed = JoinActivationAndMul(graph);
  changed |= JoinGateAndUp(graph);
  changed |= JoinAdds(graph);  // biases
  changed |= JoinActivations(graph);
  changed |= JoinAdds(graph);  // residuals of matmuls that got a bias
  return changed;
}

}  // namespace pelton
