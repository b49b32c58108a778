#pragma once

#include <string>
#include <string_view>

#include "text/template/interpreter.h"

// Python's two ways of formatting values into text.
namespace pelton::jinja {

// format % arguments. Requires: format is a string.
Result<Value> PercentFormat(Interpreter& vm, const Value& format, const Value& arguments);
// format.format(arguments). Requires: format is a string.
Result<Value> BraceFormat(Interpreter& vm, const Value& format, const Arguments& arguments);

// How one value is laid out, in the terms of Python's format specification.
struct FormatSpec {
  std::string fill = " ";  // one character
  char align = 0;          // < > ^ =, or 0 for the type's own
  char sign = '-';         // - + or space
  bool alternate = false;
  char grouping = 0;  // , or _
  int64_t width = 0;
  int64_t precision = -1;  // -1: none
  char type = 0;
};

// Reads [[fill]align][sign][#][0][width][grouping][.precision][type].
Result<FormatSpec> ParseFormatSpec(RenderContext& context, std::string_view text);

// Number texts without padding, with sign. Fails for a type that does not suit the number.
Result<std::string> FormatInt(RenderContext& context, Int value, const FormatSpec& spec);
Result<std::string> FormatFloat(RenderContext& context, double value, const FormatSpec& spec);
// `text` padded to the width; of a number, "=" puts the padding behind the sign.
Result<std::string> PadFormatted(RenderContext& context, std::string_view text,
                                 const FormatSpec& spec, bool is_number);

}  // namespace pelton::jinja
