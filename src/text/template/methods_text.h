#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "text/template/access.h"

// Pieces of the string methods that filters use too.
namespace pelton::jinja {

// text.strip(), of white space or of the characters in `chars`.
enum class Ends { kLeft, kRight, kBoth };
std::string_view StripText(std::string_view text, const std::optional<std::string>& chars,
                           Ends ends);
// text.replace(old, fresh, count); a negative count replaces all.
Result<std::string> ReplaceText(RenderContext& context, std::string_view text, std::string_view old,
                                std::string_view fresh, int64_t count);
// text.center(width, fill) and the like. `fill` is one character.
Result<std::string> PadText(RenderContext& context, std::string_view text, int64_t width,
                            std::string_view fill, Ends text_at);
// text.split() at white space.
std::vector<std::string_view> SplitWords(std::string_view text);
// text.splitlines().
std::vector<std::string_view> SplitLines(std::string_view text, bool keep_ends);

// The methods that split a string; methods_text_split.cc.
const Method* FindSplitMethod(std::string_view name);

}  // namespace pelton::jinja
