#include "graph/ir/verify.h"

#include <fmt/format.h>

#include "graph/ir/infer.h"

namespace pelton {

Status VerifyGraph(const Graph& graph) {
  std::vector<bool> made(graph.num_values());
  for (size_t v = 0; v < graph.num_values(); ++v) {
    made[v] = graph.value(static_cast<ValueId>(v)).kind != ValueKind::kResult;
  }
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    const Node& node = graph.nodes[n];
    const OpSchema& schema = SchemaOf(node.kind);
    const auto fail = [&](std::string_view what) {
      return Internal(fmt::format("graph {}: node {} ({}): {}", graph.name, n, schema.name, what));
    };
    for (ValueId input : node.inputs) {
      if (input == kNoValue) continue;
      if (input < 0 || static_cast<size_t>(input) >= graph.num_values()) {
        return fail("an input is no value of this graph");
      }
      if (!made[static_cast<size_t>(input)]) {
        return fail(fmt::format("%{} is read before it is made", graph.value(input).name));
      }
    }
    const Result<std::vector<TypeAndShape>> inferred = InferOutputs(graph, node);
    if (!inferred.ok()) return fail(inferred.status().message());
    if (node.outputs.size() != inferred->size()) return fail("wrong number of outputs");
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      const ValueId id = node.outputs[i];
      if (id == kNoValue) continue;
      if (id < 0 || static_cast<size_t>(id) >= graph.num_values()) {
        return fail("an output is no value of this graph");
      }
      if (made[static_cast<size_t>(id)]) {
        return fail(fmt::format("%{} is made twice", graph.value(id).name));
      }
      made[static_cast<size_t>(id)] = true;
      const Value& value = graph.value(id);
      if (value.type != (*inferred)[i].type || !(value.shape == (*inferred)[i].shape)) {
        return fail(fmt::format("%{} has shape {}, the op makes {}", value.name,
                                ToText(value.shape), ToText((*inferred)[i].shape)));
      }
    }
  }
  for (ValueId output : graph.outputs) {
    if (output < 0 || static_cast<size_t>(output) >= graph.num_values() ||
        !made[static_cast<size_t>(output)]) {
      return Internal(fmt::format("graph {}: an output is never made", graph.name));
    }
  }
  return OkStatus();
}

}  // namespace pelton
