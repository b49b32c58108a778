#include "serving/request/chat_messages.h"

#include <gtest/gtest.h>

namespace pelton {
namespace {

TEST(NormalizeMessagesTest, BringsContentsAndArgumentsIntoTheTemplatesForm) {
  Json messages = *ParseJson(R"([
    {"role":"developer","content":"be brief"},
    {"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},
    {"role":"assistant","tool_calls":[{"id":"1","type":"function",
      "function":{"name":"f","arguments":"{\"x\":1}"}}]},
    {"role":"tool","tool_call_id":"1","content":"2"}])");
  const MessageProblem problem = NormalizeMessages(&messages);
  EXPECT_EQ(problem.message, "");
  EXPECT_EQ(messages[0]["role"], "system");
  EXPECT_EQ(messages[1]["content"], "ab");
  EXPECT_EQ(messages[2]["content"], "");
  EXPECT_EQ(messages[2]["tool_calls"][0]["function"]["arguments"]["x"], 1);
}

TEST(NormalizeMessagesTest, NamesThePlaceThatIsWrong) {
  const std::pair<const char*, const char*> cases[] = {
      {"{}", "messages"},
      {"[]", "messages"},
      {"[1]", "messages[0]"},
      {R"([{"content":"x"}])", "messages[0].role"},
      {R"([{"role":7,"content":"x"}])", "messages[0].role"},
      {R"([{"role":"boss","content":"x"}])", "messages[0].role"},
      {R"([{"role":"user"}])", "messages[0].content"},
      {R"([{"role":"user","content":null}])", "messages[0].content"},
      {R"([{"role":"user","content":5}])", "messages[0].content"},
      {R"([{"role":"user","content":"x"},{"role":"user","content":[{"type":"image_url"}]}])",
       "messages[1].content"},
      {R"([{"role":"user","content":[{"type":"text"}]}])", "messages[0].content"},
      {R"([{"role":"assistant","tool_calls":3}])", "messages[0].tool_calls"},
      {R"([{"role":"assistant","tool_calls":[{}]}])", "messages[0].tool_calls"},
      {R"([{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"[1]"}}]}])",
       "messages[0].tool_calls"}};
  for (const auto& [text, param] : cases) {
    Json messages = *ParseJson(text);
    const MessageProblem problem = NormalizeMessages(&messages);
    EXPECT_EQ(problem.param, param) << text;
    EXPECT_EQ(problem.message.rfind(problem.param + ": ", 0), 0u) << problem.message;
  }
}

TEST(CheckToolsTest, GivesNamesAndParameters) {
  std::vector<ToolSpec> specs;
  EXPECT_EQ(CheckTools(*ParseJson(R"([{"type":"function","function":{"name":"f",
                                      "parameters":{"type":"object"}}}])"),
                       &specs),
            "");
  ASSERT_EQ(specs.size(), 1u);
  EXPECT_EQ(specs[0].name, "f");
  EXPECT_EQ(specs[0].parameters_json, R"({"type":"object"})");
  for (const char* text : {"{}", "[1]", R"([{"function":{}}])", R"([{"function":{"name":1}}])",
                           R"([{"function":{"name":"f","parameters":[]}}])"}) {
    EXPECT_NE(CheckTools(*ParseJson(text), &specs), "") << text;
  }
}

}  // namespace
}  // namespace pelton
