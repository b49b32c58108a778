#include "text/parsers/output_parser.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/parsers/json_scanner.h"
#include "text/parsers/parsed_message.h"

namespace pelton {
namespace {

const std::vector<ToolSpec>& Tools() {
  static const std::vector<ToolSpec> tools = {
      {"add", R"({"type": "object", "properties": {"a": {"type": "integer"}, "note": {
         "type": "string"}, "sure": {"type": "boolean"}, "more": {"type": "array"},
         "maybe": {"type": ["string", "null"]}, "either": {"anyOf": [{"type": "number"},
         {"$ref": "#/$defs/map"}]}, "pick": {"enum": [1, 2]}, "any": {}},
         "$defs": {"map": {"type": "object"}, "self": {"$ref": "#/$defs/self"}}})"},
      {"stop", ""}};
  return tools;
}

ParsedMessage Parse(std::string_view family, std::string_view text, bool has_tools = true,
                    bool open = false, const std::vector<size_t>& cuts = {}) {
  const auto tools = has_tools ? std::span<const ToolSpec>(Tools()) : std::span<const ToolSpec>();
  auto parser = std::move(MakeOutputParser(family, tools, open).value());
  return ParseInChunks(*parser, text, cuts);
}

// The message on one line: "content|reasoning|name(arguments)|…".
std::string Line(const ParsedMessage& message) {
  std::string line = message.content + "|" + message.reasoning;
  for (const ParsedMessage::Call& call : message.calls) {
    line += "|" + call.name + call.arguments;
    if (!call.id.empty()) line += "#" + call.id;
  }
  return line;
}

struct Case {
  std::string_view family, text, line;
};

// The whole text stays content.
constexpr std::string_view kSame = "same";

