#include "serving/generate/tool_grammar.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace pelton {
namespace {

// How a family writes calls: `open`, calls joined by `separator`, `close`. A call is `before`, the
// name, `between`, the arguments, `after`. Markers that are control tokens in the model's
// vocabulary become tokens.
struct Syntax {
  std::string_view family;
  std::string_view open, before, between, after, separator, close;
  std::string_view style = "json";    // of the arguments
  std::string_view trigger = "";      // begins a call among text; empty: a call cannot
  std::string_view trigger_end = "";  // ends it
};

constexpr std::string_view kJsonName = "{\"name\": \"";
constexpr std::array kSyntaxes = {
    Syntax{"hermes", "", "<tool_call>\n{\"name\": \"", "\", \"arguments\": ", "}\n</tool_call>",
           "\n", "", "json", "<tool_call>", "</tool_call>"},
    Syntax{"qwen3-coder", "", "<tool_call>\n<function=", ">\n", "\n</function>\n</tool_call>", "\n",
           "", "qwen_xml", "<tool_call>", "</tool_call>"},
    Syntax{"glm", "", "<tool_call>", "\n", "\n</tool_call>", "\n", "", "glm_xml", "<tool_call>",
           "</tool_call>"},
    Syntax{"deepseek-v3", "<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>function<｜tool▁sep｜>",
           "\n```json\n", "\n```<｜tool▁call▁end｜>", "\n", "<｜tool▁calls▁end｜>"},
    Syntax{"deepseek-r1", "<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>function<｜tool▁sep｜>",
           "\n```json\n", "\n```<｜tool▁call▁end｜>", "\n", "<｜tool▁calls▁end｜>"},
    Syntax{"deepseek-v3.1", "<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>",
           "<｜tool▁call▁end｜>", "", "<｜tool▁calls▁end｜>"},
    Syntax{"deepseek-v3.2", "\n\n<｜DSML｜function_calls>\n", "<｜DSML｜invoke name=\"", "\">\n",
           "\n</｜DSML｜invoke>", "\n", "\n</｜DSML｜function_calls>", "deepseek_xml",
           "<｜DSML｜invoke name=\"", "</｜DSML｜invoke>"},
    Syntax{"deepseek-v4", "\n\n<｜DSML｜tool_calls>\n", "<｜DSML｜invoke name=\"", "\">\n",
           "\n</｜DSML｜invoke>", "\n", "\n</｜DSML｜tool_calls>", "deepseek_xml",
           "<｜DSML｜invoke name=\"", "</｜DSML｜invoke>"},
    Syntax{"llama3-json", "", kJsonName, "\", \"parameters\": ", "}", "; ", ""},
    Syntax{"mistral", "[TOOL_CALLS][", kJsonName, "\", \"arguments\": ", "}", ", ", "]"},
    Syntax{"mistral-v11", "", "[TOOL_CALLS]", "[ARGS]", "", "", ""},
    Syntax{"granite", "<|tool_call|>[", kJsonName, "\", \"arguments\": ", "}", ", ", "]"},
    Syntax{"kimi-k2", "<|tool_calls_section_begin|>", "<|tool_call_begin|>functions.",
           ":0<|tool_call_argument_begin|>", "<|tool_call_end|>", "", "<|tool_calls_section_end|>"},
    Syntax{"gpt-oss", "", "<|channel|>commentary to=functions.", " <|constrain|>json<|message|>",
           "", "", ""},
};
constexpr std::string_view kPlainFamily = "llama3-json";

const Syntax* SyntaxOf(std::string_view family) {
  const auto found = std::ranges::find(kSyntaxes, family, &Syntax::family);
  return found == kSyntaxes.end() ? nullptr : &*found;
}

// Adds a text to a row of formats; what stands in <…> or […] may be a control token.
void AddText(const LanguageModel& model, std::string_view text, Json* row) {
  std::string plain;
  const auto flush = [&] {
    if (!plain.empty()) row->push_back({{"type", "const_string"}, {"value", plain}});
    plain.clear();
  };
  for (size_t at = 0; at < text.size();) {
    const char c = text[at];
    const size_t end = c == '<' || c == '[' ? text.find(c == '<' ? '>' : ']', at) : text.npos;
    if (end != text.npos) {
      Json marker = Marker(model, text.substr(at, end + 1 - at));
      if (marker.is_object()) {
        flush();
        row->push_back(std::move(marker));
        at = end + 1;
        continue;
      }
    }
    plain += c;
    ++at;
  }
  flush();
}

Json InOrder(Json elements) { return {{"type", "sequence"}, {"elements", std::move(elements)}}; }

Json Arguments(const ToolSpec& tool, const Syntax& syntax, bool with_schema) {
  Json schema = {{"type", "object"}, {"additionalProperties", true}};
  if (with_schema && !tool.parameters_json.empty()) {
    Result<Json> parsed = ParseJson(tool.parameters_json);
    if (parsed.ok() && parsed->is_object()) schema = std::move(parsed).value();
    // Parameters describe an object, whether they say so or not.
    if (!schema.contains("type")) schema["type"] = "object";
  }
  return {{"type", "json_schema"}, {"json_schema", std::move(schema)}, {"style", syntax.style}};
}

Json Call(const LanguageModel& model, const ToolSpec& tool, const Syntax& syntax,
          std::string_view before, std::string_view after, bool with_schema) {
  Json row = Json::array();
  AddText(model, fmt::format("{}{}{}", before, tool.name, syntax.between), &row);
  row.push_back(Arguments(tool, syntax, with_schema));
  AddText(model, after, &row);
  return InOrder(std::move(row));
}

// One call of any tool that the choice allows.
Json AnyCall(const LanguageModel& model, const ToolChoice& choice, const Syntax& syntax,
             std::string_view before, std::string_view after, bool with_schemas,
             const OutputFormat& format) {
  Json calls = Json::array();
  for (const ToolSpec& tool : format.tools) {
    if (choice.kind == ToolChoice::Kind::kNamed && tool.name != choice.name) continue;
    const bool free = choice.kind == ToolChoice::Kind::kAuto && !tool.strict;
    calls.push_back(Call(model, tool, syntax, before, after, with_schemas && !free));
  }
  if (calls.size() == 1) return std::move(calls[0]);
  return {{"type", "or"}, {"elements", std::move(calls)}};
}

// Text, with calls wherever the trigger stands.
Json Triggered(const LanguageModel& model, const ToolChoice& choice, const Syntax& syntax,
               bool with_schemas, const OutputFormat& format) {
  const std::string_view before = syntax.before.substr(syntax.trigger.size());
  const std::string_view after =
      syntax.after.substr(0, syntax.after.size() - syntax.trigger_end.size());
  Json tag = {{"type", "tag"},
              {"begin", Marker(model, syntax.trigger)},
              {"content", AnyCall(model, choice, syntax, before, after, with_schemas, format)},
              {"end", Marker(model, syntax.trigger_end)}};
  if (tag["begin"].is_object()) {
    return {{"type", "token_triggered_tags"},
            {"trigger_tokens", Json::array({tag["begin"]["token"]})},
            {"tags", Json::array({tag})},
            {"stop_after_first", !choice.parallel}};
  }
  return {{"type", "triggered_tags"},
          {"triggers", Json::array({syntax.trigger})},
          {"tags", Json::array({tag})},
          {"stop_after_first", !choice.parallel}};
}

}  // namespace

