#include "serving/responses/response_items.h"

#include <gtest/gtest.h>

#include "serving/request/chat_messages.h"

namespace pelton {
namespace {

// The items of an input, or the name of the field that failed.
Json Items(const char* input, std::string* failed) {
  const Json object = {{"input", Json::parse(input)}};
  FieldReader reader(object);
  Json items;
  ReadInputItems(reader, object["input"], &items);
  *failed = reader.failed_field();
  return items;
}

std::string ItemFailure(const char* input) {
  std::string failed;
  Items(input, &failed);
  return failed;
}

// What a template sees.
std::string Messages(const char* input, std::string_view instructions = "") {
  std::string failed;
  const Json items = Items(input, &failed);
  if (!failed.empty()) return failed;
  Json messages = MessagesOfItems(instructions, items);
  EXPECT_EQ(NormalizeMessages(&messages).message, "");
  return ToText(messages);
}

TEST(ResponseItems, AreListedWithIdsAndParts) {
  std::string failed;
  Json items = Items(R"(["no"])", &failed);
  EXPECT_EQ(failed, "input[0]");
  items = Items(R"("a")", &failed);
  ASSERT_EQ(failed, "");
  EXPECT_EQ(items[0]["id"].get<std::string>().substr(0, 4), "msg_");
  EXPECT_EQ(ToText(items[0]["content"]), R"([{"type":"input_text","text":"a"}])");
  items = Items(R"([{"role":"assistant","content":"b","id":"msg_1"},
                    {"type":"function_call_output","call_id":"c","output":"d"}])",
                &failed);
  EXPECT_EQ(ToText(items[0]),
            R"({"id":"msg_1","type":"message","status":"completed","role":"assistant",)"
            R"("content":[{"type":"output_text","text":"b","annotations":[]}]})");
  EXPECT_EQ(items[1]["status"], "completed");
}

TEST(ResponseItems, BecomeMessages) {
  EXPECT_EQ(Messages(R"("a")"), R"([{"role":"user","content":"a"}])");
  EXPECT_EQ(Messages(R"([{"role":"developer","content":"b"},{"role":"user","content":
                          [{"type":"input_text","text":"c"},{"type":"input_text","text":"d"}]}])",
                     "a"),
            R"([{"role":"system","content":"a\n\nb"},{"role":"user","content":"cd"}])");
}

TEST(ResponseItems, OfOneTurnBecomeOneMessage) {
  EXPECT_EQ(Messages(R"([{"role":"user","content":"a"},
      {"type":"reasoning","id":"rs_1","summary":[],
       "content":[{"type":"reasoning_text","text":"t"}]},
      {"type":"message","role":"assistant","status":"completed","id":"msg_1","content":
         [{"type":"output_text","text":"b","annotations":[],"logprobs":[]}]},
      {"type":"function_call","call_id":"1","name":"f","arguments":"{\"x\":2}"},
      {"type":"function_call","call_id":"2","name":"g","arguments":"{}"},
      {"type":"function_call_output","call_id":"1","output":"c"},
      {"type":"function_call_output","call_id":"2","output":[{"type":"input_text","text":"d"}]},
      {"role":"assistant","content":"e"},{"role":"assistant","content":"f"}])"),
            R"([{"role":"user","content":"a"},)"
            R"({"role":"assistant","content":"b","reasoning_content":"t","tool_calls":[)"
            R"({"id":"1","type":"function","function":{"name":"f","arguments":{"x":2}}},)"
            R"({"id":"2","type":"function","function":{"name":"g","arguments":{}}}]},)"
            R"({"role":"tool","tool_call_id":"1","name":"f","content":"c"},)"
            R"({"role":"tool","tool_call_id":"2","name":"g","content":"d"},)"
            R"({"role":"assistant","content":"e"},{"role":"assistant","content":"f"}])");
}

TEST(ResponseItems, FailuresNameTheirPlace) {
  EXPECT_EQ(ItemFailure("5"), "input");
  EXPECT_EQ(ItemFailure("[]"), "input");
  EXPECT_EQ(ItemFailure(R"([{"role":"user"}])"), "input[0].content");
  EXPECT_EQ(ItemFailure(R"([{"role":"king","content":"a"}])"), "input[0].role");
  EXPECT_EQ(ItemFailure(R"([{"role":"user","content":"a","colour":1}])"), "input[0].colour");
  EXPECT_EQ(ItemFailure(R"([{"role":"user","content":[{"type":"input_image"}]}])"),
            "input[0].content[0].type");
  EXPECT_EQ(ItemFailure(R"([{"role":"user","content":[{"type":"refusal","refusal":"x"}]}])"),
            "input[0].content[0].type");
  EXPECT_EQ(ItemFailure(R"([{"role":"user","content":"a"},{"type":"web_search_call"}])"),
            "input[1].type");
  EXPECT_EQ(ItemFailure(R"([{"type":"function_call","call_id":"1","name":"f","arguments":"[]"}])"),
            "input[0].arguments");
  EXPECT_EQ(ItemFailure(R"([{"type":"function_call_output","call_id":"1"}])"), "input[0].output");
  EXPECT_EQ(ItemFailure(R"([{"type":"reasoning","encrypted_content":"x"}])"),
            "input[0].encrypted_content");
  EXPECT_EQ(ItemFailure(R"([{"type":"reasoning","summary":[{"text":"x"}]}])"), "input[0].summary");
  EXPECT_EQ(ItemFailure(R"([{"type":"item_reference"}])"), "input[0].id");
}

}  // namespace
}  // namespace pelton