constexpr Case kCases[] = {
    {"hermes", "<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\":  1.0}}\n</tool_call>",
     "||add{\"a\":  1.0}"},
    {"hermes",
     "a <tool_call>[{\"name\":\"stop\"},{\"name\":\"add\",\"arguments\":\"{}\"}]</tool_call>b",
     "a b||stop{}|add{}"},
    {"hermes", "<tool_call>\n<tool_call>{\"name\":\"stop\"}</tool_call>", "<tool_call>\n||stop{}"},
    {"hermes", "<tool_call>{\"name\":\"stop\"}\n<tool_call>{\"name\":\"add\"}", "||stop{}|add{}"},
    {"hermes", "<tool_call>{\"name\":\"stop\"}\n</tool_cal", "\n</tool_cal||stop{}"},
    {"hermes", "<tool_call>{\"name\":\"stop\"}}</tool_call>", "}</tool_call>||stop{}"},
    {"hermes", R"(<tool_call>{"arguments":{"k\"":"}\"{,"},"name":"stop"})",
     R"(||stop{"k\"":"}\"{,"})"},
    {"hermes", "<tool_call>{\"\\u006eame\":\"s\\u0074op\"}</tool_call>", "||stop{}"},
    {"hermes", "<tool_call>{\"name\":\"\"}</tool_call>", kSame},
    {"hermes", "<tool_call>{\"name\":7}</tool_call>", kSame},
    {"hermes", "<tool_call>{\"name\":\"stop\",\"arguments\":[1]}</tool_call>", kSame},
    {"hermes", "<tool_call>{\"name\":\"stop\",\"arguments\":\"[1]\"}</tool_call>", kSame},
    {"hermes", "<tool_call>{\"name\":\"x\xff\"}</tool_call>", kSame},
    {"hermes", " <think> a\n</think>\n b", "b|a"},
    {"hermes", "<think>a</think><think> b </think>", "|a\nb"},
    {"hermes", "no <think> here </think>", kSame},
    {"hermes", " \n", kSame},
    {"hermes", "<<tool_call>>", kSame},
    {"qwen3-coder",
     "<tool_call>\n<function=add>\n<parameter=a>\n5\n</parameter>\n<parameter=note>\n\n7\n\n"
     "</parameter>\n<parameter=sure>\nTrue\n</parameter>\n</function>\n</tool_call> bye",
     " bye||add{\"a\": 5, \"note\": \"\\n7\\n\", \"sure\": true}"},
    {"qwen3-coder",
     "<function=add><parameter=a>x</parameter><parameter=more>[1, {}]</parameter><parameter=maybe>"
     "null</parameter><parameter=either>{\"k\": 0}</parameter><parameter=pick>2</parameter>"
     "<parameter=any>3</parameter><parameter=new>4</parameter></function>",
     "||add{\"a\": \"x\", \"more\": [1, {}], \"maybe\": null, \"either\": {\"k\": 0}, \"pick\": 2, "
     "\"any\": \"3\", \"new\": \"4\"}"},
    {"qwen3-coder", "<function=add><parameter=a>1</parameter><parameter=a>2</parameter></function>",
     "||add{\"a\": 2}"},
    {"qwen3-coder", "<function=add><parameter=a>1</parameter>", "||add{\"a\": 1}"},
    {"qwen3-coder", "<function=add><parameter=a>1</parameter> and", kSame},
    {"qwen3-coder", "<tool_call>\n<tool_call>\n<function=stop>\n</function>",
     "<tool_call>\n||stop{}"},
    {"qwen3-coder", "<function=add>", kSame},
    {"qwen3-coder", "<function=>x</function>", kSame},
    {"qwen3-coder", "<think>t</think><function=stop></function>", "|t|stop{}"},
    {"glm", "<tool_call>add<arg_key>a</arg_key><arg_value>1</arg_value></tool_call>",
     "||add{\"a\": 1}"},
    {"glm", "<tool_call>add\n<arg_key> a </arg_key>\n<arg_value>{\"</arg_value>\n</tool_call>\n",
     "||add{\"a\": \"{\\\"\"}"},
    {"glm", "<tool_call>stop</tool_call>\n\nok", "\n\nok||stop{}"},
    {"glm", "<tool_call>add<arg_key>a</arg_key><arg_value>1</arg_value>", "||add{\"a\": 1}"},
    {"glm", "<tool_call>stop", kSame},
    {"glm", "<tool_call>add<tool_call>stop</tool_call>", "<tool_call>add||stop{}"},
    {"glm", "<tool_call>add<arg_key>a</arg_key><arg_value>1</arg_value><arg", kSame},
    {"glm", "<tool_call>add me</tool_call>", kSame},
    {"glm", "<tool_call>add<arg_key>a</arg_key>1</tool_call>", kSame},
    {"deepseek-v3",
     "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>add\n```json\n{\"a\": "
     "1}\n```"
     "<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>stop\n```json\n{}\n```"
     "<｜tool▁call▁end｜><｜tool▁calls▁end｜>.",
     ".||add{\"a\": 1}|stop{}"},
    {"deepseek-v3", "<｜tool▁call▁begin｜>function<｜tool▁sep｜>stop\n```json\n{}", "||stop{}"},
    {"deepseek-r1",
     "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>add\n```json\n{\"a\": "
     "1}\n```"
     "<｜tool▁call▁end｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>add\n```json\n{\"a\": }\n```"
     "<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
     "<｜tool▁call▁begin｜>function<｜tool▁sep｜>add\n```json\n{\"a\": }\n```<｜tool▁call▁end｜>"
     "<｜tool▁calls▁end｜>||add{\"a\": 1}"},
    {"deepseek-v3.1",
     "<think>x</think><｜tool▁calls▁begin｜><｜tool▁call▁begin｜>stop<｜tool▁sep｜>{}"
     "<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
     "|x|stop{}"},
    {"deepseek-v3.1", "<｜tool～", kSame},
    {"deepseek-v3.1", "<｜tool▁calls▁begin｜>日本語<｜tool▁call◆日", kSame},
    {"deepseek-v3.2",
     "So.\n\n<｜DSML｜function_calls>\n<｜DSML｜invoke name=\"add\">\n"
     "<｜DSML｜parameter name=\"a\" string=\"false\">1.0</｜DSML｜parameter>\n"
     "<｜DSML｜parameter name=\"note\" string=\"true\"> 7 \"\n</｜DSML｜parameter>\n"
     "</｜DSML｜invoke>\n<｜DSML｜invoke name=\"stop\">\n\n</｜DSML｜invoke>\n"
     "</｜DSML｜function_calls>",
     "So.||add{\"a\": 1.0, \"note\": \" 7 \\\"\\n\"}|stop{}"},
    {"deepseek-v3.2",
     "<think>t</think>\n\n<｜DSML｜function_calls><｜DSML｜invoke name=\"f\"><｜DSML｜parameter "
     "name=\"a\"b\" string=\"false\"> {\"k\": [1]} </｜DSML｜parameter><｜DSML｜parameter "
     "name=\"c\" "
     "string=\"false\">True</｜DSML｜parameter></｜DSML｜invoke></｜DSML｜function_calls>"
     " ok",
     " ok|t|f{\"a\\\"b\": {\"k\": [1]}, \"c\": \"True\"}"},
    {"deepseek-v3.2", "\n\n\na\n\n\n<｜DSML｜invoke name=\"stop\"></｜DSML｜invoke>\n",
     "\n\n\na\n\n\n||stop{}"},
    {"deepseek-v3.2",
     "<｜DSML｜invoke name=\"f\"><｜DSML｜parameter name=\"a\" string=\"true\">1"
     "</｜DSML｜parameter>\n",
     "||f{\"a\": \"1\"}"},
    {"deepseek-v3.2",
     "x\n\n<｜DSML｜function_calls>\n<｜DSML｜invoke name=\"f\">\n<｜DSML｜parameter name=\"a\">1"
     "</｜DSML｜parameter>\n</｜DSML｜invoke>\n<｜DSML｜invoke name=\"stop\">\n</｜DSML｜invoke>\n"
     "</｜DSML｜function_calls>",
     "x\n\n<｜DSML｜function_calls>\n<｜DSML｜invoke name=\"f\">\n<｜DSML｜parameter name=\"a\">1"
     "</｜DSML｜parameter>\n</｜DSML｜invoke>\n||stop{}"},
    {"deepseek-v3.2", "a\n\n<｜DSML｜function_calls>\n</｜DSML｜function_calls>", kSame},
    {"deepseek-v3.2", "a\n\n<｜DSML｜function_cal", kSame},
    {"deepseek-v3.2", "<｜DSML｜invoke name=\"a b\"></｜DSML｜invoke>", kSame},
    {"deepseek-v3.2", "<｜DSML｜invoke name=\"\"></｜DSML｜invoke>", kSame},
    {"deepseek-v3.2", "<｜DSML｜invoke name=\"f\">text</｜DSML｜invoke>", kSame},
    {"deepseek-v3.2", "<｜DSML｜invoke name=\"f\"><｜DSML｜parameter name=\"a\" string=\"maybe\">",
     kSame},
    {"deepseek-v4",
     "\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"add\">\n<｜DSML｜parameter name=\"a\" "
     "string=\"false\">null</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜tool_calls>\n",
     "||add{\"a\": null}"},
    {"llama3-json",
     "{\"name\": \"add\", \"parameters\": {\"a\": 1}}; {\"name\": \"stop\", "
     "\"parameters\": {}} ",
     "||add{\"a\": 1}|stop{}"},
    {"llama3-json",
     "{\"name\": \"stop\", \"parameters\": {}}\n{\"name\": \"add\", \"parameters\": "
     "null}",
     "||stop{}|add{}"},
    {"llama3-json", "[{\"name\": \"stop\", \"parameters\": {}}]", "||stop{}"},
    {"llama3-json", "{\"name\": \"Bob\", \"age\": 7}", kSame},
    {"llama3-json", "{\"name\": \"Bob\"}", kSame},
    {"llama3-json", "So: {\"name\": \"stop\", \"parameters\": {}}", kSame},
    {"llama3-json-tag", "a<|python_tag|>{\"name\": \"stop\"} b", "a b||stop{}"},
    {"llama3-json-tag", "<|python_tag|>print(1)", kSame},
    {"llama-pythonic", " [add(a=1, more=[None, {'k': \"v\"}],), stop()] ok",
     " ok||add{\"a\": 1, \"more\": [null, {\"k\": \"v\"}]}|stop{}"},
    {"llama-pythonic", "a <|python_start|>[stop()]<|python_end|>", "a ||stop{}"},
    {"llama-pythonic", "[stop()", "||stop{}"},
    {"llama-pythonic", "[stop(), 1]", kSame},
    {"llama-pythonic", "see [stop()]", kSame},
    {"mistral", "a[TOOL_CALLS] [{\"name\": \"add\", \"arguments\": {\"a\": 1}, \"id\": \"x1\"}]",
     "a||add{\"a\": 1}#x1"},
    {"mistral", "[THINK]a[/THINK]b", "b|a"},
    {"mistral", "[TOOL_CALLS][]", kSame},
    {"mistral", "[TOOL_CALLS][{\"name\": \"stop\"}, {\"x\"", ", {\"x\"||stop{}"},
    {"mistral-v11", "[TOOL_CALLS]add[CALL_ID]id9[ARGS]{\"a\": 1}[TOOL_CALLS]stop{}",
     "||add{\"a\": 1}#id9|stop{}"},
    {"mistral-v11", "[TOOL_CALLS]stop[ARGS][TOOL_CALLS]stop[ARGS]{}",
     "[TOOL_CALLS]stop[ARGS]||stop{}"},
    {"granite", "<|tool_call|>[{\"name\": \"add\", \"arguments\": {\"a\": 1}}]", "||add{\"a\": 1}"},
    {"granite", "<|tool_call|>[]", kSame},
    {"kimi-k2",
     "<|tool_calls_section_begin|><|tool_call_begin|>functions.add:12<|tool_call_argument_begin|>"
     "{\"a\": 1}<|tool_call_end|><|tool_call_begin|>stop<|tool_call_argument_begin|>{}"
     "<|tool_call_end|><|tool_calls_section_end|>",
     "||add{\"a\": 1}#functions.add:12|stop{}"},
    {"kimi-k2", "<|tool_call_begin|>functions.:0<|tool_call_argument_begin|>{}<|tool_call_end|>",
     kSame},
    {"gpt-oss",
     "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>commentary to=functions."
     "add <|constrain|>json<|message|>{\"a\": 1}<|call|>",
     "|hm|add{\"a\": 1}"},
    {"gpt-oss",
     "<|channel|>commentary<|message|>one<|end|>\n<|start|>assistant<|channel|>final<|message|>two"
     "<|return|>",
     "one\ntwo|"},
    {"gpt-oss", "<|start|>assistant to=browser.open<|channel|>analysis<|message|>{}<|call|>",
     "||browser.open{}"},
    {"gpt-oss", "<|channel|>analysis<|message|>a<|start|>assistant<|channel|>final<|message|>b",
     "b|a"},
    {"gpt-oss", "<|channel|>fin", kSame},
    {"gpt-oss", "<|channel|>x<|end|><|channel|>final<|message|>b", "<|channel|>x<|end|>\nb|"},
    {"none", "<think>a</think>b<tool_call>{\"name\":\"stop\"}</tool_call>",
     "b<tool_call>{\"name\":\"stop\"}</tool_call>|a"},
    {"", "<tool_call>", kSame},
};

