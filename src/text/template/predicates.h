#pragma once

#include <string_view>

#include "text/template/interpreter.h"

namespace pelton::jinja {

// A test: value is name(arguments). Called a predicate here because "test" means our own tests.
struct Predicate {
  std::string_view name;
  Result<bool> (*apply)(Interpreter& vm, const Value& input, Arguments& arguments);
};

// Null if there is none.
const Predicate* FindPredicate(std::string_view name);

}  // namespace pelton::jinja
