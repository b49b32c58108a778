#pragma once

#include <vector>

#include "text/template/interpreter.h"

namespace pelton::jinja {

// The attribute argument of map, sort and others: "name", "outer.inner.0", a number, or nothing for
// the item itself.
class AttributePath {
 public:
  AttributePath() = default;
  // From an argument; missing and none give the empty path.
  static Result<AttributePath> Parse(Interpreter& vm, const Value& attribute);
  // Several paths, separated by commas.
  static Result<std::vector<AttributePath>> ParseList(Interpreter& vm, const Value& attribute);

  // The value there; `fallback`, unless it is missing or none, in place of an undefined one.
  Result<Value> Get(Interpreter& vm, const Value& item, const Value& fallback) const;
  Result<Value> Get(Interpreter& vm, const Value& item) const {
    return Get(vm, item, Value::Missing());
  }

 private:
  std::vector<Value> parts_;
};

// The value, in lower case if it is a string and `case_sensitive` is false.
Result<Value> SortKey(RenderContext& context, const Value& value, bool case_sensitive);

}  // namespace pelton::jinja
