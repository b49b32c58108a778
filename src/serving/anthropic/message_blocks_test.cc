#include "serving/anthropic/message_blocks.h"

#include <gtest/gtest.h>

#include "serving/request/chat_messages.h"

namespace pelton {
namespace {

Json Parse(const char* text) {
  Result<Json> json = ParseJson(text);
  EXPECT_TRUE(json.ok()) << text;
  return json.ok() ? std::move(json).value() : Json();
}

// The messages in OpenAI's form, or the name of the field that failed.
std::string Convert(const char* text) {
  const Json object = Parse(text);
  FieldReader reader(object);
  Json out;
  const Json* system = reader.Find("system");
  ReadMessageBlocks(reader, system, object["messages"], &out);
  if (!reader.ok()) return reader.failed_field();
  EXPECT_EQ(NormalizeMessages(&out).message, "");
  return ToText(out);
}

TEST(MessageBlocks, BecomeMessages) {
  EXPECT_EQ(Convert(R"({"messages":[{"role":"user","content":"a"}]})"),
            R"([{"role":"user","content":"a"}])");
  EXPECT_EQ(Convert(R"({"system":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}},
                                  {"type":"text","text":"b"}],
                        "messages":[{"role":"user","content":[{"type":"text","text":"c"}]}]})"),
            R"([{"role":"system","content":"a\nb"},{"role":"user","content":"c"}])");
}

TEST(MessageBlocks, BecomeCallsAndTheirResults) {
  EXPECT_EQ(Convert(R"({"messages":[{"role":"user","content":"a"},
          {"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":""},
             {"type":"text","text":"b"},{"type":"tool_use","id":"1","name":"f","input":{"x":2}}]},
          {"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":"r"},
             {"type":"tool_result","tool_use_id":"2","is_error":true,
              "content":[{"type":"text","text":"s"}]},
             {"type":"text","text":"c"}]}]})"),
            R"([{"role":"user","content":"a"},)"
            R"({"role":"assistant","content":"b","reasoning_content":"t","tool_calls":[{"id":"1",)"
            R"("type":"function","function":{"name":"f","arguments":{"x":2}}}]},)"
            R"({"role":"tool","tool_call_id":"1","name":"f","content":"r"},)"
            R"({"role":"tool","tool_call_id":"2","content":"Error: s"},)"
            R"({"role":"user","content":"c"}])");
}

TEST(MessageBlocks, NameThePlaceOfWhatIsWrong) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"messages":[]})", "messages"},
      {R"({"messages":{}})", "messages"},
      {R"({"messages":[5]})", "messages[0]"},
      {R"({"messages":[{"role":"tool","content":"x"}]})", "messages[0].role"},
      {R"({"messages":[{"role":"user"}]})", "messages[0].content"},
      {R"({"messages":[{"role":"user","content":5}]})", "messages[0].content"},
      {R"({"messages":[{"role":"user","content":"x","y":1}]})", "messages[0].y"},
      {R"({"messages":[{"role":"user","content":[5]}]})", "messages[0].content[0]"},
      {R"({"messages":[{"role":"user","content":[{"type":"image"}]}]})", "messages[0].content[0]"},
      {R"({"messages":[{"role":"user","content":[{"type":"text"}]}]})",
       "messages[0].content[0].text"},
      {R"({"messages":[{"role":"user","content":[{"type":"tool_result"}]}]})",
       "messages[0].content[0].tool_use_id"},
      {R"({"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"1",
           "content":[{"type":"image"}]}]}]})",
       "messages[0].content[0].content[0]"},
      {R"({"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"1","name":"f"}]}]})",
       "messages[0].content[0].input"},
      {R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]})",
       "messages[1].role"},
      {R"({"system":5,"messages":[{"role":"user","content":"a"}]})", "system"},
  };
  for (const auto& [text, field] : cases) EXPECT_EQ(Convert(text), field) << text;
}

TEST(AnthropicTools, BecomeFunctions) {
  const auto convert = [](const char* text) {
    const Json tools = Parse(text);
    const Json object = {{"tools", tools}};
    FieldReader reader(object);
    Json out;
    ReadAnthropicTools(reader, tools, &out);
    return reader.ok() ? ToText(out) : reader.failed_field();
  };
  EXPECT_EQ(convert(R"([{"name":"f","description":"d","input_schema":{"type":"object"}}])"),
            R"([{"type":"function","function":{"name":"f","description":"d",)"
            R"("parameters":{"type":"object"}}}])");
  EXPECT_EQ(convert(R"([{"type":"web_search_20250305","name":"web_search"}])"), "tools[0].type");
  EXPECT_EQ(convert(R"([{"name":"f"}])"), "tools[0].input_schema");
  EXPECT_EQ(convert("5"), "tools");
}

}  // namespace
}  // namespace pelton
