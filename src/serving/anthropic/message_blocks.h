#pragma once

#include "serving/request/field_reader.h"

namespace pelton {

// Turns `system` and `messages` of Anthropic's interface into messages of OpenAI's, which templates
// read: blocks of text become one text, tool_use becomes tool_calls, each tool_result a message of
// the role "tool", thinking becomes reasoning_content. A block of another type, an unknown field
// and a last message of the assistant's are failures of `reader`, named by their place. `system`
// may be null.
void ReadMessageBlocks(FieldReader& reader, const Json* system, const Json& messages, Json* out);

// Turns `tools` of Anthropic's interface into OpenAI's form; failures as above.
void ReadAnthropicTools(FieldReader& reader, const Json& tools, Json* out);

}  // namespace pelton
