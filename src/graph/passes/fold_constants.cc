// Computes ops whose inputs are all known numbers: rotary frequencies, gains stored minus one.
#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>

#include "graph/passes/passes.h"
#include "graph/passes/rewriter.h"

namespace pelton {
namespace {

// Angle per token of each rotary pair. Sources: Su et al. 2021 (RoFormer); Llama 3.1's reference
// code (llama3); Peng et al. 2023, YaRN, sections 3.2-3.4 (yarn).
std::vector<float> RopeFrequencies(const Node& node) {
  const auto dims = static_cast<double>(node.Int("dims"));
  const double base = node.Number("base"), factor = node.Number("factor");
  const double low = node.Number("low"), high = node.Number("high");
  const auto original = static_cast<double>(node.Int("original"));
  const std::string& scaling = node.Text("scaling");
  // YaRN: the pair whose wavelength makes `rotations` turns within the original context.
  const auto pair_with_rotations = [&](double rotations) {
    return dims * std::log(original / (rotations * 2 * std::numbers::pi)) / (2 * std::log(base));
  };
  std::vector<float> frequencies;
  for (double pair = 0; pair < dims / 2; ++pair) {
    double frequency = std::pow(base, -2 * pair / dims);
    if (scaling == "linear") {
      frequency /= factor;
    } else if (scaling == "llama3") {
      const double rotations = original * frequency / (2 * std::numbers::pi);
      if (rotations < low) {
        frequency /= factor;
      } else if (rotations <= high) {
        const double smooth = (rotations - low) / (high - low);
        frequency = (1 - smooth) * frequency / factor + smooth * frequency;
      }
    } else if (scaling == "yarn") {
      double first = pair_with_rotations(high), last = pair_with_rotations(low);
      if (node.Int("truncate") != 0) {
        first = std::floor(first);
        last = std::ceil(last);
      }
      first = std::max(first, 0.0);
      last = std::min(last, dims - 1);
      const double ramp = std::clamp((pair - first) / std::max(last - first, 0.001), 0.0, 1.0);
      frequency = frequency / factor * ramp + frequency * (1 - ramp);
    }
    frequencies.push_back(static_cast<float>(frequency));
  }
  return frequencies;
}

const std::vector<float>* Numbers(const Graph& graph, ValueId id) {
  const Value& value = graph.value(id);
  if (value.kind != ValueKind::kConstant || value.type != ElementType::kF32) return nullptr;
  return &value.constant.numbers;
}

std::optional<std::vector<float>> Evaluate(const Graph& graph, const Node& node) {
  if (node.kind == OpKind::kRopeFrequencies) return RopeFrequencies(node);
  if (node.kind != OpKind::kScale && node.kind != OpKind::kAdd && node.kind != OpKind::kMul) {
    return std::nullopt;
  }
  const std::vector<float>* a = Numbers(graph, node.inputs[0]);
  if (a == nullptr) return std::nullopt;
  std::vector<float> out = *a;
  if (node.kind == OpKind::kScale) {
    for (float& x : out) x *= static_cast<float>(node.Number("by"));
    return out;
  }
  const std::vector<float>* b = Numbers(graph, node.inputs[1]);
  if (b == nullptr) return std::nullopt;
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] = node.kind == OpKind::kAdd ? out[i] + (*b)[i] : out[i] * (*b)[i];
  }
  return out;
}

}  // namespace

bool FoldConstants(Graph& graph) {
  bool changed = false;
  // Values are turned into constants in place, so a folded input is seen by the ops after it.
  std::vector<Node> kept;
  kept.reserve(graph.nodes.size());
  for (Node& node : graph.nodes) {
    std::optional<std::vector<float>> numbers = Evaluate(graph, node);
    if (!numbers) {
      kept.push_back(std::move(node));
      continue;
    }
    Value& value = graph.value(node.outputs[0]);
    value.kind = ValueKind::kConstant;
    value.constant.numbers = std::move(*numbers);
    changed = true;
  }
  graph.nodes = std::move(kept);
  return changed;
}

}  // namespace pelton
