#include "text/template/globals.h"

#include <utility>

#include "text/template/argument_binding.h"
#include "text/template/host_object.h"
#include "text/template/interpreter.h"
#include "text/template/iteration.h"
#include "text/template/printing.h"

namespace pelton::jinja {
namespace {

// The sandbox's own limit (MAX_RANGE).
constexpr Int kMaxRangeSize = 100'000;

Result<Value> Range(Interpreter& vm, const Value&, Arguments& arguments) {
  if (!arguments.named.empty()) return vm.RuntimeError("range() takes no named arguments");
  const size_t count = arguments.positional.size();
  if (count < 1 || count > 3) return vm.RuntimeError("range() takes one to three arguments");
  int64_t bounds[3] = {0, 0, 1};
  for (size_t i = 0; i < count; ++i) {
    const size_t slot = count == 1 ? 1 : i;
    ASSIGN_OR_RETURN(bounds[slot], IntArgument(vm, "range", arguments.positional[i], 0));
  }
  const auto [start, stop, step] = bounds;
  if (step == 0) return vm.RuntimeError("range(): the step is zero");
  const Int span = step > 0 ? Int{stop} - start : Int{start} - stop;
  const Int stride = step > 0 ? Int{step} : -Int{step};
  const Int size = span <= 0 ? 0 : (span - 1) / stride + 1;
  if (size > kMaxRangeSize) {
    return vm.RuntimeError("range() of more than 100000 numbers");
  }
  auto range = std::make_shared<RangeObject>();
  range->start = start;
  range->stop = stop;
  range->step = step;
  range->size = static_cast<int64_t>(size);
  return vm.Adopt(Kind::kRange, std::move(range), sizeof(RangeObject));
}

// The entries of dict(source, **named): of a dict, or of a list of pairs.
Status AddEntries(Interpreter& vm, const Value& source, std::vector<DictObject::Entry>& out) {
  if (source.is(Kind::kDict)) {
    RETURN_IF_ERROR(vm.Reserve(source.dict().entries.size() * sizeof(DictObject::Entry)));
    out.insert(out.end(), source.dict().entries.begin(), source.dict().entries.end());
    return OkStatus();
  }
  ASSIGN_OR_RETURN(const std::vector<Value> pairs, Collect(vm, source));
  for (const Value& pair : pairs) {
    ASSIGN_OR_RETURN(const std::vector<Value> items, Collect(vm, pair));
    if (items.size() != 2) return vm.RuntimeError("dict() needs pairs of a key and a value");
    if (!IsHashable(items[0])) {
      return vm.RuntimeError("unhashable type: '" + std::string(TypeName(items[0])) + "'");
    }
    out.push_back({items[0], items[1]});
  }
  return OkStatus();
}

Result<std::vector<DictObject::Entry>> EntriesOf(Interpreter& vm, Arguments& arguments) {
  if (arguments.positional.size() > 1) return vm.RuntimeError("dict() takes at most one dict");
  std::vector<DictObject::Entry> entries;
  if (!arguments.positional.empty()) {
    RETURN_IF_ERROR(AddEntries(vm, arguments.positional[0], entries));
  }
  for (auto& [name, value] : arguments.named) {
    entries.push_back({vm.NewString(name), std::move(value)});
  }
  return entries;
}

Result<Value> Dict(Interpreter& vm, const Value&, Arguments& arguments) {
  ASSIGN_OR_RETURN(std::vector<DictObject::Entry> entries, EntriesOf(vm, arguments));
  return vm.NewDict(std::move(entries));
}

Result<Value> MakeNamespace(Interpreter& vm, const Value&, Arguments& arguments) {
  ASSIGN_OR_RETURN(std::vector<DictObject::Entry> entries, EntriesOf(vm, arguments));
  const Value attributes = vm.NewDict(std::move(entries));  // later entries replace earlier ones
  if (!attributes.is(Kind::kDict)) return vm.failure();
  Namespace* space = vm.NewNamespace();
  for (const DictObject::Entry& entry : attributes.dict().entries) {
    if (!entry.key.is_string()) return vm.RuntimeError("namespace attributes need names");
    if (entry.key.text().starts_with('_')) {
      return vm.Error(TemplateErrorKind::kSecurity,
                      "attributes of a namespace do not start with an underscore");
    }
    space->Append(entry.key.text(), entry.value);
  }
  vm.Hold(attributes.dict().entries.size() * (sizeof(std::string) + sizeof(Value)));
  // The rendering owns the namespace and outlives every value: the pointer owns nothing.
  return Value::FromObject(Kind::kObject, std::shared_ptr<Object>(std::shared_ptr<void>(), space));
}

// cycler('a', 'b'): next() gives its values in turn.
class Cycler : public HostObject {
 public:
  explicit Cycler(std::vector<Value> items) : items_(std::move(items)) {
    for (const Value& item : items_) depth = std::max(depth, item.depth());
    ++depth;
  }
  std::string_view type_name() const override { return "Cycler"; }

