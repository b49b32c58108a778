#pragma once

#include <memory>
#include <vector>

#include "base/status.h"
#include "text/template/host_object.h"
#include "text/template/interpreter.h"

namespace pelton::jinja {

// iter(value). A generator is used up by what is taken from the iterator.
Result<std::unique_ptr<Iterator>> Iterate(Interpreter& vm, const Value& value);
bool IsIterable(const Value& value);

// list(value).
Result<std::vector<Value>> Collect(Interpreter& vm, const Value& value);

// len(value), or -1 for a value that has no length.
int64_t LengthOf(const Value& value);

// The generator around an iterator; without one, of nothing.
Value NewGenerator(RenderContext& context, std::unique_ptr<Iterator> iterator);

// A pair as dict items have it.
Value NewPair(RenderContext& context, const Value& first, const Value& second);

}  // namespace pelton::jinja
