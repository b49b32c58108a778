#include "graph/ir/graph.h"

#include <fmt/format.h>

#include "base/check.h"
#include "graph/ir/infer.h"

namespace pelton {
namespace {

std::string SymbolText(Symbol symbol) {
  switch (symbol) {
    case Symbol::kOne:
      return "";
    case Symbol::kTokens:
      return "T";
    case Symbol::kLogitRows:
      return "R";
    case Symbol::kContext:
      return "C";
  }
  return "";
}

}  // namespace

std::string ToText(Dim dim) {
  if (dim.constant()) return fmt::format("{}", dim.factor);
  if (dim.factor == 1) return SymbolText(dim.symbol);
  return fmt::format("{}*{}", dim.factor, SymbolText(dim.symbol));
}

std::string ToText(const Shape& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.rank(); ++i) {
    if (i > 0) text += ", ";
    text += ToText(shape[i]);
  }
  return text + "]";
}

bool IsMatmul(OpKind kind) {
  return kind == OpKind::kMatmul || kind == OpKind::kGatedMatmul || kind == OpKind::kExpertMatmul ||
         kind == OpKind::kGatedExpertMatmul || kind == OpKind::kExpertMatmulSum ||
         kind == OpKind::kHeadMatmul;
}

std::vector<size_t> PackedInputs(OpKind kind) {
  if (kind == OpKind::kExpandedAttention) return {1, 2};
  if (IsMatmul(kind)) return {1};
  return {};
}

bool WritesCache(OpKind kind) {
  return kind == OpKind::kKvWrite || kind == OpKind::kRopeKvWrite || kind == OpKind::kIndexWrite ||
         kind == OpKind::kCompressWrite || kind == OpKind::kCompress;
}

int64_t Node::Int(std::string_view attribute) const {
  const auto it = attributes.find(attribute);
  PELTON_CHECK(it != attributes.end() && std::holds_alternative<int64_t>(it->second),
               "the schema promises this integer attribute");
  return std::get<int64_t>(it->second);
}

double Node::Number(std::string_view attribute) const {
  const auto it = attributes.find(attribute);
  PELTON_CHECK(it != attributes.end() && !std::holds_alternative<std::string>(it->second),
               "the schema promises this number attribute");
  if (const auto* integer = std::get_if<int64_t>(&it->second)) return static_cast<double>(*integer);
  return std::get<double>(it->second);
}

const std::string& Node::Text(std::string_view attribute) const {
  const auto it = attributes.find(attribute);
  PELTON_CHECK(it != attributes.end() && std::holds_alternative<std::string>(it->second),
               "the schema promises this text attribute");
  return std::get<std::string>(it->second);
}

std::string Graph::UniqueName(std::string_view base) const {
  if (by_name_.find(base) == by_name_.end()) return std::string(base);
  for (int i = 1;; ++i) {
    std::string candidate = fmt::format("{}.{}", base, i);
    if (by_name_.find(candidate) == by_name_.end()) return candidate;
  }
}

std::optional<ValueId> Graph::FindValue(std::string_view value_name) const {
  const auto it = by_name_.find(value_name);
  if (it == by_name_.end()) return std::nullopt;
  return it->second;
}

ValueId Graph::AddResult(std::string value_name) {
  const auto id = static_cast<ValueId>(values_.size());
  PELTON_CHECK(by_name_.emplace(value_name, id).second, "value names are unique");
  Value& value = values_.emplace_back();
  value.name = std::move(value_name);
  return id;
}

ValueId Graph::AddInput(std::string value_name, ElementType type, Shape shape) {
  const ValueId id = AddResult(std::move(value_name));
  values_.back().kind = ValueKind::kInput;
  values_.back().type = type;
  values_.back().shape = shape;
  inputs.push_back(id);
  return id;
}

ValueId Graph::AddConstant(std::string value_name, ElementType type, Shape shape,
                           ConstantData data) {
  const ValueId id = AddResult(std::move(value_name));
  values_.back().kind = ValueKind::kConstant;
  values_.back().type = type;
  values_.back().shape = shape;
  values_.back().constant = std::move(data);
  return id;
}

ValueId Graph::AddStored(StoredTensor tensor) {
  std::string value_name = UniqueName(tensor.name);
  const Shape shape{tensor.rows, tensor.cols};
  ConstantData data;
  data.tensors.push_back(std::move(tensor));
  return AddConstant(std::move(value_name), ElementType::kStored, shape, std::move(data));
}

ValueId Graph::AddNumbers(const std::string& value_name, std::vector<float> numbers) {
  const Shape shape{static_cast<int64_t>(numbers.size())};
  ConstantData data;
  data.numbers = std::move(numbers);
  return AddConstant(UniqueName(value_name), ElementType::kF32, shape, std::move(data));
}

std::vector<ValueId> Graph::AddMulti(OpKind kind, std::vector<ValueId> node_inputs,
                                     std::map<std::string, Attribute, std::less<>> attributes) {
  const OpSchema& schema = SchemaOf(kind);
  Node node{kind, std::move(node_inputs), {}, std::move(attributes)};
  node.inputs.resize(schema.max_inputs, kNoValue);
  const Result<std::vector<TypeAndShape>> inferred = InferOutputs(*this, node);
  PELTON_CHECK(inferred.ok(), inferred.status().message().c_str());
  for (const TypeAndShape& output : *inferred) {
    const ValueId id = AddResult(UniqueName(fmt::format("{}.{}", schema.name, values_.size())));
    values_.back().type = output.type;
    values_.back().shape = output.shape;
    node.outputs.push_back(id);
  }
  nodes.push_back(node);
  return node.outputs;
}

ValueId Graph::Add(OpKind kind, std::vector<ValueId> node_inputs,
                   std::map<std::string, Attribute, std::less<>> attributes) {
  return AddMulti(kind, std::move(node_inputs), std::move(attributes)).front();
}

void Graph::ReplaceReads(ValueId from, ValueId to) {
  for (Node& node : nodes) {
    for (ValueId& input : node.inputs) {
      if (input == from) input = to;
    }
  }
  for (ValueId& output : outputs) {
    if (output == from) output = to;
  }
}

Uses::Uses(const Graph& graph)
    : producer_(graph.num_values(), -1),
      readers_(graph.num_values()),
      is_output_(graph.num_values()) {
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    for (ValueId output : graph.nodes[n].outputs) {
      if (output != kNoValue) producer_[static_cast<size_t>(output)] = static_cast<int>(n);
    }
    for (ValueId input : graph.nodes[n].inputs) {
      if (input != kNoValue) readers_[static_cast<size_t>(input)].push_back(static_cast<int>(n));
    }
  }
  for (ValueId output : graph.outputs) is_output_[static_cast<size_t>(output)] = true;
}

}  // namespace pelton
