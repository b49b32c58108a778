#include "text/template/methods_data.h"

#include <cmath>
#include <utility>

#include "text/template/argument_binding.h"
#include "text/template/host_object.h"
#include "text/template/iteration.h"
#include "text/template/number_text.h"
#include "text/template/operators.h"

namespace pelton::jinja {
namespace {

template <size_t N>
const Method* FindIn(const Method (&methods)[N], std::string_view name) {
  for (const Method& method : methods) {
    if (method.name == name) return &method;
  }
  return nullptr;
}

Value NewView(Interpreter& vm, const Value& dict, ViewObject::What what) {
  auto view = std::make_shared<ViewObject>();
  view->dict = dict;
  view->what = what;
  view->depth = dict.depth() + 1;
  return vm.Adopt(Kind::kView, std::move(view), sizeof(ViewObject));
}

template <ViewObject::What kWhat>
Result<Value> DictView(Interpreter& vm, const Value& self, Arguments& arguments) {
  RETURN_IF_ERROR(BindArguments(vm, "a dict's method", 0, {}, arguments, nullptr));
  return NewView(vm, self, kWhat);
}

Result<Value> DictGet(Interpreter& vm, const Value& self, Arguments& arguments) {
  Value argument[2];
  RETURN_IF_ERROR(BindArguments(vm, "get", 1, {"/key", "/default"}, arguments, argument));
  if (!IsHashable(argument[0])) {
    return vm.RuntimeError("unhashable type: '" + std::string(TypeName(argument[0])) + "'");
  }
  if (const Value* value = self.dict().Find(argument[0])) return *value;
  return argument[1].is_missing() ? Value() : argument[1];
}

Result<Value> Copy(Interpreter& vm, const Value& self, Arguments& arguments) {
  RETURN_IF_ERROR(BindArguments(vm, "copy", 0, {}, arguments, nullptr));
  return self;  // nothing can change, so nothing tells a copy from the original
}

constexpr Method kDictMethods[] = {
    {"get", &DictGet},
    {"items", &DictView<ViewObject::What::kItems>},
    {"keys", &DictView<ViewObject::What::kKeys>},
    {"values", &DictView<ViewObject::What::kValues>},
    {"copy", &Copy},
};

Result<Value> SequenceCount(Interpreter& vm, const Value& self, Arguments& arguments) {
  Value wanted;
  RETURN_IF_ERROR(BindArguments(vm, "count", 1, {"/value"}, arguments, &wanted));
  ASSIGN_OR_RETURN(const std::vector<Value> items, Collect(vm, self));
  int64_t count = 0;
  for (const Value& item : items) {
    ASSIGN_OR_RETURN(const bool equal, Equals(vm, item, wanted));
    count += equal;
  }
  return Value::Integer(count);
}

Result<Value> SequenceIndex(Interpreter& vm, const Value& self, Arguments& arguments) {
  Value argument[3];
  RETURN_IF_ERROR(
      BindArguments(vm, "index", 1, {"/value", "/start", "/stop"}, arguments, argument));
  const int64_t size = LengthOf(self);
  ASSIGN_OR_RETURN(int64_t start, IntArgument(vm, "start", argument[1], 0));
  ASSIGN_OR_RETURN(int64_t stop, IntArgument(vm, "stop", argument[2], size));
  if (start < 0) start = std::max<int64_t>(start + size, 0);
  if (stop < 0) stop = std::max<int64_t>(stop + size, 0);
  ASSIGN_OR_RETURN(const std::vector<Value> items, Collect(vm, self));
  for (int64_t i = start; i < std::min(stop, size); ++i) {
    ASSIGN_OR_RETURN(const bool equal, Equals(vm, items[static_cast<size_t>(i)], argument[0]));
    if (equal) return Value::Integer(i);
  }
  return vm.RuntimeError("index(): the value is not in the list");
}

constexpr Method kSequenceMethods[] = {
    {"count", &SequenceCount},
    {"index", &SequenceIndex},
};

constexpr Method kListOnlyMethods[] = {{"copy", &Copy}};

Result<Value> IsInteger(Interpreter& vm, const Value& self, Arguments& arguments) {
  RETURN_IF_ERROR(BindArguments(vm, "is_integer", 0, {}, arguments, nullptr));
  const double value = self.as_double();
  return Value::Bool(std::isfinite(value) && value == std::trunc(value));
}

Result<Value> BitLength(Interpreter& vm, const Value& self, Arguments& arguments) {
  RETURN_IF_ERROR(BindArguments(vm, "bit_length", 0, {}, arguments, nullptr));
  const Int value = self.as_int();
  return Value::Integer(value == 0 ? 0 : static_cast<int64_t>(MagnitudeText(value, 2).size()));
}

constexpr Method kFloatMethods[] = {{"is_integer", &IsInteger}};
constexpr Method kIntMethods[] = {{"bit_length", &BitLength}};

}  // namespace

const Method* FindDictMethod(std::string_view name) { return FindIn(kDictMethods, name); }

const Method* FindSequenceMethod(const Value& value, std::string_view name) {
  if (const Method* method = FindIn(kSequenceMethods, name)) return method;
  return value.is(Kind::kList) ? FindIn(kListOnlyMethods, name) : nullptr;
}

const Method* FindNumberMethod(const Value& value, std::string_view name) {
  return value.is(Kind::kFloat) ? FindIn(kFloatMethods, name) : FindIn(kIntMethods, name);
}

Result<Value> HostObject::Call(Interpreter& vm, Arguments&) {
  return vm.RuntimeError("'" + std::string(type_name()) + "' object is not callable");
}

Result<Value> HostObject::GetAttribute(Interpreter&, const Value&, std::string_view) {
  return Value::Missing();
}

const Value* Namespace::Find(std::string_view name) const {
  for (const auto& [key, value] : attributes_) {
    if (key == name) return &value;
  }
  return nullptr;
}

void Namespace::Set(std::string_view name, Value value) {
  for (auto& [key, current] : attributes_) {
    if (key != name) continue;
    current = std::move(value);
    return;
  }
  attributes_.emplace_back(name, std::move(value));
}

Result<Value> Namespace::GetAttribute(Interpreter& vm, const Value&, std::string_view name) {
  RETURN_IF_ERROR(vm.Step(1 + attributes_.size() / 8));
  const Value* value = Find(name);
  return value != nullptr ? *value : Value::Missing();
}

}  // namespace pelton::jinja