TEST(OutputParserTest, CasesInAllSplits) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(std::string(c.family) + ": " + std::string(c.text));
    const ParsedMessage whole = Parse(c.family, c.text);
    EXPECT_EQ(Line(whole), c.line == kSame ? std::string(c.text) + "|" : std::string(c.line));
    for (const ParsedMessage::Call& call : whole.calls) EXPECT_TRUE(IsJsonObject(call.arguments));
    std::vector<size_t> every;
    for (size_t cut = 0; cut <= c.text.size(); ++cut) {
      ASSERT_EQ(Parse(c.family, c.text, true, false, {cut}), whole) << "cut at " << cut;
      every.push_back(cut);
    }
    ASSERT_EQ(Parse(c.family, c.text, true, false, every), whole);
  }
}

TEST(OutputParserTest, WholeCharactersComeOutWhole) {
  const auto begins_character = [](std::string_view text) {
    return text.empty() || (static_cast<unsigned char>(text.front()) & 0xC0) != 0x80;
  };
  for (const Case& c : kCases) {
    SCOPED_TRACE(std::string(c.family) + ": " + std::string(c.text));
    auto parser = std::move(MakeOutputParser(c.family, Tools(), false).value());
    for (size_t begin = 0, end; begin < c.text.size(); begin = end) {
      for (end = begin + 1; !begins_character(c.text.substr(end)); ++end) {
      }
      OutputDelta delta;
      parser->Feed(c.text.substr(begin, end - begin), &delta);
      EXPECT_TRUE(begins_character(delta.content));
      EXPECT_TRUE(begins_character(delta.reasoning));
    }
  }
}

