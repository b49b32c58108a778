#pragma once

#include <string>
#include <vector>

#include "serving/request/field_reader.h"
#include "text/parsers/output_parser.h"

namespace pelton {

struct MessageProblem {
  std::string param;    // "messages[2].content"
  std::string message;  // empty: none
};

// Checks the messages of a chat and brings them into the form that templates expect: contents made
// of text parts become one text, the arguments of earlier tool calls become objects. Parts that are
// not text are refused.
MessageProblem NormalizeMessages(Json* messages);

// Checks `tools` and gives what a parser of the answer needs; the problem, or nothing.
std::string CheckTools(const Json& tools, std::vector<ToolSpec>* specs);

}  // namespace pelton
