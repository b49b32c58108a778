#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "text/template/chat.h"
#include "text/template/value.h"

namespace pelton::jinja {

enum class DeepSeekRole : uint8_t {
  kSystem,
  kDeveloper,  // a user's message with tools of its own, for search agents
  kUser,
  kAssistant,
  kTool,
  kLatestReminder,  // V4: date, place and the like, as of the last message
};

struct DeepSeekCall {
  std::string_view id;  // empty: none
  std::string_view name;
  Value arguments;  // a dict
};

// One message of a chat, checked. The texts belong to the inputs.
struct DeepSeekMessage {
  size_t index = 0;  // in the inputs
  DeepSeekRole role = DeepSeekRole::kSystem;
  std::string_view content;
  std::string_view reasoning;
  std::string_view call_id;  // of a tool's result
  std::string_view task;     // V4: what the next answer is for, "action"
  std::vector<Value> tools;  // of a system or developer message: functions, as they came
  Value response_format;     // likewise; none: not stated
  std::vector<DeepSeekCall> calls;
};

// The messages of a chat in OpenAI's form, the tools of the inputs in the system message that
// begins it. InvalidArgument names the place: "messages[2].content: expected a text".
Result<std::vector<DeepSeekMessage>> ReadDeepSeekMessages(const ChatInputs& inputs);

// Whether the variables of the inputs ask for reasoning: `thinking`, else `enable_thinking`, else a
// `reasoning_effort` that is not "none". Without any of them they do not.
bool AsksForThinking(const ChatInputs& inputs);
// V4: whether they ask for the effort "max".
bool AsksForMaxEffort(const ChatInputs& inputs);

}  // namespace pelton::jinja
