#include "text/parsers/output_parser.h"

#include <algorithm>
#include <array>

#include "text/parsers/markup_parser.h"

namespace pelton {
namespace {

using Texts = std::span<const std::string_view>;
using Reader = std::unique_ptr<CallReader>;

constexpr std::array<std::string_view, 1> kToolCall = {"<tool_call>"};
constexpr std::array<std::string_view, 2> kQwenCoder = {"<tool_call>", "<function="};
constexpr std::array<std::string_view, 2> kGranite = {"<|tool_call|>", "<tool_call>"};
constexpr std::array<std::string_view, 1> kMistral = {"[TOOL_CALLS]"};
constexpr std::array<std::string_view, 1> kPythonTag = {"<|python_tag|>"};
constexpr std::array<std::string_view, 2> kBareJson = {"{", "["};
constexpr std::array<std::string_view, 1> kPythonStart = {"<|python_start|>"};
constexpr std::array<std::string_view, 1> kBareList = {"["};
constexpr std::array<std::string_view, 2> kDeepSeekOpeners = {"<｜tool▁calls▁begin｜>",
                                                              "<｜tool▁call▁begin｜>"};
// The empty line before the calls belongs to them: prompts have it whatever the content.
constexpr std::array<std::string_view, 5> kDsmlOpeners = {
    "\n\n<｜DSML｜function_calls>", "\n\n<｜DSML｜tool_calls>", "<｜DSML｜function_calls>",
    "<｜DSML｜tool_calls>", "<｜DSML｜invoke name=\""};
constexpr std::array<std::string_view, 2> kKimiOpeners = {"<|tool_calls_section_begin|>",
                                                          "<|tool_call_begin|>"};
constexpr std::array<std::string_view, 2> kHarmony = {"<|start|>", "<|channel|>"};
constexpr std::array<std::string_view, 3> kHarmonyEnds = {"<|end|>", "<|return|>", "<|call|>"};

constexpr MarkupForm Think(Texts openers, Texts bare = {}) {
  return {
      .reasoning_begin = "<think>", .reasoning_end = "</think>", .openers = openers, .bare = bare};
}

constexpr MarkupForm kMistralForm = {
    .reasoning_begin = "[THINK]", .reasoning_end = "[/THINK]", .openers = kMistral};
constexpr MarkupForm kHarmonyForm = {
    .openers = kHarmony, .message_ends = kHarmonyEnds, .opens_messages = true};

Reader Tagged(const ToolTypes&, bool) { return MakeJsonCallsReader({.closing = "</tool_call>"}); }
Reader Llama(const ToolTypes&, bool) { return MakeJsonCallsReader({.separated = true}); }
Reader Mistral(const ToolTypes&, bool) { return MakeMistralReader(); }
Reader DeepSeek(const ToolTypes&, bool) { return MakeDeepSeekReader(); }
Reader Dsml(const ToolTypes&, bool) { return MakeDsmlReader(); }
Reader Kimi(const ToolTypes&, bool) { return MakeKimiReader(); }
Reader Glm(const ToolTypes& types, bool) { return MakeGlmReader(types); }
Reader QwenCoder(const ToolTypes& types, bool) { return MakeQwenCoderReader(types); }
Reader Pythonic(const ToolTypes&, bool) { return MakePythonicReader(); }
Reader Harmony(const ToolTypes&, bool has_tools) { return MakeHarmonyReader(has_tools); }

struct Family {
  std::string_view name;
  MarkupForm form;
  Reader (*make_reader)(const ToolTypes& types, bool has_tools);
};

// DeepSeek's three older forms, its two of DSML, Llama's two and Mistral's two have a reader each
// that knows all of them; they are names of their own since the templates are.
constexpr std::array kFamilies = {
    Family{"hermes", Think(kToolCall), Tagged},
    Family{"qwen3-coder", Think(kQwenCoder), QwenCoder},
    Family{"glm", Think(kToolCall), Glm},
    Family{"deepseek-v3", Think(kDeepSeekOpeners), DeepSeek},
    Family{"deepseek-r1", Think(kDeepSeekOpeners), DeepSeek},
    Family{"deepseek-v3.1", Think(kDeepSeekOpeners), DeepSeek},
    Family{"deepseek-v3.2", Think(kDsmlOpeners), Dsml},
    Family{"deepseek-v4", Think(kDsmlOpeners), Dsml},
    Family{"llama3-json", Think(kPythonTag, kBareJson), Llama},
    Family{"llama3-json-tag", Think(kPythonTag, kBareJson), Llama},
    Family{"llama-pythonic", Think(kPythonStart, kBareList), Pythonic},
    Family{"mistral", kMistralForm, Mistral},
    Family{"mistral-v11", kMistralForm, Mistral},
    Family{"granite", Think(kGranite), Tagged},
    Family{"kimi-k2", Think(kKimiOpeners), Kimi},
    Family{"gpt-oss", kHarmonyForm, Harmony},
};

constexpr Family kNoFamily = {"none", Think({}), nullptr};

constexpr auto kFamilyNames = [] {
  std::array<std::string_view, kFamilies.size()> names;
  for (size_t i = 0; i < names.size(); ++i) names[i] = kFamilies[i].name;
  return names;
}();

}  // namespace

std::span<const std::string_view> OutputParserFamilies() { return kFamilyNames; }

Result<std::unique_ptr<OutputParser>> MakeOutputParser(std::string_view family,
                                                       std::span<const ToolSpec> tools,
                                                       bool reasoning_open) {
  const auto found = std::ranges::find(kFamilies, family, &Family::name);
  const bool none = family.empty() || family == kNoFamily.name;
  if (!none && found == kFamilies.end()) {
    std::string known = "none";
    for (const std::string_view name : kFamilyNames) known += ", " + std::string(name);
    return InvalidArgument("output family: found \"" + std::string(family) +
                           "\", expected one of " + known);
  }
  ASSIGN_OR_RETURN(ToolTypes made, ToolTypes::Make(tools));
  auto types = std::make_unique<const ToolTypes>(std::move(made));
  const Family& chosen = none ? kNoFamily : *found;
  const bool has_tools = !tools.empty();
  Reader reader = chosen.make_reader == nullptr ? nullptr : chosen.make_reader(*types, has_tools);
  return std::unique_ptr<OutputParser>(std::make_unique<MarkupParser>(
      chosen.form, has_tools, reasoning_open, std::move(types), std::move(reader)));
}

std::string_view FamilyOfTemplate(std::string_view chat_template) {
  const auto has = [&](std::string_view text) {
    return chat_template.find(text) != std::string_view::npos;
  };
  if (has("｜DSML｜")) return has("function_calls") ? "deepseek-v3.2" : "deepseek-v4";
  if (has("<｜tool▁calls▁begin｜>")) {
    if (!has("```json")) return "deepseek-v3.1";
    return has("</think>") ? "deepseek-r1" : "deepseek-v3";
  }
  if (has("<|tool_calls_section_begin|>")) return "kimi-k2";
  if (has("<|channel|>") && has("<|message|>")) return "gpt-oss";
  if (has("<arg_key>")) return "glm";
  if (has("<|tool_call|>")) return "granite";
  if (has("<tool_call>")) {
    return has("<function=") && has("<parameter=") ? "qwen3-coder" : "hermes";
  }
  if (has("[TOOL_CALLS]")) return has("[ARGS]") ? "mistral-v11" : "mistral";
  // What Llama's templates tell the model about the form of a call. Functionary's have the tag too,
  // for another form.
  if (has("\"parameters\": dictionary of argument name")) return "llama3-json";
  if (has("<|python_tag|>") && !has("<function=")) return "llama3-json-tag";
  if (has("[func_name1(") || has("<|python_start|>")) return "llama-pythonic";
  return "";
}

}  // namespace pelton
