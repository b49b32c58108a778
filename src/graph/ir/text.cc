#include "graph/ir/text.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <limits>

#include "graph/ir/infer.h"

namespace pelton {
namespace {

constexpr size_t kMaxTextBytes = size_t{1} << 20;
// Bounds every size in a text so that products of two never leave int64.
constexpr int64_t kMaxInteger = (int64_t{1} << 31) - 1;

std::string_view TypeName(ElementType type) {
  switch (type) {
    case ElementType::kF32:
      return "f32";
    case ElementType::kI32:
      return "i32";
    case ElementType::kQuantizedRows:
      return "q8";
    case ElementType::kStored:
      return "stored";
    case ElementType::kPacked:
      return "packed";
    case ElementType::kCache:
      return "cache";
  }
  return "";
}

std::optional<ElementType> ParseTypeName(std::string_view name) {
  for (ElementType type : {ElementType::kF32, ElementType::kI32, ElementType::kQuantizedRows,
                           ElementType::kStored, ElementType::kPacked, ElementType::kCache}) {
    if (TypeName(type) == name) return type;
  }
  return std::nullopt;
}

std::string AttributeText(const Attribute& attribute) {
  if (const auto* integer = std::get_if<int64_t>(&attribute)) return fmt::format("{}", *integer);
  if (const auto* text = std::get_if<std::string>(&attribute)) return fmt::format("\"{}\"", *text);
  std::string number = fmt::format("{}", std::get<double>(attribute));
  // A number that looks like an integer must come back as a number.
  if (number.find_first_not_of("-0123456789") == std::string::npos) number += ".0";
  return number;
}

std::string ConstantText(const Value& value) {
  const ConstantData& data = value.constant;
  std::string text = data.groups > 1 ? fmt::format("{} x ", data.groups) : "";
  text += data.tensors.empty() ? "numbers(" : data.interleave_panels ? "interleaved(" : "stored(";
  for (size_t i = 0; i < data.tensors.size(); ++i) {
    const StoredTensor& tensor = data.tensors[i];
    text += fmt::format("{}\"{}\" {}[{}, {}]", i > 0 ? ", " : "", tensor.name,
                        DTypeName(tensor.dtype), tensor.rows, tensor.cols);
  }
  for (size_t i = 0; i < data.numbers.size(); ++i) {
    text += fmt::format("{}{}", i > 0 ? ", " : "", data.numbers[i]);
  }
  text += ")";
  if (data.packed_as) text += fmt::format(" as {}", DTypeName(*data.packed_as));
  return text;
}

// Reads the text form front to back; the first error is kept with its line.
class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Result<Graph> Parse() {
    if (!ExpectWord("graph")) return status_;
    if (!ReadQuoted(&graph_.name)) return status_;
    while (status_.ok() && !AtEnd()) ParseLine();
    RETURN_IF_ERROR(status_);
    return std::move(graph_);
  }

