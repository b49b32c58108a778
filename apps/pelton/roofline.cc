#include "roofline.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string_view>
#include <utility>

#include "graph/plan/cost_model.h"

namespace pelton {
namespace {

// "matmul 2048x5632 Q8_0": what of a node decides its cost besides the step.
std::string NameOf(const Graph& graph, const Node& node) {
  std::string name(SchemaOf(node.kind).name);
  for (const ValueId input : node.inputs) {
    if (input == kNoValue) continue;
    const auto& value = graph.value(input);
    if (value.type != ElementType::kPacked) continue;
    name += fmt::format(" {}x{} {}", value.shape.cols().factor, value.shape.rows().factor,
                        DTypeName(value.constant.PackedDType()));
  }
  return name;
}

// Operations a second that the kernel could do, with the instructions that it uses.
double PeakOf(std::string_view kernel, bool integers, const MachineLimits& limits) {
  if (kernel == "amx_bf16") return limits.tile_bf16_operations;
  if (kernel == "amx_int8") return limits.tile_int8_operations;
  return integers ? limits.int8_operations : limits.f32_operations;
}

// One run of an op. Of its bytes weights and cache come from memory; the rest stays in caches.
void AddOp(const Graph& graph, const Node& node, const ProfiledOp& op, const SymbolValues& sizes,
           const MachineLimits& limits, RooflineRow& row) {
  const GraphCost cost = CostOf(graph, node, sizes, MachineModel{});
  const double bytes = cost.weight_bytes + cost.cache_bytes;
  const bool integers = std::ranges::any_of(node.inputs, [&](ValueId input) {
    return input != kNoValue && graph.value(input).type == ElementType::kQuantizedRows;
  });
  const double reading = bytes / limits.read_bytes;
  const double computing = cost.operations / PeakOf(op.impl, integers, limits);
  ++row.calls;
  row.seconds += static_cast<double>(op.end_ns - op.start_ns) * 1e-9;
  row.bytes += bytes;
  row.operations += cost.operations;
  row.floor += std::max(reading, computing);
  if (reading > computing) row.memory_floor += reading;
}

}  // namespace

Roofline RooflineOf(const LanguageModel& model, const MachineLimits& limits,
                    const ProfileRecord& record, const RooflineSteps& steps) {
  const Graph& graph = model.executor->graph();
  const std::vector<int> nodes = model.executor->OpNodes();
  const SymbolValues sizes{steps.rows, steps.logit_rows, steps.context};
  Roofline out;
  std::map<std::pair<std::string, std::string>, RooflineRow> found;
  size_t next = 0, seen = 0;
  for (const ProfiledStep& step : record.steps) {
    const bool counts = step.tokens == steps.rows && seen++ >= steps.skip;
    while (next < record.ops.size() && record.ops[next].start_ns < step.start_ns) ++next;
    for (; next < record.ops.size() && record.ops[next].end_ns <= step.end_ns; ++next) {
      const ProfiledOp& op = record.ops[next];
      const Node& node = graph.nodes[static_cast<size_t>(nodes[op.op_idx])];
      if (counts) AddOp(graph, node, op, sizes, limits, found[{NameOf(graph, node), op.impl}]);
    }
    if (!counts) continue;
    ++out.steps;
    out.step_seconds += static_cast<double>(step.end_ns - step.start_ns) * 1e-9;
  }
  for (auto& [key, row] : found) {
    row.op = key.first;
    row.kernel = key.second;
    row.bound_by = 2 * row.memory_floor > row.floor ? "memory" : "arithmetic";
    out.op_seconds += row.seconds;
    out.floor += row.floor;
    out.rows.push_back(std::move(row));
  }
  std::sort(out.rows.begin(), out.rows.end(),
            [](const RooflineRow& a, const RooflineRow& b) { return a.seconds > b.seconds; });
  return out;
}

std::string RooflineText(const std::string& title, const Roofline& roofline,
                         const MachineLimits& limits) {
  constexpr double kLeastShare = 0.002;  // of the ops' time; the others are one line
  std::string text = fmt::format(
      "\n{}, a step (mean of {}; limits: memory {:.1f} GB/s, fp32 {:.0f}, 8 bits {:.0f}{} "
      "GOP/s)\n\n",
      title, roofline.steps, limits.read_bytes / 1e9, limits.f32_operations / 1e9,
      limits.int8_operations / 1e9,
      limits.tile_bf16_operations > 0
          ? fmt::format(", tiles {:.0f} and {:.0f}", limits.tile_bf16_operations / 1e9,
                        limits.tile_int8_operations / 1e9)
          : "");
  text += "| op | kernel | calls | ms | share | MB | GB/s | GOP | GOP/s | of limit | bound by |\n";
  text += "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|---|\n";
  const auto steps = static_cast<double>(std::max<size_t>(roofline.steps, 1));
  const auto line = [&](const RooflineRow& row) {
    text += fmt::format(
        "| {} | {} | {:.0f} | {:.3f} | {:.1f} % | {:.1f} | {:.1f} | {:.3f} | {:.0f} | {:.0f} % "
        "| {} |\n",
        row.op, row.kernel, static_cast<double>(row.calls) / steps, row.seconds / steps * 1e3,
        100 * row.seconds / roofline.op_seconds, row.bytes / steps / 1e6,
        row.bytes / row.seconds / 1e9, row.operations / steps / 1e9,
        row.operations / row.seconds / 1e9, 100 * row.floor / row.seconds, row.bound_by);
  };
  RooflineRow rest{.op = "the rest"};
  for (const RooflineRow& row : roofline.rows) {
    if (row.seconds >= kLeastShare * roofline.op_seconds) {
      line(row);
      continue;
    }
    rest.calls += row.calls;
    rest.seconds += row.seconds;
    rest.bytes += row.bytes;
    rest.operations += row.operations;
    rest.floor += row.floor;
  }
  if (rest.calls > 0) line(rest);
  text += fmt::format(
      "\nThe ops take {:.2f} of the step's {:.2f} ms ({:.1f} %); at the limits they would take "
      "{:.2f} ms ({:.0f} % of the step).\n",
      roofline.op_seconds / steps * 1e3, roofline.step_seconds / steps * 1e3,
      100 * roofline.op_seconds / roofline.step_seconds, roofline.floor / steps * 1e3,
      100 * roofline.floor / roofline.step_seconds);
  return text;
}

}  // namespace pelton
