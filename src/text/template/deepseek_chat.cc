#include "text/template/deepseek_chat.h"

#include <algorithm>
#include <map>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "text/template/deepseek_messages.h"
#include "text/template/json_text.h"
#include "text/template/render_context.h"
#include "text/template/text_builder.h"

namespace pelton::jinja {
namespace {

constexpr std::string_view kBos = "<｜begin▁of▁sentence｜>";
constexpr std::string_view kEos = "<｜end▁of▁sentence｜>";
constexpr std::string_view kUser = "<｜User｜>";
constexpr std::string_view kAssistant = "<｜Assistant｜>";
constexpr std::string_view kThink = "<think>";
constexpr std::string_view kEndThink = "</think>";
constexpr std::string_view kLatestReminder = "<｜latest_reminder｜>";  // V4

// What the model was trained to read about its tools, before and behind their schemas.
constexpr std::string_view kV32ToolsBegin =
    R"(## Tools

You have access to a set of tools you can use to answer the user's question.
You can invoke functions by writing a "<｜DSML｜function_calls>" block like the following as part of your reply to the user:
<｜DSML｜function_calls>
<｜DSML｜invoke name="$FUNCTION_NAME">
<｜DSML｜parameter name="$PARAMETER_NAME" string="true|false">$PARAMETER_VALUE</｜DSML｜parameter>
...
</｜DSML｜invoke>
<｜DSML｜invoke name="$FUNCTION_NAME2">
...
</｜DSML｜invoke>
</｜DSML｜function_calls>

String and scalar parameters should be specified as is without any escaping or quotes, while lists and objects should use JSON format. The "string" attribute should be set to "true" for string type parameters and "false" for other types (numbers, booleans, arrays, objects).

If the thinking_mode is enabled, then after function results you should strongly consider outputting a thinking block. Here is an example:

<｜DSML｜function_calls>
...
</｜DSML｜function_calls>

<function_results>
...
</function_results>

<think>...thinking about results</think>

Here are the functions available in JSONSchema format:
<functions>
)";
constexpr std::string_view kV32ToolsEnd = "\n</functions>\n";

constexpr std::string_view kV4ToolsBegin =
    R"(## Tools

You have access to a set of tools to help answer the user's question. You can invoke tools by writing a "<｜DSML｜tool_calls>" block like the following:

<｜DSML｜tool_calls>
<｜DSML｜invoke name="$TOOL_NAME">
<｜DSML｜parameter name="$PARAMETER_NAME" string="true|false">$PARAMETER_VALUE</｜DSML｜parameter>
...
</｜DSML｜invoke>
<｜DSML｜invoke name="$TOOL_NAME2">
...
</｜DSML｜invoke>
</｜DSML｜tool_calls>

String parameters should be specified as is and set `string="true"`. For all other types (numbers, booleans, arrays, objects), pass the value in JSON format and set `string="false"`.

If thinking_mode is enabled (triggered by <think>), you MUST output your complete reasoning inside <think>...</think> BEFORE any tool calls or final response.

Otherwise, output directly after </think> with tool calls or final response.

### Available Tool Schemas

)";
constexpr std::string_view kV4ToolsEnd =
    "\n\nYou MUST strictly follow the above defined tool name and parameter schemas to invoke tool "
    "calls.\n";

// V4, before everything else, if the effort is "max".
constexpr std::string_view kV4MaxEffort =
    "Reasoning Effort: Absolute maximum with no shortcuts permitted.\n"
    "You MUST be very thorough in your thinking and comprehensively decompose the problem to "
    "resolve the root cause, rigorously stress-testing your logic against all potential paths, "
    "edge cases, and adversarial scenarios.\n"
    "Explicitly write out your entire deliberation process, documenting every intermediate step, "
    "considered alternative, and rejected hypothesis to ensure absolutely no assumption is left "
    "unchecked.\n\n";

constexpr std::string_view kV4Tasks[] = {"action", "query", "authority",
                                         "domain", "title", "read_url"};

using Role = DeepSeekRole;
using Message = DeepSeekMessage;

std::string Place(const Message& message) {
  return "messages[" + std::to_string(message.index) + "]";
}

// A prompt in the making, and the parts that both versions write alike.
class DeepSeekPrompt {
 public:
  DeepSeekPrompt(DeepSeekVersion version, const ChatInputs& inputs)
      : v4_(version == DeepSeekVersion::kV4),
        thinking_(AsksForThinking(inputs)),
        add_generation_prompt_(inputs.add_generation_prompt),
        context_(inputs.limits),
        out_(context_) {}