TEST(OutputParserTest, EveryFamilyHasACase) {
  for (const std::string_view family : OutputParserFamilies()) {
    EXPECT_TRUE(std::ranges::any_of(kCases, [&](const Case& c) {
      return c.family == family && c.line != kSame;
    })) << family;
  }
}

TEST(OutputParserTest, WithoutToolsMarkupIsText) {
  for (const Case& c : kCases) {
    if (c.family == "gpt-oss" || c.text.find("hink>") != c.text.npos ||
        c.text.find("[THINK]") != c.text.npos) {
      continue;  // channels and reasoning have nothing to do with tools
    }
    EXPECT_EQ(Line(Parse(c.family, c.text, false)), std::string(c.text) + "|");
  }
  EXPECT_EQ(
      Line(Parse("gpt-oss", "<|channel|>analysis<|message|>a<|end|><|channel|>x to=f<|message|>{}",
                 false)),
      "<|channel|>x to=f<|message|>{}|a");
}

TEST(OutputParserTest, ReasoningThatThePromptOpened) {
  EXPECT_EQ(Line(Parse("hermes", "a </think>b", true, true)), "b|a");
  EXPECT_EQ(Line(Parse("hermes", "\n<think>a</think>b", true, true)), "b|a");
  EXPECT_EQ(Line(Parse("hermes", "a <think> </think>b", true, true)), "b|a <think>");
  EXPECT_EQ(Line(Parse("none", "</think>", false, true)), "|");
  EXPECT_EQ(
      Line(Parse("gpt-oss", "a<|end|><|start|>assistant<|channel|>final<|message|>b", true, true)),
      "b|a");
  EXPECT_EQ(
      Line(Parse("llama3-json", "x</think>{\"name\": \"stop\", \"parameters\": {}}", true, true)),
      "|x|stop{}");
}

