#include "graph/ir/infer.h"

#include <fmt/format.h>

#include <algorithm>

#include "kernels/ops/rotate.h"

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
    Expect((type == ElementType::kF32 || type == ElementType::kQuantizedRows) &&
               (*this)[i].shape.rank() == 2,
           i, "rows in f32 or quantised");
  }
  void ExpectCols(size_t i, Dim cols) {
    Expect((*this)[i].shape.cols() == cols, i, fmt::format("{} columns", ToText(cols)));
  }
  void ExpectSame(size_t i, size_t other) {
    Expect((*this)[i].shape == (*this)[other].shape, i,
           fmt::format("shape {}", ToText((*this)[other].shape)));
  }
  // An optional list of `count` numbers.
  void ExpectNumbersIfAny(size_t i, int64_t count) {
    if (!Has(i)) return;
    Expect((*this)[i].type == ElementType::kF32 && (*this)[i].shape == Shape{count}, i,
           fmt::format("{} numbers", count));
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

// Type of an f32 result that a pass may have asked for quantised.
ElementType RowType(const Node& node) {
  const auto it = node.attributes.find("quantized");
  const bool quantized = it != node.attributes.end() && it->second == Attribute{int64_t{1}};
  return quantized ? ElementType::kQuantizedRows : ElementType::kF32;
}

std::vector<TypeAndShape> One(ElementType type, Shape shape) { return {{type, shape}}; }

// What an op that multiplies by a gate says of it.
void ExpectGate(const Node& node, InputChecks& in) {
  const std::string& activation = node.Text("activation");
  in.ExpectAttribute(
      activation == "silu" || activation == "gelu_tanh" || activation == "swiglu_oai", "activation",
      "silu, gelu_tanh or swiglu_oai");
  const auto limit = node.attributes.find("limit");
  const double* number =
      limit == node.attributes.end() ? nullptr : std::get_if<double>(&limit->second);
  in.ExpectAttribute(limit == node.attributes.end() || (number != nullptr && *number > 0), "limit",
                     "a number above 0");
}

void ExpectRotatable(InputChecks& in, size_t i) {
  in.Expect(
      in[i].shape.cols().constant() && MayRotate(static_cast<size_t>(in[i].shape.cols().factor)), i,
      fmt::format("a multiple of 32 columns, {} at most", kMostRotatedCols));
}

// A weight in the format that it is to have.
void ExpectPackable(InputChecks& in, size_t i) {
  if (in[i].constant.packed_as) ExpectRotatable(in, i);
}

std::vector<TypeAndShape> InferMatmul(const Node& node, InputChecks& in, bool gated) {
  if (gated) ExpectGate(node, in);
  in.ExpectRows(0);
  in.Expect(IsWeight(in[1]), 1, "a stored or packed weight");
  in.ExpectCols(0, in[1].shape.cols());
  ExpectPackable(in, 1);
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

std::vector<TypeAndShape> InferRoute(const Node& node, InputChecks& in) {
  in.ExpectF32Rows(0);
  in.ExpectDivides(0, "groups");
  const int64_t experts = in[0].shape.cols().factor;
  const int64_t groups = std::max<int64_t>(node.Int("groups"), 1);
  const int64_t top_groups = node.Int("top_groups"), top = node.Int("top");
  in.ExpectAttribute(top_groups > 0 && top_groups <= groups, "top_groups", "1 to groups");
  in.ExpectAttribute(top > 0 && top <= experts / groups * top_groups, "top",
                     "1 to the experts that can be chosen");
  const std::string& scoring = node.Text("scoring");
  in.ExpectAttribute(scoring == "softmax" || scoring == "sigmoid" || scoring == "sqrtsoftplus",
                     "scoring", "softmax, sigmoid or sqrtsoftplus");
  in.ExpectNumbersIfAny(1, experts);
  const Shape shape{in[0].shape.rows(), top};
  if (in.Has(2)) {
    in.ExpectF32Rows(2);
    in.Expect(in[2].shape == shape, 2, "top experts for each row");
  }
  return {{ElementType::kI32, shape}, {ElementType::kF32, shape}};
}

// The list of pairs that expert_order gives; its size is a multiple of the tokens.
void ExpectPairs(InputChecks& in, size_t i) {
  in.ExpectIntegers(i);
  in.Expect(in[i].shape.cols().symbol == Symbol::kTokens, i, "a multiple of T numbers");
}

// Rows sorted by expert, a weight of as many parts, where each expert's rows begin, and as input
// `bias` a number for each row of the weight.
std::vector<TypeAndShape> InferExpertMatmul(const Node& node, InputChecks& in, bool gated,
                                            size_t bias) {
  if (gated) ExpectGate(node, in);
  const int64_t experts = std::max<int64_t>(node.Int("experts"), 1);
  in.ExpectRows(0);
  in.Expect(IsWeight(in[1]), 1, "a stored or packed weight");
  in.ExpectCols(0, in[1].shape.cols());
  ExpectPackable(in, 1);
  const int64_t parts = experts * (gated ? 2 : 1);
  const int64_t rows = in[1].shape.rows().factor;
  in.Expect(rows % parts == 0 && in[1].constant.groups == experts, 1,
            fmt::format("the rows of {} experts", experts));
  in.ExpectIntegers(2);
  in.ExpectCols(2, experts + 1);
  in.ExpectNumbersIfAny(bias, rows);
  return One(RowType(node), {in[0].shape.rows(), rows / parts});
}

// order and the router's weights, inputs i and i + 1.
void InferExpertSum(InputChecks& in, size_t i) {
  ExpectPairs(in, i);
  in.ExpectF32Rows(i + 1);
  in.Expect(in[i + 1].shape.rows() == Dim(1, Symbol::kTokens) &&
                in[i + 1].shape.cols() == Dim(in[i].shape.cols().factor),
            i + 1, "a weight for each pair");
}

// A weight of each head, in its own format.
void ExpectHeads(InputChecks& in, size_t i, int64_t heads) {
  in.Expect(IsWeight(in[i]) && !in[i].constant.packed_as, i, "a stored or packed weight");
  in.Expect(in[i].shape.rows().factor % heads == 0 && in[i].constant.groups == heads, i,
            fmt::format("the rows of {} heads", heads));
}

std::vector<TypeAndShape> InferCacheRead(const Node& node, InputChecks& in) {
  in.ExpectDivides(0, "heads");
  in.ExpectCache(1);
  const int64_t heads = node.Int("heads"), kv_heads = node.Int("kv_heads");
  in.ExpectAttribute(kv_heads > 0 && heads > 0 && heads % kv_heads == 0, "kv_heads",
                     "a divisor of heads");
  if (in.Has(2)) {  // a latent cache: the rest of each head's query
    in.ExpectF32Rows(2);
    in.ExpectDivides(2, "heads");
    in.Expect(in[2].shape.rows() == in[0].shape.rows(), 2, "a row per token");
    in.ExpectAttribute(kv_heads == 1, "kv_heads", "1, as the cache is latent");
  }
  return {};
}

// Positions that each row sees.
void ExpectPositions(InputChecks& in, size_t i) {
  in.Expect(in[i].type == ElementType::kI32 && in[i].shape.rank() == 2 &&
                in[i].shape.rows() == in[0].shape.rows() && in[i].shape.cols().constant(),
            i, "i32 rows of positions");
}

std::vector<TypeAndShape> InferIndexScores(InputChecks& in) {
  in.ExpectF32Rows(0);
  in.ExpectDivides(0, "heads");
  in.ExpectF32Rows(1);
  in.Expect(in[1].shape.rows() == in[0].shape.rows(), 1, "a row per token");
  in.ExpectCache(2);
  return One(ElementType::kF32, {in[0].shape.rows(), Dim(1, Symbol::kContext)});
}

// An attribute that may be absent, and then is `least`: an integer of at least that.
int64_t OptionalInt(const Node& node, InputChecks& in, std::string_view name, int64_t least) {
  const auto it = node.attributes.find(name);
  if (it == node.attributes.end()) return least;
  const int64_t* value = std::get_if<int64_t>(&it->second);
  in.ExpectAttribute(value != nullptr && *value >= least, name,
                     fmt::format("an integer from {}", least));
  return value == nullptr ? least : *value;
}

// Value and gate of an entry's tokens in the cache.
std::vector<TypeAndShape> InferCompressWrite(const Node& node, InputChecks& in) {
  in.ExpectF32Rows(0);
  in.ExpectF32Rows(1);
  in.ExpectSame(1, 0);
  in.ExpectIntegers(2);
  in.ExpectAttribute(node.Int("begin") >= 0, "begin", "at least 0");
  return One(ElementType::kCache, {});
}

std::vector<TypeAndShape> InferCompress(const Node& node, InputChecks& in) {
  in.ExpectCache(0);
  const int64_t ratio = node.Int("ratio");
  in.ExpectAttribute(ratio > 0, "ratio", "at least 1");
  in.ExpectAttribute(node.Int("begin") >= 0, "begin", "at least 0");
  for (const size_t i : {1, 2}) {
    in.Expect(in[i].type == ElementType::kF32 && in[i].shape.rank() == 1, i, "a list of f32");
  }
  const int64_t dim = in[2].shape.cols().factor, lanes = in[1].shape.cols().factor;
  in.Expect(ratio > 0 && (lanes == ratio * dim || lanes == 2 * ratio * dim), 1,
            "one or two numbers for each token of a window and each of the norm's");
  in.ExpectF32Rows(3);
  in.Expect(in[3].shape.cols().constant() && in[3].shape.cols().factor <= dim, 3,
            "at most the entry's lanes");
  return One(ElementType::kCache, {});
}

std::vector<TypeAndShape> InferCompressedAttention(const Node& node, InputChecks& in) {
  in.ExpectF32Rows(0);
  in.ExpectDivides(0, "heads");
  const int64_t heads = std::max<int64_t>(node.Int("heads"), 1);
  in.Expect(in[0].shape.cols().factor / heads % 16 == 0, 0, "heads of a multiple of 16 lanes");
  in.ExpectCache(1);
  in.Expect(in[2].type == ElementType::kF32 && in[2].shape == Shape{heads}, 2,
            "a number for each head");
  in.ExpectAttribute(node.Int("window") > 0, "window", "at least 1");
  in.ExpectAttribute(node.Int("begin") >= 0, "begin", "at least 0");
  in.ExpectAttribute((node.Int("ratio") > 0) == in.Has(3) && node.Int("ratio") >= 0, "ratio",
                     "at least 1 with entries, else 0");
  if (in.Has(3)) in.ExpectCache(3);
  if (in.Has(4)) {
    in.Expect(in.Has(3), 4, "no choice without entries");
    ExpectPositions(in, 4);
  }
  return One(ElementType::kF32, in[0].shape);
}

// Rows in equal streams, or their mixes.
void ExpectStreams(const Node& node, InputChecks& in, size_t i) {
  in.ExpectF32Rows(i);
  in.ExpectDivides(i, "streams");
  in.ExpectAttribute(node.Int("streams") <= 8, "streams", "at most 8");
}

std::vector<TypeAndShape> InferStreams(const Node& node, InputChecks& in) {
  const int64_t streams = std::max<int64_t>(node.Int("streams"), 1);
  const int64_t all = (2 + streams) * streams;
  if (node.kind == OpKind::kStreamSpread) {
    in.ExpectF32Rows(0);
    in.ExpectAttribute(node.Int("streams") > 0 && streams <= 8, "streams", "1 to 8");
    in.Expect(in[0].shape.cols().constant(), 0, "known columns");
    return One(ElementType::kF32, {in[0].shape.rows(), in[0].shape.cols().factor * streams});
  }
  ExpectStreams(node, in, 0);
  if (node.kind == OpKind::kStreamWeights) {
    const bool pre_only = in[0].shape.cols() == Dim(streams);
    in.Expect(pre_only || in[0].shape.cols() == Dim(all), 0, "a number for each weight");
    in.ExpectNumbersIfAny(1, pre_only ? 1 : 3);
    in.ExpectNumbersIfAny(2, in[0].shape.cols().factor);
    in.ExpectAttribute(node.Int("rounds") > 0, "rounds", "at least 1");
    return One(ElementType::kF32, in[0].shape);
  }
  const size_t weights = node.kind == OpKind::kStreamMix ? 2 : 1;
  in.ExpectF32Rows(weights);
  in.Expect(in[weights].shape.rows() == in[0].shape.rows() && in[weights].shape.cols().constant() &&
                in[weights].shape.cols().factor >= (weights == 2 ? all : streams),
            weights, "a weight for each stream");
  const Shape one{in[0].shape.rows(), in[0].shape.cols().factor / streams};
  if (node.kind == OpKind::kStreamMerge) return One(ElementType::kF32, one);
  in.ExpectF32Rows(1);
  in.Expect(in[1].shape == one, 1, fmt::format("f32 {}", ToText(one)));
  return One(ElementType::kF32, in[0].shape);
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
      ExpectGate(node, in);
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
      OptionalInt(node, in, "multiple", 1);
      return One(ElementType::kF32, {in[0].shape.cols(), in[1].shape.cols().factor * 2});
    case OpKind::kRope:
      in.ExpectF32Rows(0);
      in.ExpectDivides(0, "heads");
      in.ExpectF32Rows(1);
      in.ExpectAttribute(OptionalInt(node, in, "back", 0) <= node.Int("interleaved"), "back",
                         "0, or 1 where pairs are interleaved");
      OptionalInt(node, in, "first", 0);
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
      in.ExpectNumbersIfAny(1, node.Int("heads"));
      in.ExpectF32Rows(0);
      return One(ElementType::kF32, in[0].shape);
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
    case OpKind::kIndexWrite:
      in.ExpectF32Rows(0);
      in.ExpectIntegers(1);
      return One(ElementType::kCache, {});
    case OpKind::kIndexScores:
      in.ExpectCols(1, node.Int("heads"));
      OptionalInt(node, in, "ratio", 1);
      OptionalInt(node, in, "begin", 0);
      return InferIndexScores(in);
    case OpKind::kTopPositions:
      in.ExpectF32Rows(0);
      in.ExpectCols(0, Dim(1, Symbol::kContext));
      in.ExpectAttribute(node.Int("top") > 0, "top", "at least 1");
      OptionalInt(node, in, "ratio", 1);
      return One(ElementType::kI32, {in[0].shape.rows(), node.Int("top")});
    case OpKind::kKeepPositions:
      in.ExpectF32Rows(0);
      in.ExpectCols(0, Dim(node.Int("heads"), Symbol::kContext));
      ExpectPositions(in, 1);
      return One(ElementType::kF32, in[0].shape);
    case OpKind::kCompressWrite:
      return InferCompressWrite(node, in);
    case OpKind::kCompress:
      return InferCompress(node, in);
    case OpKind::kCompressedAttention:
      return InferCompressedAttention(node, in);
    case OpKind::kStreamSpread:
    case OpKind::kStreamWeights:
    case OpKind::kStreamMerge:
    case OpKind::kStreamMix:
      return InferStreams(node, in);
    case OpKind::kRoute:
      return InferRoute(node, in);
    case OpKind::kExpertOrder:
      in.Expect(in[0].type == ElementType::kI32 && in[0].shape.rank() == 2 &&
                    in[0].shape.rows() == Dim(1, Symbol::kTokens) && in[0].shape.cols().constant(),
                0, "i32 rows of choices");
      in.Expect(!in.Has(1) || (in[1].type == ElementType::kI32 && in[1].shape.rank() == 2 &&
                               in[1].shape.cols().constant()),
                1, "i32 rows of choices");
      in.ExpectAttribute(node.Int("experts") > 0, "experts", "at least 1");
      return {{ElementType::kI32, {Dim(in[0].shape.cols().factor, Symbol::kTokens)}},
              {ElementType::kI32, {node.Int("experts") + 1}}};
    case OpKind::kExpertRows:
      in.ExpectRows(0);
      ExpectPairs(in, 1);
      in.Expect(in[1].shape.cols().factor == node.Int("top"), 1, "top pairs a token");
      return One(in[0].type, {in[1].shape.cols(), in[0].shape.cols()});
    case OpKind::kExpertMatmul:
      return InferExpertMatmul(node, in, false, 3);
    case OpKind::kGatedExpertMatmul:
      return InferExpertMatmul(node, in, true, 3);
    case OpKind::kExpertSum:
      in.ExpectF32Rows(0);
      InferExpertSum(in, 1);
      in.Expect(in[0].shape.rows() == in[1].shape.cols(), 0, "a row for each pair");
      return One(ElementType::kF32, {in[2].shape.rows(), in[0].shape.cols()});
    case OpKind::kExpertMatmulSum: {
      const std::vector<TypeAndShape> rows = InferExpertMatmul(node, in, false, 5);
      InferExpertSum(in, 3);
      in.Expect(in[0].shape.rows() == in[3].shape.cols(), 0, "a row for each pair");
      return One(ElementType::kF32, {in[4].shape.rows(), rows[0].shape.cols()});
    }
    case OpKind::kHeadMatmul: {
      in.ExpectF32Rows(0);
      in.ExpectDivides(0, "heads");
      const int64_t heads = std::max<int64_t>(node.Int("heads"), 1);
      ExpectHeads(in, 1, heads);
      in.ExpectCols(1, in[0].shape.cols().factor / heads);
      return One(ElementType::kF32, {in[0].shape.rows(), in[1].shape.rows().factor});
    }
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
      in.ExpectNumbersIfAny(3, node.Int("heads"));
      return One(RowType(node), in[0].shape);
    case OpKind::kSparseAttention:
      in.ExpectF32Rows(0);
      InferCacheRead(node, in);
      ExpectPositions(in, 3);
      return One(ElementType::kF32, in[0].shape);
    case OpKind::kExpandedAttention: {
      const int64_t heads = std::max<int64_t>(node.Int("heads"), 1);
      for (const size_t rows : {0, 3, 5}) {
        in.ExpectF32Rows(rows);
        in.ExpectDivides(rows, "heads");
        in.Expect(in[rows].shape.rows() == in[0].shape.rows(), rows, "a row per token");
      }
      for (const size_t weight : {1, 2}) ExpectHeads(in, weight, heads);
      in.ExpectCols(0, in[1].shape.rows());
      in.ExpectCols(3, in[2].shape.rows());
      in.ExpectCols(2, in[1].shape.cols());
      in.ExpectCache(4);
      return One(ElementType::kF32, in[3].shape);
    }
    case OpKind::kQuantize:
      in.ExpectF32Rows(0);
      return One(ElementType::kQuantizedRows, in[0].shape);
    case OpKind::kRotate:
      in.ExpectF32Rows(0);
      ExpectRotatable(in, 0);
      return One(RowType(node), in[0].shape);
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
    const bool text = name == "activation" || name == "scaling" || name == "scoring";
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
