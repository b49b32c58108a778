#include "text/template/deepseek_chat.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <string>

#include "text/template/value_json.h"

namespace pelton::jinja {
namespace {

namespace fs = std::filesystem;

// DeepSeek's own test vectors in the form of tests/data/text/deepseek_chat.
constexpr size_t kNumVectors = 7;

fs::path VectorFolder() {
  const char* golden = std::getenv("PELTON_GOLDEN");  // NOLINT(concurrency-mt-unsafe)
  return fs::path(golden != nullptr ? golden : "../shared/golden") / "text" / "deepseek_chat";
}

ChatInputs InputsOf(const Value& row) {
  ChatInputs inputs;
  inputs.messages = *row.dict().Find("messages");
  if (const Value* tools = row.dict().Find("tools")) inputs.tools = *tools;
  if (const Value* kwargs = row.dict().Find("kwargs")) inputs.kwargs = *kwargs;
  return inputs;
}

// Renders every line of a file and compares; the number of lines.
size_t CheckFile(DeepSeekVersion version, const fs::path& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file) << path;
  size_t num_cases = 0;
  for (std::string line; std::getline(file, line); ++num_cases) {
    const Value row = ValueFromJson(line).value();
    const Result<std::string> text = RenderDeepSeekChat(version, InputsOf(row));
    EXPECT_TRUE(text.ok()) << text.status().message();
    if (!text.ok()) continue;
    EXPECT_EQ(*text, row.dict().Find("text")->text())
        << path << ": " << row.dict().Find("name")->text();
  }
  return num_cases;
}

TEST(DeepSeekChatTest, WritesWhatDeepSeeksCodeWrites) {
  const fs::path folder = "tests/data/text/deepseek_chat";
  EXPECT_EQ(CheckFile(DeepSeekVersion::kV32, folder / "v3.2.jsonl"), 40);
  EXPECT_EQ(CheckFile(DeepSeekVersion::kV4, folder / "v4.jsonl"), 53);
}

TEST(DeepSeekChatTest, WritesDeepSeeksTestVectors) {
  const fs::path folder = VectorFolder();
  if (!fs::exists(folder)) {
    GTEST_SKIP() << kNumVectors << " golden cases not seen: there is no " << folder;
  }
  EXPECT_EQ(CheckFile(DeepSeekVersion::kV32, folder / "v3.2.jsonl") +
                CheckFile(DeepSeekVersion::kV4, folder / "v4.jsonl"),
            kNumVectors);
}

Result<std::string> RenderRow(DeepSeekVersion version, const std::string& row,
                              TemplateError* error = nullptr) {
  return RenderDeepSeekChat(version, InputsOf(ValueFromJson(row).value()), error);
}

std::string TextOfRow(DeepSeekVersion version, const std::string& row) {
  const Result<std::string> text = RenderRow(version, row);
  return text.ok() ? *text : "ERROR " + text.status().message();
}

TEST(DeepSeekChatTest, WithoutAGenerationPromptNothingFollowsTheLastMessage) {
  ChatInputs inputs =
      InputsOf(ValueFromJson(R"({"messages":[{"role":"user","content":"a"}]})").value());
  inputs.add_generation_prompt = false;
  for (const DeepSeekVersion version : {DeepSeekVersion::kV32, DeepSeekVersion::kV4}) {
    EXPECT_EQ(RenderDeepSeekChat(version, inputs).value(), "<｜begin▁of▁sentence｜><｜User｜>a");
  }
}

// Where DeepSeek's code fails or leaves a block open.
TEST(DeepSeekChatTest, IsLenientWhereAPromptCanBeWritten) {
  EXPECT_EQ(
      TextOfRow(DeepSeekVersion::kV32,
                R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}],
                    "kwargs":{"thinking":true}})"),
      "<｜begin▁of▁sentence｜><｜User｜>a<｜Assistant｜><think></think>b<｜end▁of▁sentence｜>");
  EXPECT_EQ(
      TextOfRow(DeepSeekVersion::kV32,
                R"({"messages":[{"role":"developer","content":"a"},{"role":"user","content":"b"}],
                    "kwargs":{"thinking":true}})"),
      "<｜begin▁of▁sentence｜><｜User｜>b<｜Assistant｜><think>");
  const std::string one_result =
      TextOfRow(DeepSeekVersion::kV32,
                R"({"messages":[{"role":"assistant","tool_calls":[{"function":{"name":"f"}},
         {"function":{"name":"g","arguments":"{\"k\": [1.0]}"}}]},{"role":"tool","content":"r"}]})");
  EXPECT_EQ(one_result,
            "<｜begin▁of▁sentence｜>\n\n<｜DSML｜function_calls>\n"
            "<｜DSML｜invoke name=\"f\">\n\n</｜DSML｜invoke>\n"
            "<｜DSML｜invoke name=\"g\">\n"
            "<｜DSML｜parameter name=\"k\" string=\"false\">[1.0]</｜DSML｜parameter>\n"
            "</｜DSML｜invoke>\n</｜DSML｜function_calls><｜end▁of▁sentence｜>\n\n"
            "<function_results>\n<result>r</result>\n</function_results>\n\n</think>");
}