TEST(OutputParserTest, ContentComesAsSoonAsItIsCertain) {
  auto parser = std::move(MakeOutputParser("hermes", Tools(), false).value());
  const auto feed = [&](std::string_view text) {
    OutputDelta delta;
    parser->Feed(text, &delta);
    return delta;
  };
  EXPECT_EQ(feed("Hello ").content, "Hello ");
  EXPECT_EQ(feed("a < b, <tool").content, "a < b, ");
  EXPECT_EQ(feed("s").content, "<tools");
  EXPECT_EQ(feed("<tool_call>{\"name\":\"add\",\"arguments\":{\"a\":1}").content, "");
  // The call does not wait for its end tag.
  const OutputDelta delta = feed("}");
  ASSERT_EQ(delta.calls.size(), 1u);
  EXPECT_EQ(delta.calls[0].index, 0u);
  EXPECT_EQ(delta.calls[0].arguments, "{\"a\":1}");
  EXPECT_EQ(feed("</tool_call>\n").content, "");
  EXPECT_EQ(feed("x").content, "\nx");
  // An answer in JSON is held back only until a key that no call has.
  parser = std::move(MakeOutputParser("llama3-json", Tools(), false).value());
  EXPECT_EQ(feed("{\"answer").content, "");
  EXPECT_EQ(feed("\": ").content, "{\"answer\": ");
}

