#include "graph/plan/memory_plan.h"

#include <algorithm>

#include "base/checked_math.h"
#include "kernels/ops/quantized_rows.h"

namespace pelton {
namespace {

constexpr size_t kAlignment = 64;

// Inputs whose memory the first output may take over, by op.
std::vector<size_t> InPlaceInputs(const Node& node) {
  switch (node.kind) {
    case OpKind::kAdd:
    case OpKind::kMul:
    case OpKind::kGatedMul:
      return {0, 1};
    case OpKind::kSilu:
    case OpKind::kGeluTanh:
    case OpKind::kGeluErf:
    case OpKind::kSoftmax:
    case OpKind::kLayerNorm:
    case OpKind::kScale:
    case OpKind::kSoftCap:
    case OpKind::kRope:
    case OpKind::kRmsNorm:
    case OpKind::kMaskedSoftmax:
    case OpKind::kKeepPositions:
    case OpKind::kRopeKvWrite:
    case OpKind::kStreamMix:
      return {0};
    case OpKind::kAddRmsNorm:
      return {0, 1};  // for the sum
    case OpKind::kMatmul:
      return {3};  // the residual
    case OpKind::kExpandedAttention:
      return {3};  // whose other rows stay
    default:
      return {};
  }
}

struct Interval {
  ValueId root;
  size_t bytes;
  int begin;  // node that writes it
  int end;    // last node that reads it
};

// Memory owners and how long each lives.
class Lifetimes {
 public:
  Lifetimes(const Graph& graph, const SymbolValues& largest, MemoryPlan* plan)
      : graph_(graph), uses_(graph), plan_(plan), interval_of_(graph.num_values(), -1) {
    const int end_of_graph = static_cast<int>(graph.nodes.size());
    last_read_.assign(graph.num_values(), -1);
    // Last reads by value first: views pass theirs on to their root, whose producer comes earlier.
    for (size_t v = 0; v < graph.num_values(); ++v) {
      const auto id = static_cast<ValueId>(v);
      if (!uses_.Readers(id).empty()) last_read_[v] = uses_.Readers(id).back();
      if (uses_.IsOutput(id)) last_read_[v] = end_of_graph;
    }
    for (auto node = graph.nodes.rbegin(); node != graph.nodes.rend(); ++node) {
      if (node->kind != OpKind::kSliceCols) continue;
      int& parent = last_read_[static_cast<size_t>(node->inputs[0])];
      parent = std::max(parent, last_read_[static_cast<size_t>(node->outputs[0])]);
    }
    for (const ValueId input : graph.inputs) PlaceInput(input, largest);
    for (size_t n = 0; n < graph.nodes.size(); ++n) Visit(static_cast<int>(n), largest);
  }

  const std::vector<Interval>& intervals() const { return intervals_; }
  int IntervalOf(ValueId root) const { return interval_of_[static_cast<size_t>(root)]; }

 private:
  MemoryPlan::Place& PlaceOf(ValueId id) { return plan_->places[static_cast<size_t>(id)]; }

  // Rows of numbers that are there before the first node runs.
  void PlaceInput(ValueId input, const SymbolValues& largest) {
    const Value& value = graph_.value(input);
    if (value.type != ElementType::kF32) return;
    MemoryPlan::Place& place = PlaceOf(input);
    place.in_arena = true;
    place.root = input;
    const size_t bytes = ValueBytes(value, largest);
    plan_->sum_bytes += bytes;
    interval_of_[static_cast<size_t>(input)] = static_cast<int>(intervals_.size());
    intervals_.push_back({input, bytes, -1, std::max(last_read_[static_cast<size_t>(input)], 0)});
  }

  void Visit(int n, const SymbolValues& largest) {
    const Node& node = graph_.nodes[static_cast<size_t>(n)];
    if (node.kind == OpKind::kSliceCols) {
      const MemoryPlan::Place parent = PlaceOf(node.inputs[0]);
      MemoryPlan::Place& view = PlaceOf(node.outputs[0]);
      view = parent;
      view.first_col += static_cast<size_t>(node.Int("begin"));
      return;
    }
    for (size_t o = 0; o < node.outputs.size(); ++o) {
      const ValueId output = node.outputs[o];
      if (output == kNoValue || graph_.value(output).type == ElementType::kCache) continue;
      const Value& value = graph_.value(output);
      MemoryPlan::Place& place = PlaceOf(output);
      place.in_arena = true;
      place.root = output;
      size_t bytes = ValueBytes(value, largest);
      if (MayHoldBf16(graph_, uses_, output)) {
        bytes = std::max(bytes, largest.Of(value.shape.rows()) *
                                    QuantizedRows::Bf16RowBytes(largest.Of(value.shape.cols())));
      }
      plan_->sum_bytes += bytes;
      const int last = std::max(last_read_[static_cast<size_t>(output)], n);
      if (o == 0 && TakeOver(node, n, output, last)) continue;
      interval_of_[static_cast<size_t>(output)] = static_cast<int>(intervals_.size());
      intervals_.push_back({output, bytes, n, last});
    }
  }