  bool thinking() const { return thinking_; }
  bool add_generation_prompt() const { return add_generation_prompt_; }
  Status Add(std::string_view text) { return out_.Add(text); }

  // What a system or developer message says besides.
  Status AddTerms(const Message& message) {
    if (!message.tools.empty()) {
      RETURN_IF_ERROR(Add("\n\n"));
      RETURN_IF_ERROR(Add(v4_ ? kV4ToolsBegin : kV32ToolsBegin));
      for (size_t i = 0; i < message.tools.size(); ++i) {
        if (i > 0) RETURN_IF_ERROR(Add("\n"));
        RETURN_IF_ERROR(AddJson(out_, message.tools[i], {}));
      }
      RETURN_IF_ERROR(Add(v4_ ? kV4ToolsEnd : kV32ToolsEnd));
    }
    if (message.response_format.is_none()) return OkStatus();
    RETURN_IF_ERROR(
        Add("\n\n## Response Format:\n\nYou MUST strictly adhere to the following schema to "
            "reply:\n"));
    return AddJson(out_, message.response_format, {});
  }

  // Content and calls of the assistant, up to EOS.
  Status AddAnswer(const Message& message) {
    RETURN_IF_ERROR(Add(message.content));
    const std::string_view section = v4_ ? "｜DSML｜tool_calls>" : "｜DSML｜function_calls>";
    if (!message.calls.empty()) {
      RETURN_IF_ERROR(Add("\n\n<"));
      RETURN_IF_ERROR(Add(section));
      for (const DeepSeekCall& call : message.calls) RETURN_IF_ERROR(AddCall(call));
      RETURN_IF_ERROR(Add("\n</"));
      RETURN_IF_ERROR(Add(section));
    }
    return Add(kEos);
  }

  Result<std::string> Take() {
    RETURN_IF_ERROR(context_.CheckOutput(out_.size()));
    return out_.Take();
  }

 private:
  Status AddCall(const DeepSeekCall& call) {
    RETURN_IF_ERROR(Add("\n<｜DSML｜invoke name=\""));
    RETURN_IF_ERROR(Add(call.name));
    RETURN_IF_ERROR(Add("\">\n"));
    bool first = true;
    for (const DictObject::Entry& entry : call.arguments.dict().entries) {
      if (!std::exchange(first, false)) RETURN_IF_ERROR(Add("\n"));
      RETURN_IF_ERROR(Add("<｜DSML｜parameter name=\""));
      RETURN_IF_ERROR(Add(entry.key.text()));
      const bool is_text = entry.value.is_string();
      RETURN_IF_ERROR(Add(is_text ? "\" string=\"true\">" : "\" string=\"false\">"));
      RETURN_IF_ERROR(is_text ? Add(entry.value.text()) : AddJson(out_, entry.value, {}));
      RETURN_IF_ERROR(Add("</｜DSML｜parameter>"));
    }
    return Add("\n</｜DSML｜invoke>");
  }

  const bool v4_, thinking_, add_generation_prompt_;
  RenderContext context_;
  TextBuilder out_;
};

Role RoleOf(const Message& message) { return message.role; }

bool IsOfUser(Role role) { return role == Role::kUser || role == Role::kDeveloper; }

// The number of messages, or turns, up to the last one of the user's; 0: there is none.
template <typename Turn>
size_t UpToLastUser(const std::vector<Turn>& turns) {
  size_t count = turns.size();
  while (count > 0 && !IsOfUser(RoleOf(turns[count - 1]))) --count;
  return count;
}

// Where there is reasoning, a developer's message counts until the user says something else.
template <typename Turn>
void DropDevelopers(std::vector<Turn>* turns) {
  const size_t count = UpToLastUser(*turns);
  if (count == 0) return;
  const auto end = turns->begin() + static_cast<ptrdiff_t>(count) - 1;
  const auto is_developer = [](const Turn& turn) { return RoleOf(turn) == Role::kDeveloper; };
  turns->erase(std::remove_if(turns->begin(), end, is_developer), end);
}

