#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "text/parsers/output_parser.h"
#include "text/parsers/parsed_message.h"

namespace pelton {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kEos = "<｜end▁of▁sentence｜>";

const std::vector<ToolSpec>& DsmlTools() {
  static const std::vector<ToolSpec> tools = {{"measure", ""}, {"stop", ""}};
  return tools;
}

// An answer as it stands in a prompt, from behind its first marker.
struct Answer {
  bool reasoning_open;
  std::string_view text;
};

// The answers that a prompt holds.
std::vector<Answer> AnswersOf(std::string_view prompt) {
  std::vector<Answer> answers;
  size_t end = 0;
  for (size_t begin = 0; (end = prompt.find(kEos, begin)) != prompt.npos;) {
    std::string_view part = prompt.substr(begin, end - begin);
    begin = end + kEos.size();
    for (const std::string_view before : {"<｜Assistant｜>", "</function_results>\n\n"}) {
      const size_t at = part.rfind(before);
      if (at != part.npos) part.remove_prefix(at + before.size());
    }
    const bool open = part.starts_with("<think>");
    EXPECT_TRUE(open || part.starts_with("</think>")) << part;
    part.remove_prefix(part.find('>') + 1);
    answers.push_back({open, part});
  }
  return answers;
}

std::string TextOr(const Json& message, const char* name) {
  return message.contains(name) && message[name].is_string() ? message[name].get<std::string>()
                                                             : "";
}

void ExpectMessage(const ParsedMessage& parsed, const Answer& answer, const Json& message) {
  EXPECT_EQ(parsed.content, TextOr(message, "content"));
  EXPECT_EQ(parsed.reasoning, answer.reasoning_open ? TextOr(message, "reasoning_content") : "");
  const Json calls = message.value("tool_calls", Json::array());
  ASSERT_EQ(parsed.calls.size(), calls.size());
  for (size_t i = 0; i < calls.size(); ++i) {
    EXPECT_EQ(parsed.calls[i].name, calls[i]["function"]["name"].get<std::string>());
    EXPECT_EQ(Json::parse(parsed.calls[i].arguments), calls[i]["function"]["arguments"]);
  }
}

// The prompts that DeepSeek's code wrote hold its answers, which have to be read as they were.
void ReadAnswersBack(const std::string& family, const std::string& path) {
  std::ifstream file(path);
  ASSERT_TRUE(file) << path;
  size_t num_calls = 0;
  for (std::string line; std::getline(file, line);) {
    const Json row = Json::parse(line);
    const std::string name = row["name"].get<std::string>();
    // Texts that hold markers, and answers that begin with none or another one.
    if (name.starts_with("special-in-text") || name.starts_with("task-")) continue;
    if (name == "developer-dropped") continue;
    SCOPED_TRACE(testing::Message() << family << ", " << name);
    const std::string prompt = row["text"].get<std::string>();
    const std::vector<Answer> answers = AnswersOf(prompt);
    size_t next = 0;
    for (const Json& message : row["messages"]) {
      if (message["role"] != "assistant") continue;
      ASSERT_LT(next, answers.size());
      const Answer& answer = answers[next++];
      const auto parse = [&](const std::vector<size_t>& cuts) {
        auto parser =
            std::move(MakeOutputParser(family, DsmlTools(), answer.reasoning_open).value());
        return ParseInChunks(*parser, answer.text, cuts);
      };
      const ParsedMessage whole = parse({});
      ExpectMessage(whole, answer, message);
      num_calls += whole.calls.size();
      std::vector<size_t> every;
      for (size_t cut = 0; cut <= answer.text.size(); ++cut) {
        ASSERT_EQ(parse({cut}), whole) << "cut at " << cut;
        every.push_back(cut);
      }
      ASSERT_EQ(parse(every), whole);
    }
    EXPECT_EQ(next, answers.size());
  }
  EXPECT_GT(num_calls, 20u);
}

TEST(DsmlCallsTest, AnswersInPromptsReadBack) {
  ReadAnswersBack("deepseek-v3.2", "tests/data/text/deepseek_chat/v3.2.jsonl");
  ReadAnswersBack("deepseek-v4", "tests/data/text/deepseek_chat/v4.jsonl");
}

}  // namespace
}  // namespace pelton