  // Gives `output` the memory of an input that dies here, if the op can work in place.
  bool TakeOver(const Node& node, int n, ValueId output, int last) {
    const Value& value = graph_.value(output);
    for (size_t i : InPlaceInputs(node)) {
      const ValueId input = node.inputs[i];
      if (input == kNoValue) continue;
      const Value& source = graph_.value(input);
      const MemoryPlan::Place& place = PlaceOf(input);
      const bool owner = place.in_arena && place.root == input;
      if (!owner || source.type != value.type || !(source.shape == value.shape)) continue;
      if (last_read_[static_cast<size_t>(input)] > n) continue;
      // Another input of this node must not be a view of the same memory.
      const auto same = std::count_if(node.inputs.begin(), node.inputs.end(), [&](ValueId other) {
        return other != kNoValue && PlaceOf(other).in_arena && PlaceOf(other).root == input;
      });
      if (same != 1) continue;
      const int interval = interval_of_[static_cast<size_t>(input)];
      intervals_[static_cast<size_t>(interval)].end = last;
      interval_of_[static_cast<size_t>(output)] = interval;
      return true;
    }
    return false;
  }

  const Graph& graph_;
  const Uses uses_;
  MemoryPlan* plan_;
  std::vector<int> last_read_;
  std::vector<int> interval_of_;
  std::vector<Interval> intervals_;
};

}  // namespace

size_t RowStride(const Value& value, const SymbolValues& sizes) {
  return sizes.Of(value.shape.cols());
}

size_t ValueBytes(const Value& value, const SymbolValues& sizes) {
  const size_t rows = sizes.Of(value.shape.rows());
  if (value.type == ElementType::kQuantizedRows) {
    return rows * QuantizedRows::RowBytes(sizes.Of(value.shape.cols()));
  }
  return rows * RowStride(value, sizes) * sizeof(float);
}

bool MayHoldBf16(const Graph& graph, const Uses& uses, ValueId id) {
  const auto is_matmul = [&](int n) {
    const OpKind kind = graph.nodes[static_cast<size_t>(n)].kind;
    return kind == OpKind::kMatmul || kind == OpKind::kGatedMatmul;
  };
  const Value& value = graph.value(id);
  return value.type == ElementType::kQuantizedRows && !uses.IsOutput(id) &&
         value.shape.rows().symbol == Symbol::kTokens && uses.Producer(id) >= 0 &&
         is_matmul(uses.Producer(id)) && std::ranges::all_of(uses.Readers(id), is_matmul);
}

MemoryPlan PlanMemory(const Graph& graph, const SymbolValues& largest) {
  MemoryPlan plan;
  plan.places.resize(graph.num_values());
  for (size_t v = 0; v < graph.num_values(); ++v) {
    plan.places[v].root = static_cast<ValueId>(v);
  }
  const Lifetimes lifetimes(graph, largest, &plan);
  const std::vector<Interval>& intervals = lifetimes.intervals();

  std::vector<size_t> order(intervals.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return std::pair(intervals[b].bytes, a) < std::pair(intervals[a].bytes, b);
  });
  std::vector<size_t> offsets(intervals.size());
  std::vector<size_t> placed;
  for (size_t i : order) {
    const size_t bytes = RoundUp(std::max<size_t>(intervals[i].bytes, 1), kAlignment);
    // Occupied ranges of the values that live at the same time, by offset.
    std::vector<std::pair<size_t, size_t>> taken;
    for (size_t j : placed) {
      if (intervals[j].begin > intervals[i].end || intervals[i].begin > intervals[j].end) continue;
      taken.emplace_back(offsets[j],
                         offsets[j] + RoundUp(std::max<size_t>(intervals[j].bytes, 1), kAlignment));
    }
    std::sort(taken.begin(), taken.end());
    size_t offset = 0;
    for (const auto& [begin, end] : taken) {
      if (offset + bytes <= begin) break;
      offset = std::max(offset, end);
    }
    offsets[i] = offset;
    placed.push_back(i);
    plan.arena_bytes = std::max(plan.arena_bytes, offset + bytes);
  }
  for (MemoryPlan::Place& place : plan.places) {
    if (place.in_arena) {
      place.offset = offsets[static_cast<size_t>(lifetimes.IntervalOf(place.root))];
    }
  }
  return plan;
}

}  // namespace pelton
