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
      const auto packed =
          PackedBytes(value.constant.PackedDType(), static_cast<size_t>(tensor.rows),
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

// By a row of sparse attention.
double PositionsSeen(const Graph& graph, const Node& node, const SymbolValues& sizes) {
  const auto top = static_cast<double>(graph.value(node.inputs[3]).shape.cols().factor);
  return std::min(top, static_cast<double>(sizes.context));
}

// Keys of a window and entries, by a row.
double EntriesSeen(const Graph& graph, const Node& node, const SymbolValues& sizes) {
  const auto context = static_cast<double>(sizes.context);
  double seen = std::min(context, static_cast<double>(node.Int("window")));
  if (node.inputs[3] == kNoValue) return seen;
  double entries = context / static_cast<double>(node.Int("ratio"));
  if (node.inputs[4] != kNoValue) {
    const auto top = static_cast<double>(graph.value(node.inputs[4]).shape.cols().factor);
    entries = std::min(entries, top);
  }
  return seen + entries;
}

// Rows of the KV cache that an op reads or writes, in bytes of 16 bits.
double CacheBytes(const Graph& graph, const Node& node, const SymbolValues& sizes) {
  const auto rows = static_cast<double>(sizes.context);
  switch (node.kind) {
    case OpKind::kAttention:
    case OpKind::kKvScores: {
      const bool latent = node.inputs[2] != kNoValue;  // one row is key and value
      double cols = static_cast<double>(graph.value(node.inputs[0]).shape.cols().factor);
      if (latent) cols += static_cast<double>(graph.value(node.inputs[2]).shape.cols().factor);
      const double head_dim = cols / static_cast<double>(node.Int("heads"));
      const double sides = node.kind == OpKind::kAttention && !latent ? 2 : 1;
      return sides * rows * static_cast<double>(node.Int("kv_heads")) * head_dim * 2;
    }
    case OpKind::kSparseAttention: {
      // Tokens share rows; none comes from memory twice.
      const double seen = static_cast<double>(sizes.tokens) * PositionsSeen(graph, node, sizes);
      const auto cols = static_cast<double>(graph.value(node.inputs[0]).shape.cols().factor +
                                            graph.value(node.inputs[2]).shape.cols().factor);
      return std::min(rows, seen) * cols / static_cast<double>(node.Int("heads")) * 2;
    }
    case OpKind::kExpandedAttention: {
      const auto rank = static_cast<double>(graph.value(node.inputs[1]).shape.cols().factor);
      const auto rope = static_cast<double>(graph.value(node.inputs[5]).shape.cols().factor);
      return rows * (rank + rope / static_cast<double>(node.Int("heads"))) * 2;
    }
    case OpKind::kIndexScores:
      return rows * static_cast<double>(graph.value(node.inputs[0]).shape.cols().factor) /
             static_cast<double>(node.Int("heads")) * 2;
    case OpKind::kCompressedAttention:
      return EntriesSeen(graph, node, sizes) *
             static_cast<double>(graph.value(node.inputs[0]).shape.cols().factor) /
             static_cast<double>(node.Int("heads")) * 2;
    case OpKind::kKvMix:
      return rows * static_cast<double>(node.Int("kv_heads") * node.Int("head_dim")) * 2;
    default:
      return 0;
  }
}

// Of a weight: an embedding reads the rows that it needs only, and experts that no row goes to are
// not read.
double ShareRead(const Graph& graph, const Node& node, const Value& weight,
                 const SymbolValues& sizes) {
  if (node.kind == OpKind::kEmbedding) {
    return std::min(1.0, static_cast<double>(sizes.tokens) /
                             static_cast<double>(std::max<int64_t>(weight.shape.rows().factor, 1)));
  }
  const auto rows = static_cast<double>(sizes.Of(graph.value(node.inputs[0]).shape.rows()));
  const bool experts = IsMatmul(node.kind) && node.kind != OpKind::kHeadMatmul;
  return experts ? std::min(1.0, rows / static_cast<double>(weight.constant.groups)) : 1;
}

// A step of several tokens is a prompt's, of which some ops compute all rows, others none.
bool HasRows(const Node& node, const SymbolValues& sizes) {
  const bool prompt = sizes.tokens > 1;
  if (node.kind == OpKind::kExpandedAttention) return prompt;
  return !prompt || !node.attributes.contains("generated");
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
      return 2 * static_cast<double>(sizes.Of(x.shape.rows())) * Elements(weight, sizes);
    }
    case OpKind::kExpertMatmul:
    case OpKind::kGatedExpertMatmul:
    case OpKind::kExpertMatmulSum:
    case OpKind::kHeadMatmul: {
      // A row meets one of the matrices, a row of heads a part of each.
      const Value& weight = graph.value(node.inputs[1]);
      const auto rows = static_cast<double>(sizes.Of(graph.value(node.inputs[0]).shape.rows()));
      const double share =
          node.kind == OpKind::kHeadMatmul ? 1 : 1 / static_cast<double>(weight.constant.groups);
      return 2 * rows * Elements(weight, sizes) * share;
    }
    case OpKind::kAttention:
    case OpKind::kKvScores: {
      const double rope = node.inputs[2] == kNoValue ? 0 : elements(2);
      const double mixed = node.kind == OpKind::kAttention ? elements(0) : 0;
      return 2 * (elements(0) + rope + mixed) * static_cast<double>(sizes.context);
    }
    case OpKind::kSparseAttention:
      return 2 * (2 * elements(0) + elements(2)) * PositionsSeen(graph, node, sizes);
    case OpKind::kExpandedAttention: {
      // Keys and values once for all rows, then the attention over them.
      const double expansion = (Elements(graph.value(node.inputs[1]), sizes) +
                                Elements(graph.value(node.inputs[2]), sizes));
      const double pairs = elements(0) + elements(5) + elements(3);
      return 2 * (expansion + pairs) * static_cast<double>(sizes.context);
    }
    case OpKind::kCompressedAttention:
      return 4 * elements(0) * EntriesSeen(graph, node, sizes);
    case OpKind::kIndexScores:
      return 2 * elements(0) * static_cast<double>(sizes.context);
    case OpKind::kSelfAttention:
      return 4 * elements(0) * static_cast<double>(sizes.context);
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
  if (!HasRows(node, sizes)) return cost;
  bool integers = false;
  for (ValueId input : node.inputs) {
    if (input == kNoValue) continue;
    const Value& value = graph.value(input);
    integers |= value.type == ElementType::kQuantizedRows;
    if (value.type == ElementType::kStored || value.type == ElementType::kPacked) {
      cost.weight_bytes += ShareRead(graph, node, value, sizes) * WeightBytes(value);
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