bool NeedsGrammar(const ToolChoice& choice, const OutputFormat& format) {
  if (choice.kind != ToolChoice::Kind::kAuto || !choice.parallel) return true;
  const Syntax* syntax = SyntaxOf(format.family);
  return syntax != nullptr && !syntax->trigger.empty() &&
         std::ranges::any_of(format.tools, &ToolSpec::strict);
}

Json Marker(const LanguageModel& model, std::string_view text) {
  const std::optional<int32_t> id = model.tokenizer->TokenId(text);
  if (!id || !model.tokenizer->IsSpecial(*id)) return std::string(text);
  return {{"type", "token"}, {"token", *id}};
}

Result<Json> CallFormat(const LanguageModel& model, const ToolChoice& choice, bool with_schemas,
                        OutputFormat* format) {
  const Syntax* syntax = SyntaxOf(format->family);
  if (choice.kind == ToolChoice::Kind::kAuto) {
    if (syntax == nullptr || syntax->trigger.empty()) {
      return InvalidArgument(
          "parallel_tool_calls: false is possible with tool_choice \"required\" or a named tool "
          "for this model");
    }
    return Triggered(model, choice, *syntax, with_schemas, *format);
  }
  if (syntax == nullptr) {
    syntax = SyntaxOf(kPlainFamily);
    format->family = kPlainFamily;
  }
  Json row = Json::array();
  AddText(model, syntax->open, &row);
  const auto call = [&] {
    return AnyCall(model, choice, *syntax, syntax->before, syntax->after, with_schemas, *format);
  };
  row.push_back(call());
  const bool can_repeat = syntax->family != "gpt-oss";
  if (choice.parallel && choice.kind == ToolChoice::Kind::kRequired && can_repeat) {
    Json more = Json::array();
    AddText(model, syntax->separator, &more);
    more.push_back(call());
    row.push_back({{"type", "star"}, {"content", InOrder(std::move(more))}});
  }
  AddText(model, syntax->close, &row);
  return InOrder(std::move(row));
}

}  // namespace pelton