TEST(OutputParserTest, Errors) {
  const auto unknown = MakeOutputParser("hermit", {}, false);
  ASSERT_FALSE(unknown.ok());
  EXPECT_EQ(unknown.status().code(), StatusCode::kInvalidArgument);
  EXPECT_NE(unknown.status().message().find("\"hermit\""), std::string::npos);
  EXPECT_NE(unknown.status().message().find("hermes"), std::string::npos);
  for (const char* schema : {"[]", "{", "\"x\"", "null"}) {
    const std::vector<ToolSpec> tools = {{"f", schema}};
    const auto made = MakeOutputParser("glm", tools, false);
    ASSERT_FALSE(made.ok()) << schema;
    EXPECT_NE(made.status().message().find("\"f\""), std::string::npos);
  }
}

TEST(OutputParserTest, SchemasThatReferToThemselvesEnd) {
  std::string wide = R"({"properties": {"a": {"$ref": "#/$defs/x"}}, "$defs": {"x": {"anyOf": [)";
  for (int i = 0; i < 100; ++i) wide += R"({"$ref": "#/$defs/x"}, )";
  wide += R"({"type": "integer"}]}}})";
  const std::vector<ToolSpec> tools = {{"f", wide}};
  auto parser = std::move(MakeOutputParser("glm", tools, false).value());
  const ParsedMessage message = ParseInChunks(
      *parser, "<tool_call>f<arg_key>a</arg_key><arg_value>1</arg_value></tool_call>");
  ASSERT_EQ(message.calls.size(), 1u);
}

std::string Times(std::string_view unit, size_t bytes) {
  std::string text;
  while (text.size() < bytes) text += unit;
  return text;
}

// Outputs that would take a careless parser quadratic time, or deep recursion.
TEST(OutputParserTest, HostileOutputsTakeLinearTime) {
  constexpr size_t kBytes = 1 << 20;
  constexpr std::string_view kUnits[] = {"<",
                                         "[",
                                         "{",
                                         "{\"a\":",
                                         "[{",
                                         "\n",
                                         "\\",
                                         "<tool_call>",
                                         "<tool_call>{\"a\":\"",
                                         "<tool_call>{\"name\":\"stop\"}",
                                         "<function=f><parameter=a>",
                                         "<parameter=a>b</parameter>",
                                         "<tool_call>f<arg_key>a</arg_key><arg_value>",
                                         "<｜tool▁calls▁begin｜>",
                                         "<｜tool▁call▁begin｜>f<｜tool▁sep｜>{}",
                                         "<｜tool▁calls▁begi",
                                         "<｜DSML｜function_calls>",
                                         "\n\n<｜DSML｜tool_calls>\n",
                                         "<｜DSML｜invoke name=\"f\"></｜DSML｜invoke>",
                                         "<｜DSML｜parameter name=\"a\" string=\"true\">",
                                         "</｜DSML｜parameter",
                                         "\" string=",
                                         "<|tool_call_begin|>",
                                         "<|python_tag|>",
                                         "; {\"name\": \"a\", \"parameters\": {}}",
                                         "[f(a=",
                                         "f(),",
                                         "a=[[{'b':",
                                         "[TOOL_CALLS]",
                                         "[TOOL_CALLS]f[ARGS]{\"a\":[",
                                         "<|channel|>",
                                         "<|start|>a<|channel|>b<|message|>",
                                         "<|channel|>a to=f<|message|>{\"a\":",
                                         "<think>",
                                         "</think>",
                                         "[THINK]",
                                         "[/THINK"};
  constexpr std::pair<std::string_view, std::string_view> kBeginnings[] = {
      {"hermes", ""},
      {"hermes", "<tool_call>"},
      {"hermes", "<tool_call>{\"name\": \""},
      {"qwen3-coder", ""},
      {"qwen3-coder", "<function=f>"},
      {"qwen3-coder", "<function=f><parameter=a>"},
      {"glm", ""},
      {"glm", "<tool_call>f<arg_key>a</arg_key><arg_value>"},
      {"deepseek-v3", ""},
      {"deepseek-v3", "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>"},
      {"deepseek-v3.2", ""},
      {"deepseek-v3.2", "<｜DSML｜function_calls><｜DSML｜invoke name=\"f\">"},
      {"deepseek-v4", "<｜DSML｜invoke name=\"f\"><｜DSML｜parameter name=\""},
      {"deepseek-v4", "<｜DSML｜invoke name=\"f\"><｜DSML｜parameter name=\"a\" string=\"false\">"},
      {"llama3-json", ""},
      {"llama3-json", "{\"name\":"},
      {"llama-pythonic", ""},
      {"llama-pythonic", "[f(a="},
      {"mistral", ""},
      {"mistral", "[TOOL_CALLS]"},
      {"granite", "<|tool_call|>"},
      {"kimi-k2", ""},
      {"kimi-k2", "<|tool_calls_section_begin|>"},
      {"gpt-oss", ""},
      {"gpt-oss", "<|channel|>analysis<|message|>"},
      {"gpt-oss", "<|channel|>a to=f<|message|>"},
  };
  for (const auto& [family, beginning] : kBeginnings) {
    for (const std::string_view unit : kUnits) {
      // A sixteenth is enough to tell quadratic from linear, but for the plainest units.
      const bool plain = unit.size() == 1 && beginning.empty();
      const std::string text = std::string(beginning) + Times(unit, plain ? kBytes : kBytes / 16);
      const auto start = std::chrono::steady_clock::now();
      const ParsedMessage message = Parse(family, text);
      const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
      ASSERT_LT(spent.count(), 2.0) << family << ": " << beginning << " and many " << unit;
      const bool has_reasoning =
          family == "gpt-oss" || text.starts_with("<think>") || text.starts_with("[THINK]");
      if (message.calls.empty() && !has_reasoning) {
        ASSERT_EQ(message.content, text) << family << ": " << beginning << " and many " << unit;
      }
    }
  }
}

