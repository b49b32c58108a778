#pragma once

#include <string_view>

#include "text/template/value.h"

namespace pelton::jinja {

// The function that every template can call by this name; missing if there is none: range, dict,
// namespace, cycler, joiner, raise_exception, strftime_now, lipsum.
Value FindGlobal(std::string_view name);

}  // namespace pelton::jinja