 private:
  void SkipSpace() {
    while (position_ < text_.size()) {
      const char c = text_[position_];
      if (c == '#') {
        while (position_ < text_.size() && text_[position_] != '\n') ++position_;
        continue;
      }
      if (c == '\n') ++line_;
      if (c != ' ' && c != '\n' && c != '\t' && c != '\r') return;
      ++position_;
    }
  }
  bool AtEnd() {
    SkipSpace();
    return position_ >= text_.size();
  }
  bool Fail(std::string_view what) {
    if (status_.ok())
      status_ = InvalidArgument(fmt::format("graph text, line {}: {}", line_, what));
    return false;
  }
  bool Accept(char c) {
    SkipSpace();
    if (position_ >= text_.size() || text_[position_] != c) return false;
    ++position_;
    return true;
  }
  bool Expect(char c) { return Accept(c) || Fail(fmt::format("expected '{}'", c)); }
  static bool IsNameChar(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '-' || c == '+' || c == '/';
  }
  std::string_view Word() {
    SkipSpace();
    const size_t begin = position_;
    while (position_ < text_.size() && IsNameChar(text_[position_])) ++position_;
    return text_.substr(begin, position_ - begin);
  }
  bool ExpectWord(std::string_view word) {
    return Word() == word || Fail(fmt::format("expected {}", word));
  }
  bool ReadQuoted(std::string* out) {
    if (!Expect('"')) return false;
    const size_t end = text_.find_first_of("\"\n", position_);
    if (end == std::string_view::npos || text_[end] != '"') return Fail("unfinished string");
    *out = text_.substr(position_, end - position_);
    position_ = end + 1;
    return true;
  }
  bool ReadInteger(std::string_view word, int64_t* out) {
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), *out);
    if (error != std::errc() || end != word.data() + word.size() || *out > kMaxInteger ||
        *out < -kMaxInteger) {
      return Fail(fmt::format("expected an integer within 31 bits, found '{}'", word));
    }
    return true;
  }
  bool ReadNumber(std::string_view word, double* out) {
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), *out);
    if (error != std::errc() || end != word.data() + word.size() || !std::isfinite(*out)) {
      return Fail(fmt::format("expected a number, found '{}'", word));
    }
    return true;
  }
  bool ReadDim(Dim* out) {
    const std::string_view word = Word();
    const auto symbol = [](std::string_view name) -> std::optional<Symbol> {
      if (name == "T") return Symbol::kTokens;
      if (name == "R") return Symbol::kLogitRows;
      if (name == "C") return Symbol::kContext;
      return std::nullopt;
    };
    if (const auto s = symbol(word)) {
      *out = Dim(1, *s);
      return true;
    }
    int64_t factor;
    if (!ReadInteger(word, &factor)) return false;
    if (factor <= 0) return Fail("a size is at least 1");
    *out = Dim(factor);
    if (!Accept('*')) return true;
    const auto s = symbol(Word());
    if (!s) return Fail("expected T, R or C after '*'");
    out->symbol = *s;
    return true;
  }
  bool ReadShape(Shape* out) {
    if (!Expect('[')) return false;
    *out = Shape();
    if (Accept(']')) return true;
    Dim first, second;
    if (!ReadDim(&first)) return false;
    if (Accept(']')) {
      *out = Shape{first};
      return true;
    }
    if (!Expect(',') || !ReadDim(&second) || !Expect(']')) return false;
    *out = Shape{first, second};
    return true;
  }
  bool ReadTypeAndShape(ElementType* type, Shape* shape) {
    const std::string_view word = Word();
    const auto parsed = ParseTypeName(word);
    if (!parsed) return Fail(fmt::format("unknown type '{}'", word));
    *type = *parsed;
    return ReadShape(shape);
  }
  // A name that is not taken yet.
  bool ReadNewName(std::string* out) {
    if (!Expect('%')) return false;
    *out = Word();
    if (out->empty()) return Fail("expected a name after '%'");
    if (graph_.FindValue(*out)) return Fail(fmt::format("%{} is made twice", *out));
    return true;
  }
  bool ReadKnownName(ValueId* out) {
    if (Accept('_')) {
      *out = kNoValue;
      return true;
    }
    if (!Expect('%')) return false;
    const std::string_view name = Word();
    const auto found = graph_.FindValue(name);
    if (!found) return Fail(fmt::format("%{} is unknown", name));
    *out = *found;
    return true;
  }

  void ParseLine() {
    SkipSpace();
    if (text_[position_] == '%' || text_[position_] == '_') return (void)ParseNode();
    const std::string_view word = Word();
    if (word == "input") return (void)ParseInput();
    if (word == "const") return (void)ParseConstant();
    if (word == "output") return (void)ParseOutput();
    Fail(fmt::format("expected input, const, output or %name, found '{}'", word));
  }
  bool ParseInput() {
    std::string value_name;
    ElementType type;
    Shape shape;
    if (!ReadNewName(&value_name) || !Expect(':') || !ReadTypeAndShape(&type, &shape)) return false;
    if (type != ElementType::kF32 && type != ElementType::kI32)
      return Fail("inputs are f32 or i32");
    graph_.AddInput(std::move(value_name), type, shape);
    return true;
  }
  bool ParseOutput() {
    ValueId id;
    if (!ReadKnownName(&id)) return false;
    if (id == kNoValue) return Fail("expected a name");
    graph_.outputs.push_back(id);
    return true;
  }
  bool ParseConstant() {
    std::string value_name;
    if (!ReadNewName(&value_name) || !Expect('=')) return false;
    std::string_view source = Word();
    ConstantData data;
    if (!source.empty() && source[0] >= '0' && source[0] <= '9') {
      if (!ReadInteger(source, &data.groups) || !ExpectWord("x")) return false;
      if (data.groups < 2) return Fail("expected at least 2 matrices");
      source = Word();
    }
    data.interleave_panels = source == "interleaved";
    if (source != "numbers" && source != "stored" && source != "interleaved") {
      return Fail("expected numbers, stored or interleaved");
    }
    if (!Expect('(')) return false;
    do {
      if (source == "numbers") {
        double number;
        if (!ReadNumber(Word(), &number)) return false;
        if (std::abs(number) > std::numeric_limits<float>::max()) {
          return Fail("a constant's numbers lie in the range of f32");
        }
        data.numbers.push_back(static_cast<float>(number));
        continue;
      }
      StoredTensor tensor;
      if (!ReadQuoted(&tensor.name)) return false;
      const std::string_view type_name = Word();
      const auto dtype = ParseDType(type_name);
      if (!dtype || *dtype == DType::kW8) {
        return Fail(fmt::format("unknown stored type '{}'", type_name));
      }
      tensor.dtype = *dtype;
      Shape shape;
      if (!ReadShape(&shape)) return false;
      if (shape.rank() != 2 || !shape[0].constant() || !shape[1].constant()) {
        return Fail("a stored tensor has two constant sizes");
      }
      tensor.rows = shape[0].factor;
      tensor.cols = shape[1].factor;
      data.tensors.push_back(std::move(tensor));
    } while (Accept(','));
    ElementType type;
    Shape shape;
    if (!Expect(')')) return false;
    if (!Accept(':')) {
      if (!ExpectWord("as") || !ExpectWord(DTypeName(DType::kW8)) || !Expect(':')) return false;
      data.packed_as = DType::kW8;
    }
    if (!ReadTypeAndShape(&type, &shape)) return false;
    if (!Agrees(data, type, shape)) return Fail("the constant's data and shape disagree");
    graph_.AddConstant(std::move(value_name), type, shape, std::move(data));
    return true;
  }
  static bool Agrees(const ConstantData& data, ElementType type, const Shape& shape) {
    if (data.tensors.empty()) {
      return data.groups == 1 && !data.packed_as && type == ElementType::kF32 &&
             shape.rank() == 1 && shape[0] == Dim(static_cast<int64_t>(data.numbers.size()));
    }
    if (type != ElementType::kStored && type != ElementType::kPacked) return false;
    const auto groups = static_cast<size_t>(data.groups);
    if (data.tensors.size() % groups != 0) return false;
    const size_t of_group = data.tensors.size() / groups;
    for (size_t i = 0; i < data.tensors.size(); ++i) {
      // Every matrix like the first; two tensors of equal rows in turn.
      const size_t like = data.interleave_panels ? 0 : i % of_group;
      if (data.interleave_panels && of_group != 2) return false;
      if (data.tensors[i].rows != data.tensors[like].rows && (groups > 1 || data.interleave_panels))
        return false;
    }
    int64_t rows = 0;
    for (const StoredTensor& tensor : data.tensors) {
      if (tensor.cols != data.tensors[0].cols || tensor.dtype != data.tensors[0].dtype)
        return false;
      rows += tensor.rows;
    }
    return shape == Shape{rows, data.tensors[0].cols};
  }
  bool ParseNode() {
    std::vector<std::string> names;
    do {
      names.emplace_back();
      if (Accept('_')) continue;
      if (!ReadNewName(&names.back())) return false;
    } while (Accept(','));
    if (!Expect('=')) return false;
    const std::string_view op = Word();
    const auto kind = ParseOpKind(op);
    if (!kind) return Fail(fmt::format("unknown op '{}'", op));
    Node node{*kind, {}, {}, {}};
    if (!Expect('(')) return false;
    if (!Accept(')')) {
      do {
        if (node.inputs.size() >= SchemaOf(*kind).max_inputs) return Fail("too many inputs");
        node.inputs.emplace_back();
        if (!ReadKnownName(&node.inputs.back())) return false;
      } while (Accept(','));
      if (!Expect(')')) return false;
    }
    node.inputs.resize(SchemaOf(*kind).max_inputs, kNoValue);
    if (Accept('{') && !ParseAttributes(&node)) return false;
    return AddNode(std::move(node), names);
  }
  bool ParseAttributes(Node* node) {
    do {
      std::string name(Word());
      if (name.empty() || !Expect('=')) return Fail("expected attribute = value");
      SkipSpace();
      Attribute attribute;
      if (position_ < text_.size() && text_[position_] == '"') {
        std::string text;
        if (!ReadQuoted(&text)) return false;
        attribute = std::move(text);
      } else {
        const std::string_view word = Word();
        if (word.find_first_not_of("-0123456789") == std::string_view::npos) {
          int64_t integer;
          if (!ReadInteger(word, &integer)) return false;
          attribute = integer;
        } else {
          double number;
          if (!ReadNumber(word, &number)) return false;
          attribute = number;
        }
      }
      if (!node->attributes.emplace(std::move(name), std::move(attribute)).second) {
        return Fail("an attribute is given twice");
      }
    } while (Accept(','));
    return Expect('}');
  }
  bool AddNode(Node node, const std::vector<std::string>& names) {
    const Result<std::vector<TypeAndShape>> inferred = InferOutputs(graph_, node);
    if (!inferred.ok()) return Fail(inferred.status().message());
    if (names.size() != inferred->size()) {
      return Fail(fmt::format("found {} outputs, expected {}", names.size(), inferred->size()));
    }
    if (Accept(':')) {  // the printed type and shape are there for people; they must be right
      ElementType type;
      Shape shape;
      if (!ReadTypeAndShape(&type, &shape)) return false;
      if (type != (*inferred)[0].type || !(shape == (*inferred)[0].shape)) {
        return Fail(fmt::format("the op makes {}{}", TypeName((*inferred)[0].type),
                                ToText((*inferred)[0].shape)));
      }
    }
    for (size_t i = 0; i < names.size(); ++i) {
      if (names[i].empty()) {
        node.outputs.push_back(kNoValue);
        continue;
      }
      if (graph_.FindValue(names[i])) return Fail(fmt::format("%{} is made twice", names[i]));
      const ValueId id = graph_.AddResult(names[i]);
      graph_.value(id).type = (*inferred)[i].type;
      graph_.value(id).shape = (*inferred)[i].shape;
      node.outputs.push_back(id);
    }
    graph_.nodes.push_back(std::move(node));
    return true;
  }

  std::string_view text_;
  size_t position_ = 0;
  int line_ = 1;
  Status status_;
  Graph graph_;
};

}  // namespace