TEST(FamilyOfTemplateTest, MarkersOfTheFamilies) {
  EXPECT_EQ(FamilyOfTemplate(""), "");
  EXPECT_EQ(FamilyOfTemplate("{{ '<|im_start|>' + messages[0].content }}"), "");
  EXPECT_EQ(FamilyOfTemplate("{{ '<tool_call>' }}"), "hermes");
  EXPECT_EQ(FamilyOfTemplate("{{ '<tool_call><function=' + n + '><parameter=' }}"), "qwen3-coder");
  EXPECT_EQ(FamilyOfTemplate("{{ '<tool_call>' + n + '<arg_key>' }}"), "glm");
  EXPECT_EQ(FamilyOfTemplate("{{ '<|tool_call|>' }}"), "granite");
  EXPECT_EQ(FamilyOfTemplate("{{ '<｜tool▁calls▁begin｜>' }}"), "deepseek-v3.1");
  EXPECT_EQ(FamilyOfTemplate("{{ '<｜tool▁calls▁begin｜>```json' }}"), "deepseek-v3");
  EXPECT_EQ(FamilyOfTemplate("{{ '</think><｜tool▁calls▁begin｜>```json' }}"), "deepseek-r1");
  EXPECT_EQ(FamilyOfTemplate("{{ '<｜DSML｜function_calls>' }}"), "deepseek-v3.2");
  EXPECT_EQ(FamilyOfTemplate("{{ '<｜DSML｜tool_calls>' }}"), "deepseek-v4");
  EXPECT_EQ(FamilyOfTemplate("{{ '<|tool_calls_section_begin|>' }}"), "kimi-k2");
  EXPECT_EQ(FamilyOfTemplate("{{ '<|channel|>final<|message|>' }}"), "gpt-oss");
  EXPECT_EQ(FamilyOfTemplate("{{ '[TOOL_CALLS]' }}"), "mistral");
  EXPECT_EQ(FamilyOfTemplate("{{ '[TOOL_CALLS]' + n + '[ARGS]' }}"), "mistral-v11");
  EXPECT_EQ(FamilyOfTemplate("{{ '<|python_tag|>' }}"), "llama3-json-tag");
  EXPECT_EQ(FamilyOfTemplate("\"parameters\": dictionary of argument name"), "llama3-json");
  EXPECT_EQ(FamilyOfTemplate("[func_name1(a=1)]"), "llama-pythonic");
}

}  // namespace
}  // namespace pelton
