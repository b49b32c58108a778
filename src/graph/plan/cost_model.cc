#include "graph/plan/cost_model.h"

#include <algorithm>

#include "graph/plan/memory_plan.h"
#include "kernels/ops/packed_weights.h"

namespace pelton {
namespace {

// As they are read: packed, or as the file has them.
double WeightBytes(const Value& value) {
  double bytes = 0;
  for (const StoredTensor& tensor : value.constant.tensors) {
    if (value.type == ElementType::kPacked) {
      const auto packed = PackedBytes(tensor.dtype, static_cast<size_t>(tensor.rows),
                                      static_cast<size_t>(tensor.cols));
      bytes += static_cast<double>(packed.value_or(0));
      continue;
    }
    const double blocks = static_cast<double>(tensor.rows) * static_cast<double>(tensor.cols) /
                          static_cast<double>(BlockElements(tensor.dtype));
    bytes += blocks * static_cast<double>(BlockBytes(tensor.dtype));
  }
  return bytes;
}

double Elements(const Value& value, const SymbolValues& sizes) {
  return static_cast<double>(sizes.Of(value.shape.rows())) *
         static_cast<double>(sizes.Of(value.shape.cols()));
}

// Rows of the KV cache that an op reads or writes, in bytes of 16 bits.
double CacheBytes(const Graph& graph, const Node& node, const SymbolValues& sizes) {
  const auto rows = static_cast<double>(sizes.context);
  switch (node.kind) {
    case OpKind::kAttention:
    case OpKind::kKvScores: {
      const double head_dim = static_cast<double>(graph.value(node.inputs[0]).shape.cols().factor) /
                              static_cast<double>(node.Int("heads"));
      const double sides = node.kind == OpKind::kAttention ? 2 : 1;
      return sides * rows * static_cast<double>(node.Int("kv_heads")) * head_dim * 2;
    }
    case OpKind::kKvMix:
      return rows * static_cast<double>(node.Int("kv_heads") * node.Int("head_dim")) * 2;
    default:
      return 0;
  }
}

double Operations(const Graph& graph, const Node& node, const SymbolValues& sizes) {
  const auto elements = [&](size_t input) {
    return Elements(graph.value(node.inputs[input]), sizes);
  };
  switch (node.kind) {
    case OpKind::kMatmul:
    case OpKind::kGatedMatmul: {
      const Value& weight = graph.value(node.inputs[1]);
      const Value& x = graph.value(node.inputs[0]);
      const double terms = static_cast<double>(std::max<size_t>(QuantizedTerms(x.type), 1));
      return 2 * terms * static_cast<double>(sizes.Of(x.shape.rows())) * Elements(weight, sizes);
    }
    case OpKind::kAttention:
    case OpKind::kSelfAttention:
      return 4 * elements(0) * static_cast<double>(sizes.context);
    case OpKind::kKvScores:
    case OpKind::kScores:
      return 2 * elements(0) * static_cast<double>(sizes.context);
    case OpKind::kKvMix:
      return 2 * elements(0) * static_cast<double>(node.Int("head_dim"));
    case OpKind::kMix:
      return 2 * elements(0) *
             static_cast<double>(graph.value(node.inputs[1]).shape.cols().factor) /
             static_cast<double>(node.Int("kv_heads"));
    default: {
      double total = 0;
      for (ValueId output : node.outputs) {
        if (output != kNoValue) total += 4 * Elements(graph.value(output), sizes);
      }
      return total;
    }
  }
}

}  // namespace

GraphCost CostOf(const Graph& graph, const Node& node, const SymbolValues& sizes,
                 const MachineModel& machine) {
  GraphCost cost;
  if (node.kind == OpKind::kSliceCols) return cost;
  cost.ops = 1;
  bool integers = false;
  for (ValueId input : node.inputs) {
    if (input == kNoValue) continue;
    const Value& value = graph.value(input);
    integers |= QuantizedTerms(value.type) > 0;
    if (value.type == ElementType::kStored || value.type == ElementType::kPacked) {
      // An embedding reads the rows that it needs only.
      const double share =
          node.kind == OpKind::kEmbedding
              ? static_cast<double>(sizes.tokens) /
                    static_cast<double>(std::max<int64_t>(value.shape.rows().factor, 1))
              : 1.0;
      cost.weight_bytes += std::min(share, 1.0) * WeightBytes(value);
    } else if (value.type != ElementType::kCache) {
      cost.value_bytes += static_cast<double>(ValueBytes(value, sizes));
    }
  }
  for (ValueId output : node.outputs) {
    if (output != kNoValue && graph.value(output).type != ElementType::kCache) {
      cost.value_bytes += static_cast<double>(ValueBytes(graph.value(output), sizes));
    }
  }
  cost.cache_bytes = CacheBytes(graph, node, sizes);
  cost.value_bytes += cost.cache_bytes;
  cost.operations = Operations(graph, node, sizes);
  const double moving = (cost.weight_bytes + cost.cache_bytes) / machine.bytes_per_second +
                        (cost.value_bytes - cost.cache_bytes) / machine.cache_bytes_per_second;
  const double computing =
      cost.operations / (integers ? machine.int8_ops_per_second : machine.f32_ops_per_second);
  cost.seconds = std::max(moving, computing) + machine.seconds_per_op;
  return cost;
}

GraphCost CostOf(const Graph& graph, const SymbolValues& sizes, const MachineModel& machine) {
  GraphCost total;
  for (const Node& node : graph.nodes) {
    const GraphCost cost = CostOf(graph, node, sizes, machine);
    total.ops += cost.ops;
    total.weight_bytes += cost.weight_bytes;
    total.value_bytes += cost.value_bytes;
    total.cache_bytes += cost.cache_bytes;
    total.operations += cost.operations;
    total.seconds += cost.seconds;
  }
  return total;
}

}  // namespace pelton
