#include "text/template/access.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "text/template/iteration.h"
#include "text/template/methods_data.h"
#include "text/template/number_text.h"
#include "text/template/operators.h"
#include "text/template/printing.h"
#include "text/template/unicode_text.h"

namespace pelton::jinja {
namespace {

// Attributes that change a list or dict in place. The sandbox forbids them: messages are shared.
constexpr std::string_view kListChanges[] = {"append", "clear",  "extend",  "insert",
                                             "pop",    "remove", "reverse", "sort"};
constexpr std::string_view kDictChanges[] = {"clear", "pop", "popitem", "setdefault", "update"};

// Attributes that every Python object has. Reading one gives nothing, using it is an error: this is
// how templates try to reach the interpreter.
constexpr std::string_view kObjectInternals[] = {
    "__class__",        "__delattr__",      "__dict__",     "__dir__",
    "__doc__",          "__eq__",           "__format__",   "__ge__",
    "__getattribute__", "__getitem__",      "__getstate__", "__globals__",
    "__gt__",           "__hash__",         "__init__",     "__init_subclass__",
    "__iter__",         "__le__",           "__len__",      "__lt__",
    "__module__",       "__ne__",           "__new__",      "__reduce__",
    "__reduce_ex__",    "__repr__",         "__setattr__",  "__sizeof__",
    "__str__",          "__subclasshook__", "__add__",      "__contains__",
    "__mul__",          "__builtins__",     "__code__",     "__func__",
    "__self__",         "__call__",         "__mro__",      "__subclasses__",
    "__base__",         "__bases__",        "__import__",   "__name__",
    "__qualname__",     "__closure__",      "__defaults__", "__annotations__"};

template <size_t N>
bool IsOneOf(const std::string_view (&names)[N], std::string_view name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

bool IsForbidden(const Value& object, std::string_view name) {
  if (name.starts_with("__")) return IsOneOf(kObjectInternals, name);
  if (object.is(Kind::kList)) return IsOneOf(kListChanges, name);
  if (object.is(Kind::kDict)) return IsOneOf(kDictChanges, name);
  return false;
}

// How an object is named in the message of an undefined attribute.
std::string ObjectName(const Value& object) {
  if (object.is_none()) return "'None'";
  return "'" + std::string(TypeName(object)) + " object'";
}

std::string Shortened(std::string_view name) {
  if (name.size() <= 80) return std::string(name);
  return std::string(name.substr(0, ByteOffset(name, 80))) + "...";
}

Value UndefinedAttribute(const Value& object, std::string_view name) {
  return MakeUndefined(ObjectName(object) + " has no attribute '" + Shortened(name) + "'");
}

Result<Value> UndefinedItem(Interpreter& vm, const Value& object, const Value& key) {
  if (key.is_string()) return UndefinedAttribute(object, key.text());
  std::string shown(TypeName(key));
  if (key.is_number() || key.is_none()) {
    ASSIGN_OR_RETURN(shown, TextOf(vm, key));
  }
  return MakeUndefined(ObjectName(object) + " has no element " + shown);
}

// object[key] alone. Missing where Python raises a TypeError or LookupError.
Result<Value> PlainItem(Interpreter& vm, const Value& object, const Value& key) {
  if (object.is(Kind::kDict)) {
    if (!IsHashable(key)) return Value::Missing();
    RETURN_IF_ERROR(ChargeText(vm, key));
    const Value* found = object.dict().Find(key);
    return found != nullptr ? *found : Value::Missing();
  }
  const bool indexable = object.is_sequence() || object.is_string() || object.is(Kind::kRange);
  if (!indexable || !key.is_integral()) return Value::Missing();
  const std::optional<int64_t> given = ToInt64(key.as_int());
  const int64_t size = LengthOf(object);
  if (!given || *given >= size || *given < -size) return Value::Missing();
  const int64_t index = *given < 0 ? *given + size : *given;
  if (object.is_sequence()) return object.items()[static_cast<size_t>(index)];
  if (object.is(Kind::kRange)) return Value::Integer(object.range().At(index));
  const std::string& text = object.text();
  size_t pos = static_cast<size_t>(index);
  if (!object.string_object().IsAscii()) {
    RETURN_IF_ERROR(vm.Charge(text.size()));
    pos = ByteOffset(text, index);
  }
  size_t end = pos;
  DecodeAt(text, end);
  return vm.NewString(text.substr(pos, end - pos), object.is_safe_text());
}

int64_t ClampToInt64(Int value) {
  constexpr Int kMin = std::numeric_limits<int64_t>::min();
  constexpr Int kMax = std::numeric_limits<int64_t>::max();
  return static_cast<int64_t>(std::clamp(value, kMin, kMax));
}

struct SliceBounds {
  int64_t start;
  int64_t end;
  int64_t step;
  int64_t count;
};

// Python's slice.indices().
Result<SliceBounds> FindBounds(Interpreter& vm, int64_t size, const Value& start, const Value& stop,
                               const Value& step) {
  const auto number = [&](const Value& value, int64_t fallback) -> Result<int64_t> {
    if (value.is_none()) return fallback;
    if (value.is_undefined()) return vm.UndefinedError(value);
    if (!value.is_integral()) return vm.RuntimeError("the bounds of a slice must be integers");
    // Beyond the ends of every sequence one number is as good as another.
    const Int limit = Int{1} << 62;
    return static_cast<int64_t>(std::clamp(value.as_int(), -limit, limit));
  };
  SliceBounds bounds{};
  ASSIGN_OR_RETURN(bounds.step, number(step, 1));
  if (bounds.step == 0) return vm.RuntimeError("the step of a slice cannot be zero");
  const bool backwards = bounds.step < 0;
  const int64_t lowest = backwards ? -1 : 0;
  const int64_t highest = backwards ? size - 1 : size;
  const auto place = [&](int64_t index) {
    if (index < 0) index += size;
    return std::clamp(index, lowest, highest);
  };
  ASSIGN_OR_RETURN(const int64_t from, number(start, 0));
  ASSIGN_OR_RETURN(const int64_t to, number(stop, 0));
  bounds.start = start.is_none() ? (backwards ? highest : lowest) : place(from);
  bounds.end = stop.is_none() ? (backwards ? lowest : highest) : place(to);
  const int64_t span = backwards ? bounds.start - bounds.end : bounds.end - bounds.start;
  const int64_t stride = backwards ? -bounds.step : bounds.step;
  bounds.count = span <= 0 ? 0 : (span - 1) / stride + 1;
  return bounds;
}

Result<Value> SliceText(Interpreter& vm, const Value& object, const SliceBounds& bounds) {
  const std::string& text = object.text();
  const bool safe = object.is_safe_text();
  RETURN_IF_ERROR(vm.Charge(text.size()));
  if (bounds.count == 0) return vm.NewString("", safe);
  const bool ascii = object.string_object().IsAscii();
  if (bounds.step == 1) {
    const size_t begin = ascii ? static_cast<size_t>(bounds.start) : ByteOffset(text, bounds.start);
    const std::string_view rest = std::string_view(text).substr(begin);
    const size_t length =
        ascii ? static_cast<size_t>(bounds.count) : ByteOffset(rest, bounds.count);
    return vm.NewString(std::string(rest.substr(0, length)), safe);
  }
  std::vector<size_t> offsets;  // of every code point, and the end
  RETURN_IF_ERROR(vm.Reserve(text.size() * sizeof(size_t)));
  for (size_t pos = 0; pos < text.size(); DecodeAt(text, pos)) offsets.push_back(pos);
  offsets.push_back(text.size());
  std::string out;
  for (int64_t i = 0; i < bounds.count; ++i) {
    const size_t index = static_cast<size_t>(bounds.start + i * bounds.step);
    out.append(text, offsets[index], offsets[index + 1] - offsets[index]);
  }
  return vm.NewString(std::move(out), safe);
}

}  // namespace

const Method* FindMethod(const Value& value, std::string_view name) {
  switch (value.kind()) {
    case Kind::kString:
      return FindTextMethod(name);
    case Kind::kDict:
      return FindDictMethod(name);
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kRange:
      return FindSequenceMethod(value, name);
    case Kind::kFloat:
    case Kind::kInt:
    case Kind::kBool:
      return FindNumberMethod(value, name);
    default:
      return nullptr;
  }
}

Result<Value> GetOwnAttribute(Interpreter& vm, const Value& object, std::string_view name) {
  if (object.is_undefined()) return vm.UndefinedError(object);
  if (const Method* method = FindMethod(object, name)) {
    auto function = std::make_shared<FunctionObject>(method->name, method->call, object);
    return vm.Adopt(Kind::kObject, std::move(function), sizeof(FunctionObject));
  }
  if (object.is(Kind::kObject)) {
    ASSIGN_OR_RETURN(Value value, object.host().GetAttribute(vm, object, name));
    if (!value.is_missing()) return value;
  }
  if (object.is(Kind::kTuple) && object.list_object().is_group) {
    if (name == "grouper") return object.items()[0];
    if (name == "list") return object.items()[1];
  }
  if (object.is_number() && name == "real") return Plus(vm, object);
  if (object.is_number() && name == "imag") {
    return object.is(Kind::kFloat) ? Value::Float(0) : Value::Integer(0);
  }
  if (IsForbidden(object, name)) {
    return MakeUndefined("the attribute '" + std::string(name) + "' of a '" +
                             std::string(TypeName(object)) + "' object must not be used here",
                         true);
  }
  return Value::Missing();
}

Result<Value> GetAttribute(Interpreter& vm, const Value& object, std::string_view name) {
  ASSIGN_OR_RETURN(Value value, GetOwnAttribute(vm, object, name));
  if (!value.is_missing()) return value;
  if (object.is(Kind::kDict)) {
    RETURN_IF_ERROR(vm.Charge(name.size()));
    if (const Value* item = object.dict().Find(name)) return *item;
  }
  return UndefinedAttribute(object, name);
}

Result<Value> GetItem(Interpreter& vm, const Value& object, const Value& key) {
  if (object.is_undefined()) return vm.UndefinedError(object);
  ASSIGN_OR_RETURN(Value value, PlainItem(vm, object, key));
  if (!value.is_missing()) return value;
  if (key.is_string()) {
    ASSIGN_OR_RETURN(value, GetOwnAttribute(vm, object, key.text()));
    if (!value.is_missing()) return value;
  }
  return UndefinedItem(vm, object, key);
}

Result<Value> GetSlice(Interpreter& vm, const Value& object, const Value& start, const Value& stop,
                       const Value& step) {
  if (object.is_undefined()) return vm.UndefinedError(object);
  if (!object.is_sequence() && !object.is_string() && !object.is(Kind::kRange)) {
    return vm.RuntimeError("'" + std::string(TypeName(object)) + "' object cannot be sliced");
  }
  ASSIGN_OR_RETURN(const SliceBounds bounds, FindBounds(vm, LengthOf(object), start, stop, step));
  if (object.is_string()) return SliceText(vm, object, bounds);
  if (object.is(Kind::kRange)) {
    const RangeObject& whole = object.range();
    auto range = std::make_shared<RangeObject>();
    range->start = whole.At(bounds.start);
    range->size = bounds.count;
    range->step = ClampToInt64(Int{whole.step} * bounds.step);
    range->stop = whole.At(bounds.end);
    return vm.Adopt(Kind::kRange, std::move(range), sizeof(RangeObject));
  }
  const size_t count = static_cast<size_t>(bounds.count);
  RETURN_IF_ERROR(vm.Reserve(count * sizeof(Value)));
  std::vector<Value> items;
  items.reserve(count);
  for (int64_t i = 0; i < bounds.count; ++i) {
    items.push_back(object.items()[static_cast<size_t>(bounds.start + i * bounds.step)]);
  }
  return object.is(Kind::kList) ? vm.NewList(std::move(items)) : vm.NewTuple(std::move(items));
}

}  // namespace pelton::jinja
