#pragma once

#include <string_view>

#include "text/template/access.h"

// Methods of everything but strings; null if there is none of that name.
namespace pelton::jinja {

const Method* FindDictMethod(std::string_view name);
const Method* FindSequenceMethod(const Value& value, std::string_view name);
const Method* FindNumberMethod(const Value& value, std::string_view name);

}  // namespace pelton::jinja
