#pragma once

#include <string>

#include "text/template/text_builder.h"

namespace pelton::jinja {

// The arguments of Python's json.dumps().
struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  bool is_indented = false;
  std::string indent;  // of one level
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};

// Writes the value as json.dumps() does: keys in their order unless sorted, 1.0 as 1.0, NaN as NaN.
// Fails for values that JSON has no form for.
Status AddJson(TextBuilder& out, const Value& value, const JsonStyle& style);

}  // namespace pelton::jinja