std::string GraphToText(const Graph& graph) {
  std::string text = fmt::format("graph \"{}\"\n", graph.name);
  const auto name = [&](ValueId id) {
    return id == kNoValue ? std::string("_") : "%" + graph.value(id).name;
  };
  for (ValueId id : graph.inputs) {
    const Value& value = graph.value(id);
    text +=
        fmt::format("input %{} : {}{}\n", value.name, TypeName(value.type), ToText(value.shape));
  }
  const Uses uses(graph);
  for (size_t v = 0; v < graph.num_values(); ++v) {
    const auto id = static_cast<ValueId>(v);
    const Value& value = graph.value(id);
    if (value.kind != ValueKind::kConstant) continue;
    if (uses.Readers(id).empty() && !uses.IsOutput(id)) continue;
    text += fmt::format("const %{} = {} : {}{}\n", value.name, ConstantText(value),
                        TypeName(value.type), ToText(value.shape));
  }
  for (const Node& node : graph.nodes) {
    std::string inputs;
    size_t used = node.inputs.size();
    while (used > 0 && node.inputs[used - 1] == kNoValue) --used;
    for (size_t i = 0; i < used; ++i) inputs += (i > 0 ? ", " : "") + name(node.inputs[i]);
    std::string outputs;
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      outputs += (i > 0 ? ", " : "") + name(node.outputs[i]);
    }
    std::string attributes;
    for (const auto& [key, attribute] : node.attributes) {
      attributes +=
          fmt::format("{}{}={}", attributes.empty() ? " {" : ", ", key, AttributeText(attribute));
    }
    if (!attributes.empty()) attributes += "}";
    text += fmt::format("{} = {}({}){}", outputs, SchemaOf(node.kind).name, inputs, attributes);
    if (node.outputs[0] != kNoValue) {
      const Value& value = graph.value(node.outputs[0]);
      text += fmt::format(" : {}{}", TypeName(value.type), ToText(value.shape));
    }
    text += "\n";
  }
  for (ValueId id : graph.outputs) text += fmt::format("output %{}\n", graph.value(id).name);
  return text;
}

Result<Graph> ParseGraph(std::string_view text) {
  if (text.size() > kMaxTextBytes) {
    return InvalidArgument(
        fmt::format("graph text: found {} bytes, expected at most {}", text.size(), kMaxTextBytes));
  }
  return Parser(text).Parse();
}

}  // namespace pelton
