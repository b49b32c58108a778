// What is done to a matmul's result at once is done in registers: bias, activation times the other
// half (gate and up then are one matmul over alternating panels), residual, the sum over experts.
#include <algorithm>
#include <optional>

#include "graph/passes/passes.h"
#include "graph/passes/rewriter.h"

namespace pelton {
namespace {

bool HasEpilogue(const Node& matmul) {
  if (matmul.kind != OpKind::kMatmul) return false;
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

// Gate and up in alternating panels, matrix by matrix where there are several; nullopt if they do
// not fit together.
std::optional<ConstantData> Interleave(const ConstantData& gate, const ConstantData& up) {
  const auto groups = static_cast<size_t>(gate.groups);
  if (gate.groups != up.groups || gate.tensors.size() != groups || up.tensors.size() != groups ||
      gate.interleave_panels || up.interleave_panels) {
    return std::nullopt;
  }
  ConstantData data{.interleave_panels = true, .groups = gate.groups};
  for (size_t i = 0; i < groups; ++i) {
    const StoredTensor& a = gate.tensors[i];
    const StoredTensor& b = up.tensors[i];
    if (a.dtype != b.dtype || a.rows != b.rows || a.cols != b.cols) return std::nullopt;
    data.tensors.insert(data.tensors.end(), {a, b});
  }
  return data;
}

// The biases of gate and up, matrix by matrix those of gate before those of up. Requires: both are
// lists of numbers.
std::vector<float> JoinBiases(const std::vector<float>& gate, const std::vector<float>& up,
                              int64_t groups) {
  std::vector<float> out;
  const auto each = static_cast<std::ptrdiff_t>(gate.size()) / groups;
  for (std::ptrdiff_t i = 0; i < groups; ++i) {
    for (const std::vector<float>* from : {&gate, &up}) {
      out.insert(out.end(), from->begin() + i * each, from->begin() + (i + 1) * each);
    }
  }
  return out;
}

bool JoinGateAndUp(Graph& graph) {
  Rewriter rewriter(graph);
  for (Node& gated : graph.nodes) {
    if (gated.kind != OpKind::kGatedMul) continue;
    for (const OpKind kind : {OpKind::kMatmul, OpKind::kExpertMatmul}) {
      const Node* gate = rewriter.OnlyReadProducerOf(gated.inputs[0], kind);
      const Node* up = rewriter.OnlyReadProducerOf(gated.inputs[1], kind);
      if (gate == nullptr || up == nullptr || gate == up || gate->inputs[0] != up->inputs[0] ||
          HasEpilogue(*gate) || HasEpilogue(*up)) {
        continue;
      }
      const Value& gate_weight = graph.value(gate->inputs[1]);
      const Value& up_weight = graph.value(up->inputs[1]);
      const std::optional<ConstantData> data = Interleave(gate_weight.constant, up_weight.constant);
      if (!data || !rewriter.uses().OnlyRead(gate->inputs[1]) ||
          !rewriter.uses().OnlyRead(up->inputs[1])) {
        continue;
      }
      // Of experts; a matmul with a bias was left alone above.
      const size_t bias_input = kind == OpKind::kMatmul ? 2 : 3;
      const ValueId biases[] = {gate->inputs[bias_input], up->inputs[bias_input]};
      const auto known = [&](ValueId id) {
        return id != kNoValue && !graph.value(id).constant.numbers.empty();
      };
      const bool biased = known(biases[0]) && known(biases[1]);
      if (!biased && (biases[0] != kNoValue || biases[1] != kNoValue)) continue;
      Node joined{kind == OpKind::kMatmul ? OpKind::kGatedMatmul : OpKind::kGatedExpertMatmul,
                  gate->inputs, gated.outputs, gate->attributes};
      joined.attributes.insert(gated.attributes.begin(), gated.attributes.end());
      const Shape shape{gate_weight.shape.rows().factor * 2, gate_weight.shape.cols()};
      joined.inputs[1] = graph.AddConstant(graph.UniqueName(gate_weight.name + "+up"),
                                           ElementType::kStored, shape, *data);
      joined.inputs.resize(SchemaOf(joined.kind).max_inputs);
      if (biased) {
        joined.inputs[bias_input] =
            graph.AddNumbers(graph.value(biases[0]).name + "+up",
                             JoinBiases(graph.value(biases[0]).constant.numbers,
                                        graph.value(biases[1]).constant.numbers, data->groups));
      }
      rewriter.Remove(rewriter.ProducerIndex(gated.inputs[0]));
      rewriter.Remove(rewriter.ProducerIndex(gated.inputs[1]));
      gated = std::move(joined);
      break;
    }
  }
  return rewriter.Finish();
}

// The rows that experts give are added up as they come.
bool JoinExpertSums(Graph& graph) {
  Rewriter rewriter(graph);
  for (Node& sum : graph.nodes) {
    if (sum.kind != OpKind::kExpertSum) continue;
    const Node* matmul = rewriter.OnlyReadProducerOf(sum.inputs[0], OpKind::kExpertMatmul);
    if (matmul == nullptr) continue;
    Node fused{OpKind::kExpertMatmulSum, matmul->inputs, sum.outputs, matmul->attributes};
    fused.inputs.insert(fused.inputs.begin() + 3, {sum.inputs[1], sum.inputs[2]});
    rewriter.Remove(rewriter.ProducerIndex(sum.inputs[0]));
    sum = std::move(fused);
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
  changed |= JoinExpertSums(graph);
  return changed;
}

}  // namespace pelton
