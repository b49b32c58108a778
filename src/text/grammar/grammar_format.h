#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/status.h"
#include "text/grammar/grammar.h"

namespace pelton::grammar {

using Json = nlohmann::ordered_json;

// `text` as JSON, if it is at most 64 deep and of at most 16384 members and items.
Result<Json> ParseBounded(std::string_view text);

// The source as a structural tag whose parts were checked and brought into the form that XGrammar
// handles right.
Result<Json> FormatOf(const GrammarSource& source);

// A JSON schema in the form that XGrammar handles right: references to names of our own, enums by
// type, allOf merged, siblings of anyOf moved into its branches. InvalidArgument naming the keyword
// if a part cannot be honoured. Annotations go.
Result<Json> RewriteSchema(const Json& schema);

// A regular expression without its outer anchors and with "." spelled out. InvalidArgument if it
// has more than kMaxRegexBytes or if its repetitions multiply to more than kMaxExpansion.
Result<std::string> RewriteRegex(std::string_view pattern);
// A JSON schema's pattern, which may match anywhere in a text, as one for the whole text. Also
// InvalidArgument for what a JSON text would have to escape, which XGrammar does not.
Result<std::string> RewritePattern(std::string_view pattern);
// The same as RewriteRegex for GBNF.
Result<std::string> RewriteEbnf(std::string_view text);

// A rule of the grammar, which RewriteEbnf has checked, that leads to itself before any text, or
// "".
std::string LeftRecursiveRule(std::string_view checked);

inline constexpr size_t kMaxRegexBytes = 8 << 10;
inline constexpr size_t kMaxExpansion = 20000;

}  // namespace pelton::grammar
