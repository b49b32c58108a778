#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"
#include "text/template/chat.h"

namespace pelton::jinja {

// DeepSeek publishes no chat template with these models, but code that writes their prompts.
enum class DeepSeekVersion : uint8_t { kV32, kV4 };

// The prompt of a chat, as encoding_dsv32.py and encoding_dsv4.py of the models' repositories write
// it. Messages are those of OpenAI's interface with `reasoning_content`; a system or a developer
// message may have `tools` and a `response_format` of its own. BOS and EOS are DeepSeek's, whatever
// the inputs say; of the variables `thinking`, `enable_thinking` and `reasoning_effort` count.
// InvalidArgument, with the place, for messages that have no form there; ResourceExhausted beyond
// the inputs' limits. `error`, if given, receives the same.
// Source: deepseek-ai/DeepSeek-V3.2 and DeepSeek-V4-Pro, folder encoding.
Result<std::string> RenderDeepSeekChat(DeepSeekVersion version, const ChatInputs& inputs,
                                       TemplateError* error = nullptr);

}  // namespace pelton::jinja
