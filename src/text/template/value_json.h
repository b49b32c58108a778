#pragma once

#include <string_view>

#include "base/status.h"
#include "text/template/value.h"

namespace pelton::jinja {

// The value of a JSON text, keys in their order. Integers stay exact up to 128 bits; larger ones
// become floats. InvalidArgument if the text is no JSON (strict, UTF-8) or nested more than
// kMaxValueDepth deep. Memory is proportional to the text: at most about 100 bytes for each byte.
Result<Value> ValueFromJson(std::string_view json);

}  // namespace pelton::jinja
