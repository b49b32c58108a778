#include "graph/ir/infer.h"

#include <fmt/format.h>

#include <algorithm>

namespace pelton {
namespace {

// Checks of one node's inputs; the first failure is kept.
class InputChecks {
 public:
  InputChecks(const Graph& graph, const Node& node) : graph_(graph), node_(node) {}

  const Value& operator[](size_t i) const { return graph_.value(node_.inputs[i]); }
  bool Has(size_t i) const { return node_.inputs[i] != kNoValue; }

  void Expect(bool condition, size_t input, std::string_view expected) {
    if (condition || !status_.ok()) return;
    const Value& value = (*this)[input];
    status_ = InvalidArgument(fmt::format("{}: input %{} of shape {}: expected {}",
                                          SchemaOf(node_.kind).name, value.name,
                                          ToText(value.shape), expected));
  }
  void ExpectAttribute(bool condition, std::string_view attribute, std::string_view expected) {
    if (condition || !status_.ok()) return;
    status_ = InvalidArgument(fmt::format("{}: attribute {}: expected {}",
                                          SchemaOf(node_.kind).name, attribute, expected));
  }
  void ExpectF32Rows(size_t i) {
    Expect((*this)[i].type == ElementType::kF32 && (*this)[i].shape.rank() == 2, i, "f32 rows");
  }
  void ExpectRows(size_t i) {
    const ElementType type = (*this)[i].type;
    Expect((type == ElementType::kF32 || QuantizedTerms(type) > 0) && (*this)[i].shape.rank() == 2,
           i, "rows in f32 or quantised");
  }
  void ExpectCols(size_t i, Dim cols) {
    Expect((*this)[i].shape.cols() == cols, i, fmt::format("{} columns", ToText(cols)));
  }
  void ExpectSame(size_t i, size_t other) {
    Expect((*this)[i].shape == (*this)[other].shape, i,
           fmt::format("shape {}", ToText((*this)[other].shape)));
  }
  void ExpectIntegers(size_t i) {
    Expect((*this)[i].type == ElementType::kI32 && (*this)[i].shape.rank() == 1, i,
           "a list of i32");
  }
  void ExpectCache(size_t i) { Expect((*this)[i].type == ElementType::kCache, i, "a cache"); }
  void ExpectDivides(size_t i, std::string_view attribute) {
    const int64_t parts = node_.Int(attribute);
    ExpectAttribute(parts > 0, attribute, "at least 1");
    if (parts > 0) {
      Expect((*this)[i].shape.cols().constant() && (*this)[i].shape.cols().factor % parts == 0, i,
             fmt::format("columns in {} equal parts", parts));
    }
  }

  const Status& status() const { return status_; }

