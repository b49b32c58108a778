#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "text/template/chat.h"
#include "text/template/template.h"
#include "text/template/value_json.h"

// Cases whose expectations the reference implementation computed. They are not part of the
// repository: PELTON_GOLDEN names their folder, ../shared/golden is where they lie otherwise.
namespace pelton::jinja {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

constexpr size_t kNumJinjaCases = 412;
constexpr size_t kNumChatCases = 1922;

fs::path TextFolder() {
  const char* golden = std::getenv("PELTON_GOLDEN");  // NOLINT(concurrency-mt-unsafe)
  return fs::path(golden != nullptr ? golden : "../shared/golden") / "text";
}

std::string ReadFile(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file) << path;
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<Json> ReadLines(const fs::path& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file) << path;
  std::vector<Json> rows;
  for (std::string line; std::getline(file, line);) {
    if (!line.empty()) rows.push_back(Json::parse(line));
  }
  return rows;
}

Value ToValue(const Json& json) {
  Result<Value> value = ValueFromJson(json.dump());
  EXPECT_TRUE(value.ok()) << value.status().message();
  return value.ok() ? *value : Value();
}

// Compares an outcome with a case: its text, or its error. The message counts only where the
// template wrote it.
void ExpectOutcome(const Json& golden, const Result<std::string>& text,
                   const TemplateError& error) {
  if (golden.contains("text")) {
    ASSERT_TRUE(text.ok()) << text.status().message();
    EXPECT_EQ(*text, golden["text"].get<std::string>());
    return;
  }
  if (text.ok()) {
    // Engines that let a template change its lists print this.
    ASSERT_TRUE(golden.contains("text_if_mutable")) << *text;
    EXPECT_EQ(*text, golden["text_if_mutable"].get<std::string>());
    return;
  }
  EXPECT_FALSE(text.status().message().empty());
  if (golden["error"] == "raise") {
    EXPECT_EQ(error.kind, TemplateErrorKind::kRaise);
    EXPECT_EQ(error.message, golden["message"].get<std::string>());
  } else {
    EXPECT_NE(error.kind, TemplateErrorKind::kRaise);
    EXPECT_NE(error.kind, TemplateErrorKind::kLimit) << error.message;
  }
}

TEST(GoldenTest, JinjaFeatures) {
  const fs::path folder = TextFolder() / "jinja";
  if (!fs::exists(folder)) {
    GTEST_SKIP() << kNumJinjaCases << " cases not seen: there is no " << folder;
  }
  const Json setup = Json::parse(ReadFile(folder / "variables.json"));
  const Value variables = ToValue(setup["variables"]);
  RenderOptions options;
  options.now = ParseCivilTime(setup["now"].get<std::string>()).value();
  size_t num_cases = 0;
  for (const Json& row : ReadLines(folder / "cases.jsonl")) {
    SCOPED_TRACE(row["name"].get<std::string>() + ": " + row["template"].get<std::string>());
    TemplateError error;
    const Result<Template> parsed =
        Template::Parse(row["template"].get<std::string>(), options.limits, &error);
    const Result<std::string> text = parsed.ok() ? parsed->Render(variables, options, &error)
                                                 : Result<std::string>(parsed.status());
    ExpectOutcome(row, text, error);
    ++num_cases;
  }
  EXPECT_GE(num_cases, kNumJinjaCases);
}

TEST(GoldenTest, ChatTemplates) {
  const fs::path folder = TextFolder() / "chat";
  if (!fs::exists(folder)) {
    GTEST_SKIP() << kNumChatCases << " cases not seen: there is no " << folder;
  }
  std::map<std::string, Json> conversations;
  for (Json& row : ReadLines(folder / "conversations.jsonl")) {
    conversations[row["id"].get<std::string>()] = row;
  }
  const Json setup = Json::parse(ReadFile(folder / "templates.json"));
  size_t num_cases = 0;
  for (const auto& [name, about] : setup["templates"].items()) {
    const Result<Template> parsed =
        Template::Parse(ReadFile(folder / "templates" / (name + ".jinja")));
    ASSERT_TRUE(parsed.ok()) << name << ": " << parsed.status().message();
    for (const Json& row : ReadLines(folder / "cases" / (name + ".jsonl"))) {
      const Json& chat = conversations.at(row["conversation"].get<std::string>());
      SCOPED_TRACE(name + ", " + row["conversation"].get<std::string>());
      Json kwargs = chat["kwargs"];
      if (row.contains("variables")) kwargs.update(row["variables"]);
      ChatInputs inputs;
      inputs.messages = ToValue(chat["messages"]);
      inputs.tools = ToValue(chat["tools"]);
      inputs.add_generation_prompt = chat["add_generation_prompt"].get<bool>();
      inputs.bos_token = about["bos_token"].get<std::string>();
      inputs.eos_token = about["eos_token"].get<std::string>();
      inputs.kwargs = ToValue(kwargs);
      inputs.now = ParseCivilTime(setup["now"].get<std::string>()).value();
      TemplateError error;
      const Result<std::string> text = RenderChat(*parsed, inputs, &error);
      ExpectOutcome(row, text, error);
      ++num_cases;
    }
  }
  EXPECT_GE(num_cases, kNumChatCases);
}

}  // namespace
}  // namespace pelton::jinja
