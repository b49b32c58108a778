#pragma once

#include <string>
#include <string_view>

#include "text/template/text_builder.h"
#include "text/template/value.h"

namespace pelton::jinja {

// str(value) and repr(value) as Python prints them.
Status AddText(TextBuilder& out, const Value& value);
Status AddRepr(TextBuilder& out, const Value& value);
Status AddQuoted(TextBuilder& out, std::string_view text);  // repr of a string
Status AddAscii(TextBuilder& out, const Value& value);      // ascii(value)

Result<std::string> TextOf(RenderContext& context, const Value& value);
// The value itself if it is a string (safe or not), else its text.
Result<Value> AsString(RenderContext& context, const Value& value);

}  // namespace pelton::jinja
