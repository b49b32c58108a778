#pragma once

#include <string_view>

#include "text/template/interpreter.h"

namespace pelton::jinja {

// A method of a string, list, dict or number.
struct Method {
  std::string_view name;
  Result<Value> (*call)(Interpreter& vm, const Value& self, Arguments& arguments);
  bool is_constant_time = false;  // does not read the whole of `self`
};

// The built-in method `name` of the value's kind, null if there is none.
const Method* FindMethod(const Value& value, std::string_view name);
const Method* FindTextMethod(std::string_view name);  // methods_text.cc, methods_text_split.cc

// value.name: a method if there is one, else the item. Undefined if there is neither.
Result<Value> GetAttribute(Interpreter& vm, const Value& object, std::string_view name);
// value.name without the item; missing if there is none.
Result<Value> GetOwnAttribute(Interpreter& vm, const Value& object, std::string_view name);
// value[key]: the item if there is one, else the method. Undefined if there is neither.
Result<Value> GetItem(Interpreter& vm, const Value& object, const Value& key);
// value[start:stop:step]; a bound that is none is open.
Result<Value> GetSlice(Interpreter& vm, const Value& object, const Value& start, const Value& stop,
                       const Value& step);

}  // namespace pelton::jinja
