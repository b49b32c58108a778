#pragma once

#include "serving/generate/generation_request.h"
#include "serving/request/field_reader.h"

namespace pelton {

// Reads what the output must be, in every spelling that clients use: response_format; vLLM's
// guided_json, guided_regex, guided_choice, guided_grammar and structured_outputs; llama.cpp's
// grammar and json_schema. Two at once are refused, naming both.
void ReadConstraint(FieldReader& reader, GenerationRequest* request);

// Reads tool_choice and parallel_tool_calls. Requires: the tools were read.
void ReadToolChoice(FieldReader& reader, GenerationRequest* request);

}  // namespace pelton