TEST(DeepSeekChatTest, RefusalsNameThePlace) {
  const auto refusal = [](const std::string& messages, const std::string& more = "") {
    TemplateError error;
    const auto text =
        RenderRow(DeepSeekVersion::kV32, R"({"messages":)" + messages + more + "}", &error);
    EXPECT_EQ(text.status().code(), StatusCode::kInvalidArgument);
    EXPECT_EQ(error.message, text.status().message());
    return error.message;
  };
  EXPECT_EQ(refusal("7"), "messages: expected a list of messages");
  EXPECT_EQ(refusal("[1]"), "messages[0]: expected an object");
  EXPECT_EQ(refusal(R"([{"role":"user"},{"role":"x"}])"),
            "messages[1].role: expected system, developer, user, assistant, tool or, for V4, "
            "latest_reminder");
  EXPECT_EQ(refusal(R"([{"role":"latest_reminder"}])"),
            "messages[0].role: latest_reminder is a role of DeepSeek-V4");
  EXPECT_EQ(refusal(R"([{"role":"user","content":[]}])"), "messages[0].content: expected a text");
  EXPECT_EQ(refusal(R"([{"role":"tool","content":"a"}])", R"(,"tools":[{"function":{}}])"),
            "messages[0]: expected no more results than calls before");
  EXPECT_EQ(refusal(R"([{"role":"system","tools":[{"name":"f"}]}])"),
            "messages[0].tools: expected tools with a function");
  EXPECT_EQ(refusal("[]", R"(,"tools":{})"), "tools: expected a list of tools");
  EXPECT_EQ(refusal("[]", R"(,"kwargs":[])"), "chat_template_kwargs must be an object");
  for (const char* arguments : {R"("x")", R"("[1]")", "[]", "1"}) {
    EXPECT_EQ(
        refusal(std::string(R"([{"role":"assistant","tool_calls":[{"function":{"name":"f",)") +
                R"("arguments":)" + arguments + "}}]}]"),
        "messages[0].tool_calls.function.arguments: expected an object, or its JSON text");
  }
  EXPECT_EQ(TextOfRow(DeepSeekVersion::kV4, R"({"messages":[{"role":"user","task":"dance"}]})"),
            "ERROR messages[0].task: expected action, query, authority, domain, title or read_url");
}

TEST(DeepSeekChatTest, LimitsHold) {
  ChatInputs inputs;
  inputs.messages = Value::List(
      {Value::Dict({{Value::String("role"), Value::String("user")},
                    {Value::String("content"),
                     Value::String(std::string(inputs.limits.max_output_bytes, 'a'))}})});
  EXPECT_EQ(RenderDeepSeekChat(DeepSeekVersion::kV4, inputs).status().code(),
            StatusCode::kResourceExhausted);

  // Linear, however many results and messages there are: four times as many take four times as
  // long, and would take sixteen times if each looked at all before it.
  const auto seconds = [](int turns) {
    std::string row = R"({"messages":[{"role":"user","content":"a"})";
    for (int i = 0; i < turns; ++i) {
      row += R"(,{"role":"assistant","tool_calls":[{"id":"i","function":{"name":"f"}}]})";
      row += R"(,{"role":"tool","content":"b","tool_call_id":"i"})";
    }
    row += R"(],"kwargs":{"thinking":true}})";
    const std::clock_t start = std::clock();
    for (const DeepSeekVersion version : {DeepSeekVersion::kV32, DeepSeekVersion::kV4}) {
      EXPECT_TRUE(RenderRow(version, row).ok());
    }
    return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  };
  EXPECT_LT(seconds(20'000), 8 * seconds(5'000));
}

}  // namespace
}  // namespace pelton::jinja