  Result<Value> GetAttribute(Interpreter& vm, const Value& self, std::string_view name) override {
    if (name == "current") return items_[pos_];
    if (name == "pos") return Value::Integer(static_cast<int64_t>(pos_));
    if (name == "items") return vm.NewTuple(items_);
    const bool is_next = name == "next";
    if (!is_next && name != "reset") return Value::Missing();
    auto function = std::make_shared<FunctionObject>(is_next ? "next" : "reset",
                                                     is_next ? &Next : &Reset, self);
    return vm.Adopt(Kind::kObject, std::move(function), sizeof(FunctionObject));
  }

 private:
  static Result<Value> Next(Interpreter& vm, const Value& self, Arguments& arguments) {
    RETURN_IF_ERROR(BindArguments(vm, "next", 0, {}, arguments, nullptr));
    auto& cycler = static_cast<Cycler&>(self.host());
    const Value& value = cycler.items_[cycler.pos_];
    cycler.pos_ = (cycler.pos_ + 1) % cycler.items_.size();
    return value;
  }

  static Result<Value> Reset(Interpreter& vm, const Value& self, Arguments& arguments) {
    RETURN_IF_ERROR(BindArguments(vm, "reset", 0, {}, arguments, nullptr));
    static_cast<Cycler&>(self.host()).pos_ = 0;
    return Value();
  }

  std::vector<Value> items_;
  size_t pos_ = 0;
};

Result<Value> MakeCycler(Interpreter& vm, const Value&, Arguments& arguments) {
  if (arguments.positional.empty() || !arguments.named.empty()) {
    return vm.RuntimeError("cycler() needs at least one value, and no names");
  }
  const size_t bytes = sizeof(Cycler) + arguments.positional.size() * sizeof(Value);
  return vm.Adopt(Kind::kObject, std::make_shared<Cycler>(std::move(arguments.positional)), bytes);
}

// joiner(', '): nothing the first time, then the separator.
class Joiner : public HostObject {
 public:
  explicit Joiner(Value separator) : separator_(std::move(separator)) {
    depth = separator_.depth() + 1;
  }
  std::string_view type_name() const override { return "Joiner"; }
  bool callable() const override { return true; }
  Result<Value> Call(Interpreter& vm, Arguments& arguments) override {
    RETURN_IF_ERROR(BindArguments(vm, "joiner", 0, {}, arguments, nullptr));
    return std::exchange(used_, true) ? separator_ : vm.NewString("");
  }
  Result<Value> GetAttribute(Interpreter&, const Value&, std::string_view name) override {
    if (name == "sep") return separator_;
    return name == "used" ? Value::Bool(used_) : Value::Missing();
  }

 private:
  Value separator_;
  bool used_ = false;
};

Result<Value> MakeJoiner(Interpreter& vm, const Value&, Arguments& arguments) {
  Value separator;
  RETURN_IF_ERROR(BindArguments(vm, "joiner", 0, {"sep"}, arguments, &separator));
  if (separator.is_missing()) separator = vm.NewString(", ");
  return vm.Adopt(Kind::kObject, std::make_shared<Joiner>(std::move(separator)), sizeof(Joiner));
}

Result<Value> RaiseException(Interpreter& vm, const Value&, Arguments& arguments) {
  Value message;
  RETURN_IF_ERROR(BindArguments(vm, "raise_exception", 1, {"/message"}, arguments, &message));
  ASSIGN_OR_RETURN(std::string text, TextOf(vm, message));
  return vm.Error(TemplateErrorKind::kRaise, std::move(text));
}

Result<Value> StrftimeNow(Interpreter& vm, const Value&, Arguments& arguments) {
  Value format;
  RETURN_IF_ERROR(BindArguments(vm, "strftime_now", 1, {"/format"}, arguments, &format));
  ASSIGN_OR_RETURN(const std::string text, TextArgument(vm, "format", format, ""));
  // A directive of two characters prints at most about a hundred.
  RETURN_IF_ERROR(vm.Charge(64 * text.size()));
  RETURN_IF_ERROR(vm.Reserve(64 * text.size()));
  const CivilTime now = vm.options().now.value_or(CivilTime::Now());
  return vm.NewString(FormatCivilTime(now, text));
}

Result<Value> Lipsum(Interpreter& vm, const Value&, Arguments&) {
  return vm.RuntimeError("lipsum() is not supported: a chat template has no use for filler text");
}

Value Function(std::string_view name, FunctionObject::Function function) {
  return Value::FromObject(Kind::kObject,
                           std::make_shared<FunctionObject>(name, function, Value::Missing()));
}

}  // namespace

Value FindGlobal(std::string_view name) {
  struct Global {
    std::string_view name;
    Value function;
  };
  // Shared by all renderings: functions hold nothing.
  static const Global globals[] = {
      {"range", Function("range", &Range)},
      {"dict", Function("dict", &Dict)},
      {"namespace", Function("namespace", &MakeNamespace)},
      {"raise_exception", Function("raise_exception", &RaiseException)},
      {"strftime_now", Function("strftime_now", &StrftimeNow)},
      {"cycler", Function("cycler", &MakeCycler)},
      {"joiner", Function("joiner", &MakeJoiner)},
      {"lipsum", Function("lipsum", &Lipsum)},
  };
  for (const Global& global : globals) {
    if (global.name == name) return global.function;
  }
  return Value::Missing();
}

}  // namespace pelton::jinja