 private:
  const Graph& graph_;
  const Node& node_;
  Status status_;
};

bool IsWeight(const Value& value) {
  return value.kind == ValueKind::kConstant &&
         (value.type == ElementType::kStored || value.type == ElementType::kPacked);
}

// Type of an f32 result that a pass may have asked for quantised, in one or two terms.
ElementType RowType(const Node& node) {
  const auto it = node.attributes.find("quantized");
  if (it == node.attributes.end()) return ElementType::kF32;
  if (it->second == Attribute{int64_t{1}}) return ElementType::kQuantizedRows;
  return it->second == Attribute{int64_t{2}} ? ElementType::kTwoTermRows : ElementType::kF32;
}

std::vector<TypeAndShape> One(ElementType type, Shape shape) { return {{type, shape}}; }

std::vector<TypeAndShape> InferMatmul(const Node& node, InputChecks& in, bool gated) {
  in.ExpectRows(0);
  in.Expect(IsWeight(in[1]), 1, "a stored or packed weight");
  in.ExpectCols(0, in[1].shape.cols());
  const int64_t outputs = in[1].shape.rows().factor / (gated ? 2 : 1);
  if (gated) in.Expect(in[1].shape.rows().factor % 2 == 0, 1, "gate and up of the same size");
  const Shape shape{in[0].shape.rows(), outputs};
  if (!gated && in.Has(2)) {
    in.Expect(in[2].type == ElementType::kF32 && in[2].shape == Shape{outputs}, 2,
              fmt::format("{} numbers", outputs));
  }
  if (!gated && in.Has(3)) {
    in.Expect(in[3].type == ElementType::kF32 && in[3].shape == shape, 3,
              fmt::format("f32 {}", ToText(shape)));
  }
  return One(RowType(node), shape);
}

std::vector<TypeAndShape> InferCacheRead(const Node& node, InputChecks& in) {
  in.ExpectDivides(0, "heads");
  in.ExpectCache(1);
  const int64_t heads = node.Int("heads"), kv_heads = node.Int("kv_heads");
  in.ExpectAttribute(kv_heads > 0 && heads > 0 && heads % kv_heads == 0, "kv_heads",
                     "a divisor of heads");
  return {};
}

// Heads of q (or weights) and KV heads of k or v.
void ExpectGroupedHeads(const Node& node, InputChecks& in, size_t kv_input) {
  const int64_t heads = node.Int("heads"), kv_heads = node.Int("kv_heads");
  in.ExpectF32Rows(0);
  in.ExpectF32Rows(kv_input);
  in.ExpectDivides(kv_input, "kv_heads");
  in.ExpectAttribute(kv_heads > 0 && heads > 0 && heads % kv_heads == 0, "kv_heads",
                     "a divisor of heads");
  in.Expect(in[kv_input].shape.rows() == in[0].shape.rows(), kv_input, "a row per token");
}

// Requires: ExpectGroupedHeads found nothing.
Dim ColsOfHeads(const Node& node, Dim kv_cols) {
  return kv_cols.factor / std::max<int64_t>(node.Int("kv_heads"), 1) * node.Int("heads");
}

std::vector<TypeAndShape> Infer(const Node& node, InputChecks& in) {
  const auto elementwise = [&](size_t operands) {
    in.ExpectF32Rows(0);
    if (operands == 2) {
      const bool per_column = in[1].shape.rank() == 1;
      in.Expect(
          in[1].type == ElementType::kF32 &&
              (per_column ? in[1].shape.cols() == in[0].shape.cols() : in[1].shape == in[0].shape),
          1, fmt::format("f32 {} or one number per column", ToText(in[0].shape)));
    }
    return One(RowType(node), in[0].shape);
  };
  switch (node.kind) {
    case OpKind::kEmbedding:
      in.ExpectIntegers(0);
      in.Expect(in[1].type == ElementType::kStored, 1, "a stored table");
      return One(ElementType::kF32, {in[0].shape.cols(), in[1].shape.cols()});
    case OpKind::kMatmul:
      return InferMatmul(node, in, false);
    case OpKind::kGatedMatmul:
      return InferMatmul(node, in, true);
    case OpKind::kRmsNorm: {
      in.ExpectF32Rows(0);
      in.ExpectDivides(0, "groups");
      const int64_t groups = std::max<int64_t>(node.Int("groups"), 1);
      in.Expect(in[1].type == ElementType::kF32 && in[1].shape.rank() == 1, 1, "a list of f32");
      in.ExpectCols(1, in[0].shape.cols().factor / groups);
      return One(RowType(node), in[0].shape);
    }
    case OpKind::kLayerNorm:
      in.ExpectF32Rows(0);
      for (size_t i : {1, 2}) {
        in.Expect(in[i].type == ElementType::kF32 && in[i].shape.rank() == 1, i, "a list of f32");
        in.ExpectCols(i, in[0].shape.cols());
      }
      return One(RowType(node), in[0].shape);
    case OpKind::kAddRmsNorm:
      in.ExpectF32Rows(0);
      in.ExpectSame(1, 0);
      in.Expect(in[2].type == ElementType::kF32 && in[2].shape.rank() == 1, 2, "a list of f32");
      in.ExpectCols(2, in[0].shape.cols());
      return {{ElementType::kF32, in[0].shape}, {RowType(node), in[0].shape}};
    case OpKind::kAdd:
    case OpKind::kMul: {
      if (in[0].shape.rank() == 1) {  // constants, before they are folded
        in.ExpectSame(1, 0);
        return One(ElementType::kF32, in[0].shape);
      }
      return elementwise(2);
    }
    case OpKind::kGatedMul:
      in.ExpectF32Rows(0);
      in.ExpectSame(1, 0);
      return elementwise(2);
    case OpKind::kScale:
      if (in[0].shape.rank() == 1) return One(ElementType::kF32, in[0].shape);
      return elementwise(1);
    case OpKind::kSilu:
    case OpKind::kGeluTanh:
    case OpKind::kGeluErf:
    case OpKind::kSoftCap:
      return elementwise(1);
    case OpKind::kSliceCols: {
      in.ExpectF32Rows(0);
      const int64_t begin = node.Int("begin"), count = node.Int("count");
      const Dim cols = in[0].shape.cols();
      in.Expect(cols.constant() && begin >= 0 && count > 0 && begin <= cols.factor - count, 0,
                "columns [begin, begin + count)");
      return One(ElementType::kF32, {in[0].shape.rows(), count});
    }
    case OpKind::kGatherRows:
      in.ExpectF32Rows(0);
      in.ExpectIntegers(1);
      return One(ElementType::kF32, {in[1].shape.cols(), in[0].shape.cols()});
    case OpKind::kRopeFrequencies:
      in.ExpectAttribute(
          node.Int("dims") > 0 && node.Int("dims") % 2 == 0 && node.Int("dims") <= 4096, "dims",
          "an even size up to 4096");
      return One(ElementType::kF32, {node.Int("dims") / 2});
    case OpKind::kRopeTable:
      in.ExpectIntegers(0);
      in.Expect(in[1].type == ElementType::kF32 && in[1].shape.rank() == 1, 1, "a list of f32");
      return One(ElementType::kF32, {in[0].shape.cols(), in[1].shape.cols().factor * 2});
    case OpKind::kRope:
      in.ExpectF32Rows(0);
      in.ExpectDivides(0, "heads");
      in.ExpectF32Rows(1);
      return One(ElementType::kF32, in[0].shape);
    case OpKind::kKvWrite:
      in.ExpectF32Rows(0);
      in.ExpectF32Rows(1);
      in.ExpectIntegers(2);
      return One(ElementType::kCache, {});
    case OpKind::kRopeKvWrite:
      for (size_t i = 0; i < 4; ++i) in.ExpectF32Rows(i);
      in.ExpectDivides(0, "heads");
      in.ExpectDivides(1, "kv_heads");
      in.ExpectIntegers(4);
      return {{ElementType::kF32, in[0].shape}, {ElementType::kCache, {}}};
    case OpKind::kKvScores:
      in.ExpectF32Rows(0);
      InferCacheRead(node, in);
      return One(ElementType::kF32, {in[0].shape.rows(), Dim(node.Int("heads"), Symbol::kContext)});
    case OpKind::kMaskedSoftmax:
    case OpKind::kSoftmax:
      in.ExpectF32Rows(0);
      return One(ElementType::kF32, in[0].shape);
    case OpKind::kKvMix:
      in.ExpectAttribute(node.Int("head_dim") > 0 && node.Int("heads") > 0, "head_dim",
                         "at least 1, as heads");
      in.ExpectF32Rows(0);
      in.ExpectCache(1);
      in.Expect(in[0].shape.cols() == Dim(node.Int("heads"), Symbol::kContext), 0,
                "one weight per head and key");
      return One(ElementType::kF32, {in[0].shape.rows(), node.Int("heads") * node.Int("head_dim")});
    case OpKind::kScores:
      ExpectGroupedHeads(node, in, 1);
      in.ExpectCols(0, ColsOfHeads(node, in[1].shape.cols()));
      return One(ElementType::kF32, {in[0].shape.rows(), Dim(node.Int("heads"), Symbol::kContext)});
    case OpKind::kMix:
      ExpectGroupedHeads(node, in, 1);
      in.ExpectCols(0, Dim(node.Int("heads"), Symbol::kContext));
      return One(ElementType::kF32, {in[0].shape.rows(), ColsOfHeads(node, in[1].shape.cols())});
    case OpKind::kSelfAttention:
      ExpectGroupedHeads(node, in, 1);
      in.ExpectF32Rows(2);
      in.ExpectSame(2, 1);
      in.ExpectCols(0, ColsOfHeads(node, in[1].shape.cols()));
      return One(RowType(node), in[0].shape);
    case OpKind::kAttention:
      in.ExpectF32Rows(0);
      InferCacheRead(node, in);
      return One(RowType(node), in[0].shape);
    case OpKind::kQuantize:
      in.ExpectF32Rows(0);
      in.ExpectAttribute(node.Int("terms") == 1 || node.Int("terms") == 2, "terms", "1 or 2");
      return One(node.Int("terms") == 2 ? ElementType::kTwoTermRows : ElementType::kQuantizedRows,
                 in[0].shape);
  }
  return {};
}

}  // namespace

Result<std::vector<TypeAndShape>> InferOutputs(const Graph& graph, const Node& node) {
  const OpSchema& schema = SchemaOf(node.kind);
  if (node.inputs.size() != schema.max_inputs) {
    return InvalidArgument(fmt::format("{}: found {} input places, expected {}", schema.name,
                                       node.inputs.size(), schema.max_inputs));
  }
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    const ValueId id = node.inputs[i];
    const bool absent = id == kNoValue;
    if ((absent && i < schema.min_inputs) ||
        (!absent && (id < 0 || static_cast<size_t>(id) >= graph.num_values()))) {
      return InvalidArgument(fmt::format("{}: input {} is missing", schema.name, i));
    }
  }
  std::string_view left = schema.attributes;
  while (!left.empty()) {
    const std::string_view name = left.substr(0, left.find(' '));
    left.remove_prefix(std::min(left.size(), name.size() + 1));
    const auto it = node.attributes.find(name);
    const bool text = name == "activation" || name == "scaling";
    const bool number = name == "epsilon" || name == "by" || name == "cap" || name == "base" ||
                        name == "factor" || name == "low" || name == "high" ||
                        name == "magnitude" || name == "scale";
    if (it == node.attributes.end() || std::holds_alternative<std::string>(it->second) != text ||
        (!number && std::holds_alternative<double>(it->second))) {
      return InvalidArgument(
          fmt::format("{}: attribute {} is missing or of the wrong type", schema.name, name));
    }
  }
  InputChecks checks(graph, node);
  std::vector<TypeAndShape> outputs = Infer(node, checks);
  RETURN_IF_ERROR(checks.status());
  return outputs;
}

}  // namespace pelton
