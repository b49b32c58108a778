#include "serving/request/chat_messages.h"

#include <fmt/format.h>

#include <algorithm>

namespace pelton {
namespace {

constexpr size_t kMaxMessages = 4096;
constexpr size_t kMaxTools = 512;
constexpr const char* kRoles[] = {"system", "developer", "user", "assistant", "tool", "function"};

std::string ContentProblem(Json* content) {
  if (content->is_string() || content->is_null()) return "";
  if (!content->is_array()) return "expected a text or a list of parts";
  std::string text;
  for (const Json& part : *content) {
    const std::string type = part.is_object() && part.contains("type") && part["type"].is_string()
                                 ? part["type"].get<std::string>()
                                 : "";
    if (type != "text" && type != "refusal") {
      return fmt::format("found a part of type \"{}\", expected text: the model reads no other",
                         type.substr(0, 40));
    }
    if (!part.contains(type) || !part[type].is_string()) {
      return fmt::format("expected a text in the part's \"{}\"", type);
    }
    text += part[type].get<std::string>();
  }
  *content = std::move(text);
  return "";
}

std::string CallsProblem(Json* calls) {
  if (calls->is_null()) return "";
  if (!calls->is_array()) return "expected a list of calls";
  for (Json& call : *calls) {
    if (!call.is_object() || !call.contains("function") || !call["function"].is_object()) {
      return "expected objects with a function";
    }
    Json& function = call["function"];
    if (!function.contains("name") || !function["name"].is_string()) {
      return "expected a function with a name";
    }
    if (!function.contains("arguments")) continue;
    Json& arguments = function["arguments"];
    if (arguments.is_object()) continue;
    if (!arguments.is_string()) return "expected arguments as JSON text";
    Result<Json> object = arguments.get_ref<const std::string&>().empty()
                              ? Result<Json>(Json::object())
                              : ParseJson(arguments.get_ref<const std::string&>());
    if (!object.ok() || !object->is_object()) return "expected arguments as the text of an object";
    arguments = std::move(object).value();
  }
  return "";
}

MessageProblem ProblemAt(const std::string& place, const std::string& problem) {
  return {place, fmt::format("{}: {}", place, problem)};
}

}  // namespace

MessageProblem NormalizeMessages(Json* messages) {
  if (!messages->is_array() || messages->empty()) {
    return {"messages", "messages: expected a list with at least one message"};
  }
  if (messages->size() > kMaxMessages) {
    return {"messages",
            fmt::format("messages: found {}, expected at most {}", messages->size(), kMaxMessages)};
  }
  for (size_t i = 0; i < messages->size(); ++i) {
    Json& message = (*messages)[i];
    const std::string at = fmt::format("messages[{}]", i);
    if (!message.is_object()) return {at, at + ": expected an object"};
    const auto role = message.find("role");
    const bool known = role != message.end() && role->is_string() &&
                       std::find(std::begin(kRoles), std::end(kRoles),
                                 role->get_ref<const std::string&>()) != std::end(kRoles);
    if (!known) {
      return {at + ".role", at + ".role: expected system, developer, user, assistant or tool"};
    }
    if (*role == "developer") *role = "system";
    const bool assistant = *role == "assistant";
    if (!message.contains("content")) {
      if (!assistant) return {at + ".content", at + ".content: expected a text"};
      message["content"] = nullptr;
    }
    if (message["content"].is_null() && !assistant) {
      return {at + ".content", at + ".content: expected a text"};
    }
    if (std::string problem = ContentProblem(&message["content"]); !problem.empty()) {
      return ProblemAt(at + ".content", problem);
    }
    if (message.contains("tool_calls")) {
      if (std::string problem = CallsProblem(&message["tool_calls"]); !problem.empty()) {
        return ProblemAt(at + ".tool_calls", problem);
      }
    }
    // Templates concatenate: nothing is no text to them.
    if (message["content"].is_null()) message["content"] = "";
  }
  return {};
}

std::string CheckTools(const Json& tools, std::vector<ToolSpec>* specs) {
  if (!tools.is_array()) return "tools: expected a list of tools";
  if (tools.size() > kMaxTools) {
    return fmt::format("tools: found {}, expected at most {}", tools.size(), kMaxTools);
  }
  for (size_t i = 0; i < tools.size(); ++i) {
    const Json& tool = tools[i];
    if (!tool.is_object() || !tool.contains("function") || !tool["function"].is_object() ||
        !tool["function"].contains("name") || !tool["function"]["name"].is_string()) {
      return fmt::format("tools[{}]: expected {{\"type\":\"function\",\"function\":{{\"name\"}}}}",
                         i);
    }
    const Json& function = tool["function"];
    ToolSpec& spec = specs->emplace_back();
    spec.name = function["name"].get<std::string>();
    if (function.contains("strict") && !function["strict"].is_null()) {
      if (!function["strict"].is_boolean()) {
        return fmt::format("tools[{}].function.strict: expected true or false", i);
      }
      spec.strict = function["strict"].get<bool>();
    }
    if (!function.contains("parameters") || function["parameters"].is_null()) continue;
    if (!function["parameters"].is_object()) {
      return fmt::format("tools[{}].function.parameters: expected a JSON schema", i);
    }
    spec.parameters_json = ToText(function["parameters"]);
  }
  return "";
}

}  // namespace pelton