Status WriteV32(std::vector<Message> messages, DeepSeekPrompt& prompt) {
  if (prompt.thinking()) DropDevelopers(&messages);
  const size_t last_user = UpToLastUser(messages);
  size_t calls = 0, results = 0;  // of the assistant's message before
  for (size_t i = 0; i < messages.size(); ++i) {
    const Message& message = messages[i];
    const bool answer_follows = i + 1 < messages.size() || prompt.add_generation_prompt();
    const std::string_view mark = prompt.thinking() && i + 1 >= last_user ? kThink : kEndThink;
    if (message.role != Role::kTool) calls = results = 0;
    switch (message.role) {
      case Role::kSystem:
        RETURN_IF_ERROR(prompt.Add(message.content));
        RETURN_IF_ERROR(prompt.AddTerms(message));
        break;
      case Role::kDeveloper:
      case Role::kUser:
        RETURN_IF_ERROR(prompt.Add(kUser));
        if (message.role == Role::kDeveloper) {
          RETURN_IF_ERROR(prompt.AddTerms(message));
          RETURN_IF_ERROR(prompt.Add("\n\n# The user's message is: "));
        }
        RETURN_IF_ERROR(prompt.Add(message.content));
        if (!answer_follows) break;
        RETURN_IF_ERROR(prompt.Add(kAssistant));
        RETURN_IF_ERROR(prompt.Add(mark));
        break;
      case Role::kAssistant:
        if (prompt.thinking() && i + 1 > last_user) {
          RETURN_IF_ERROR(prompt.Add(message.reasoning));
          RETURN_IF_ERROR(prompt.Add(kEndThink));
        }
        RETURN_IF_ERROR(prompt.AddAnswer(message));
        calls = message.calls.size();
        break;
      case Role::kTool: {
        if (++results > calls) {
          return InvalidArgument(Place(message) + ": expected no more results than calls before");
        }
        if (results == 1) RETURN_IF_ERROR(prompt.Add("\n\n<function_results>"));
        RETURN_IF_ERROR(prompt.Add("\n<result>"));
        RETURN_IF_ERROR(prompt.Add(message.content));
        RETURN_IF_ERROR(prompt.Add("</result>"));
        // Calls without a result end the block too; DeepSeek's code would leave it open.
        const bool more = i + 1 < messages.size() && messages[i + 1].role == Role::kTool;
        if (results < calls && more) break;
        RETURN_IF_ERROR(prompt.Add("\n</function_results>"));
        if (!answer_follows) break;
        RETURN_IF_ERROR(prompt.Add("\n\n"));
        RETURN_IF_ERROR(prompt.Add(mark));
        break;
      }
      case Role::kLatestReminder:
        return InvalidArgument(Place(message) + ".role: latest_reminder is a role of DeepSeek-V4");
    }
  }
  return OkStatus();
}

// A turn of V4: a message, or several of the user and of tools.
struct DeepSeekTurn {
  const Message* message;             // the first one
  std::vector<const Message*> parts;  // of a turn of the user's
};

Role RoleOf(const DeepSeekTurn& turn) {
  return turn.parts.empty() ? turn.message->role : Role::kUser;
}

std::vector<DeepSeekTurn> TurnsOf(std::span<const Message> messages) {
  std::vector<DeepSeekTurn> turns;
  for (const Message& message : messages) {
    const bool result = message.role == Role::kTool;
    if (!result && message.role != Role::kUser) {
      turns.push_back({.message = &message, .parts = {}});
      continue;
    }
    const bool joins = !turns.empty() && !turns.back().parts.empty() &&
                       (result || turns.back().message->task.empty());
    if (!joins) turns.push_back({.message = &message, .parts = {}});
    turns.back().parts.push_back(&message);
  }
  return turns;
}

// Puts the results of each turn into the order of their calls, in the places that results have.
void SortResults(std::vector<DeepSeekTurn>* turns) {
  std::map<std::string_view, size_t> order;
  for (DeepSeekTurn& turn : *turns) {
    if (!turn.message->calls.empty() && turn.message->role == Role::kAssistant) {
      order.clear();
      for (size_t i = 0; i < turn.message->calls.size(); ++i) {
        if (!turn.message->calls[i].id.empty()) order[turn.message->calls[i].id] = i;
      }
    }
    const auto is_result = [](const Message* part) { return part->role == Role::kTool; };
    std::vector<const Message*> results;
    std::ranges::copy_if(turn.parts, std::back_inserter(results), is_result);
    std::ranges::sort(results, {}, [&](const Message* part) {
      const auto found = order.find(part->call_id);
      return std::pair(found == order.end() ? 0 : found->second, part->index);
    });
    auto next = results.begin();
    for (const Message*& part : turn.parts) {
      if (is_result(part)) part = *next++;
    }
  }
}

Status AddUserTurn(const DeepSeekTurn& turn, DeepSeekPrompt& prompt) {
  RETURN_IF_ERROR(prompt.Add(kUser));
  if (turn.parts.empty()) {  // a developer's
    RETURN_IF_ERROR(prompt.Add(turn.message->content));
    return prompt.AddTerms(*turn.message);
  }
  for (const Message* part : turn.parts) {
    const bool result = part->role == Role::kTool;
    if (part != turn.parts.front()) RETURN_IF_ERROR(prompt.Add("\n\n"));
    if (result) RETURN_IF_ERROR(prompt.Add("<tool_result>"));
    RETURN_IF_ERROR(prompt.Add(part->content));
    if (result) RETURN_IF_ERROR(prompt.Add("</tool_result>"));
  }
  return OkStatus();
}

