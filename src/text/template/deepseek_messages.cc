#include "text/template/deepseek_messages.h"

#include <algorithm>
#include <string>
#include <utility>

#include "text/template/value_json.h"

namespace pelton::jinja {
namespace {

constexpr std::pair<std::string_view, DeepSeekRole> kRoles[] = {
    {"system", DeepSeekRole::kSystem}, {"developer", DeepSeekRole::kDeveloper},
    {"user", DeepSeekRole::kUser},     {"assistant", DeepSeekRole::kAssistant},
    {"tool", DeepSeekRole::kTool},     {"latest_reminder", DeepSeekRole::kLatestReminder},
};

// The member, unless it is absent or none.
const Value* Member(const Value& dict, std::string_view name) {
  const Value* value = dict.dict().Find(name);
  return value == nullptr || value->is_none() ? nullptr : value;
}

Status Wrong(const std::string& place, std::string_view expected) {
  return InvalidArgument(place + ": expected " + std::string(expected));
}

Status ReadText(const Value& dict, const std::string& place, std::string_view name,
                std::string_view* text) {
  const Value* value = Member(dict, name);
  if (value == nullptr) return OkStatus();
  if (!value->is_string()) return Wrong(place + "." + std::string(name), "a text");
  *text = value->text();
  return OkStatus();
}

Status ReadTools(const Value& tools, const std::string& place, std::vector<Value>* functions) {
  if (!tools.is(Kind::kList)) return Wrong(place, "a list of tools");
  for (const Value& tool : tools.items()) {
    const Value* function = tool.is(Kind::kDict) ? Member(tool, "function") : nullptr;
    if (function == nullptr || !function->is(Kind::kDict)) {
      return Wrong(place, "tools with a function");
    }
    functions->push_back(*function);
  }
  return OkStatus();
}

Status ReadTerms(const Value& value, const std::string& place, DeepSeekMessage* message) {
  const Value* format = Member(value, "response_format");
  if (format != nullptr && IsTruthy(*format)) message->response_format = *format;
  const Value* tools = Member(value, "tools");
  return tools == nullptr ? OkStatus() : ReadTools(*tools, place + ".tools", &message->tools);
}

Result<DeepSeekCall> ReadCall(const Value& value, const std::string& place) {
  const Value* function = value.is(Kind::kDict) ? Member(value, "function") : nullptr;
  if (function == nullptr || !function->is(Kind::kDict)) return Wrong(place, "a function");
  const Value* name = Member(*function, "name");
  if (name == nullptr || !name->is_string()) return Wrong(place, "a function with a name");
  DeepSeekCall call{.id = {}, .name = name->text(), .arguments = Value::Dict({})};
  RETURN_IF_ERROR(ReadText(value, place, "id", &call.id));
  const Value* arguments = Member(*function, "arguments");
  if (arguments == nullptr) return call;
  call.arguments = *arguments;
  if (arguments->is_string()) {
    Result<Value> parsed = ValueFromJson(arguments->text());
    if (parsed.ok()) call.arguments = *std::move(parsed);
  }
  if (!call.arguments.is(Kind::kDict)) {
    return Wrong(place + ".function.arguments", "an object, or its JSON text");
  }
  return call;
}

Result<DeepSeekMessage> ReadMessage(const Value& value, const std::string& place) {
  if (!value.is(Kind::kDict)) return Wrong(place, "an object");
  DeepSeekMessage message;
  std::string_view role;
  RETURN_IF_ERROR(ReadText(value, place, "role", &role));
  const auto* const found =
      std::ranges::find(kRoles, role, &std::pair<std::string_view, DeepSeekRole>::first);
  if (found == std::end(kRoles)) {
    return Wrong(place + ".role",
                 "system, developer, user, assistant, tool or, for V4, latest_reminder");
  }
  message.role = found->second;
  RETURN_IF_ERROR(ReadText(value, place, "content", &message.content));
  RETURN_IF_ERROR(ReadText(value, place, "reasoning_content", &message.reasoning));
  RETURN_IF_ERROR(ReadText(value, place, "tool_call_id", &message.call_id));
  if (message.role != DeepSeekRole::kTool) {
    RETURN_IF_ERROR(ReadText(value, place, "task", &message.task));
  }
  if (message.role == DeepSeekRole::kSystem || message.role == DeepSeekRole::kDeveloper) {
    RETURN_IF_ERROR(ReadTerms(value, place, &message));
  }
  const Value* calls = Member(value, "tool_calls");
  if (calls == nullptr) return message;
  if (!calls->is(Kind::kList)) return Wrong(place + ".tool_calls", "a list of calls");
  for (const Value& call : calls->items()) {
    ASSIGN_OR_RETURN(DeepSeekCall read, ReadCall(call, place + ".tool_calls"));
    message.calls.push_back(std::move(read));
  }
  return message;
}

std::string_view EffortOf(const ChatInputs& inputs) {
  if (!inputs.kwargs.is(Kind::kDict)) return {};
  const Value* effort = Member(inputs.kwargs, "reasoning_effort");
  return effort != nullptr && effort->is_string() ? std::string_view(effort->text()) : "";
}

}  // namespace

Result<std::vector<DeepSeekMessage>> ReadDeepSeekMessages(const ChatInputs& inputs) {
  if (!inputs.messages.is(Kind::kList)) return Wrong("messages", "a list of messages");
  std::vector<Value> tools;
  if (!inputs.tools.is_none()) RETURN_IF_ERROR(ReadTools(inputs.tools, "tools", &tools));
  std::vector<DeepSeekMessage> messages;
  messages.reserve(inputs.messages.items().size() + 1);
  for (const Value& value : inputs.messages.items()) {
    const std::string place = "messages[" + std::to_string(messages.size()) + "]";
    ASSIGN_OR_RETURN(DeepSeekMessage message, ReadMessage(value, place));
    message.index = messages.size();
    messages.push_back(std::move(message));
  }
  if (tools.empty()) return messages;
  if (messages.empty() || messages.front().role != DeepSeekRole::kSystem) {
    messages.insert(messages.begin(), DeepSeekMessage());
  }
  messages.front().tools = std::move(tools);
  return messages;
}

bool AsksForThinking(const ChatInputs& inputs) {
  if (!inputs.kwargs.is(Kind::kDict)) return false;
  for (const std::string_view name : {"thinking", "enable_thinking"}) {
    if (const Value* value = Member(inputs.kwargs, name)) return IsTruthy(*value);
  }
  const std::string_view effort = EffortOf(inputs);
  return !effort.empty() && effort != "none";
}

bool AsksForMaxEffort(const ChatInputs& inputs) { return EffortOf(inputs) == "max"; }

}  // namespace pelton::jinja
