#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "serving/generate/generation_request.h"
#include "serving/request/field_reader.h"

namespace pelton {

// Whether the choice leaves less than the model's own will: calls that must be, a single call, or
// strict arguments.
bool NeedsGrammar(const ToolChoice& choice, const OutputFormat& format);

// A marker as a structural tag names it: its text, or the token if it is a control token.
Json Marker(const LanguageModel& model, std::string_view text);

// The format, of a structural tag, of an answer that the choice allows, in the syntax of the
// output's family. A family without a syntax that can be forced, or none, gets JSON objects with
// name and parameters, and `format` the family that reads those. `with_schemas`: arguments follow
// their schemas; otherwise they are any objects. InvalidArgument if the choice cannot be forced.
Result<Json> CallFormat(const LanguageModel& model, const ToolChoice& choice, bool with_schemas,
                        OutputFormat* format);

}  // namespace pelton