// Asks for a short answer of another kind, by a token.
Status AddTask(const Message& message, DeepSeekPrompt& prompt) {
  if (std::ranges::find(kV4Tasks, message.task) == std::end(kV4Tasks)) {
    return InvalidArgument(Place(message) +
                           ".task: expected action, query, authority, domain, title or read_url");
  }
  if (message.task == "action") {
    RETURN_IF_ERROR(prompt.Add(kAssistant));
    RETURN_IF_ERROR(prompt.Add(prompt.thinking() ? kThink : kEndThink));
  }
  return prompt.Add("<｜" + std::string(message.task) + "｜>");
}

Status WriteV4(std::span<const Message> messages, bool max_effort, DeepSeekPrompt& prompt) {
  // With tools all reasoning stays.
  const bool drop = std::ranges::all_of(messages, [](const Message& m) { return m.tools.empty(); });
  std::vector<DeepSeekTurn> turns = TurnsOf(messages);
  SortResults(&turns);
  if (prompt.thinking() && drop) DropDevelopers(&turns);
  const size_t last_user = UpToLastUser(turns);
  if (prompt.thinking() && max_effort) RETURN_IF_ERROR(prompt.Add(kV4MaxEffort));
  for (size_t i = 0; i < turns.size(); ++i) {
    const Message& message = *turns[i].message;
    const bool is_last = i + 1 == turns.size();
    const bool of_user = IsOfUser(RoleOf(turns[i]));
    if (of_user) {
      RETURN_IF_ERROR(AddUserTurn(turns[i], prompt));
    } else if (message.role == Role::kAssistant) {
      const bool after_task = i > 0 && !turns[i - 1].message->task.empty();
      if (prompt.thinking() && !after_task && (!drop || i + 1 > last_user)) {
        RETURN_IF_ERROR(prompt.Add(message.reasoning));
        RETURN_IF_ERROR(prompt.Add(kEndThink));
      }
      RETURN_IF_ERROR(prompt.AddAnswer(message));
    } else {
      if (message.role == Role::kLatestReminder) RETURN_IF_ERROR(prompt.Add(kLatestReminder));
      RETURN_IF_ERROR(prompt.Add(message.content));
      if (message.role == Role::kSystem) RETURN_IF_ERROR(prompt.AddTerms(message));
    }
    const Role next = is_last ? Role::kAssistant : RoleOf(turns[i + 1]);
    if (next != Role::kAssistant && next != Role::kLatestReminder) continue;
    if (!message.task.empty()) {
      RETURN_IF_ERROR(AddTask(message, prompt));
    } else if (of_user && (!is_last || prompt.add_generation_prompt())) {
      const bool thinks = prompt.thinking() && (!drop || i + 1 >= last_user);
      RETURN_IF_ERROR(prompt.Add(kAssistant));
      RETURN_IF_ERROR(prompt.Add(thinks ? kThink : kEndThink));
    }
  }
  return OkStatus();
}

Result<std::string> WritePrompt(DeepSeekVersion version, const ChatInputs& inputs) {
  if (!inputs.kwargs.is_none() && !inputs.kwargs.is(Kind::kDict)) {
    return InvalidArgument("chat_template_kwargs must be an object");
  }
  ASSIGN_OR_RETURN(std::vector<Message> messages, ReadDeepSeekMessages(inputs));
  DeepSeekPrompt prompt(version, inputs);
  RETURN_IF_ERROR(prompt.Add(kBos));
  if (version == DeepSeekVersion::kV32) {
    RETURN_IF_ERROR(WriteV32(std::move(messages), prompt));
  } else {
    RETURN_IF_ERROR(WriteV4(messages, AsksForMaxEffort(inputs), prompt));
  }
  return prompt.Take();
}

}  // namespace

Result<std::string> RenderDeepSeekChat(DeepSeekVersion version, const ChatInputs& inputs,
                                       TemplateError* error) {
  Result<std::string> text = WritePrompt(version, inputs);
  if (!text.ok() && error != nullptr) {
    const bool limit = text.status().code() == StatusCode::kResourceExhausted;
    *error = {limit ? TemplateErrorKind::kLimit : TemplateErrorKind::kRuntime,
              text.status().message(), 0};
  }
  return text;
}

}  // namespace pelton::jinja
