#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <random>
#include <set>
#include <sstream>
#include <string>

#include "text/parsers/output_parser.h"
#include "text/parsers/parsed_message.h"

// Outputs of models whose messages are known because the texts were built around them. They are not
// part of the repository: PELTON_GOLDEN names their folder, ../shared/golden is where they lie
// otherwise.
namespace pelton {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

constexpr size_t kNumOutputs = 365;
constexpr size_t kNumTemplates = 62;

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

bool IsSpace(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

// The text without white space at its ends; with `collapse`, inner runs become one space.
std::string Normalized(const std::string& text, bool collapse) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (!IsSpace(text[i])) {
      out += text[i];
    } else if (!collapse) {
      out += text[i];
    } else if (out.empty() || out.back() != ' ') {
      out += ' ';
    }
  }
  while (!out.empty() && IsSpace(out.back())) out.pop_back();
  out.erase(0, std::min(out.find_first_not_of(" \n\r\t"), out.size()));
  return out;
}

std::string TextOf(const Json& value) { return value.is_string() ? value.get<std::string>() : ""; }

bool Matches(const ParsedMessage& message, const Json& expect, bool collapse) {
  if (Normalized(message.content, collapse) != Normalized(TextOf(expect["content"]), collapse) ||
      Normalized(message.reasoning, collapse) !=
          Normalized(TextOf(expect["reasoning_content"]), collapse) ||
      message.calls.size() != expect["tool_calls"].size()) {
    return false;
  }
  for (size_t i = 0; i < message.calls.size(); ++i) {
    const Json& call = expect["tool_calls"][i];
    // Compared as values: the order of the keys does not count.
    if (message.calls[i].name != TextOf(call["name"]) ||
        nlohmann::json::parse(message.calls[i].arguments, nullptr, false) !=
            nlohmann::json::parse(call["arguments"].dump())) {
      return false;
    }
  }
  return true;
}

std::string Describe(const ParsedMessage& message) {
  Json out = {{"content", message.content}, {"reasoning", message.reasoning}};
  for (const ParsedMessage::Call& call : message.calls) {
    out["calls"].push_back({call.name, call.arguments});
  }
  return out.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::vector<ToolSpec> Tools(const fs::path& folder) {
  std::vector<ToolSpec> tools;
  for (const Json& tool : Json::parse(ReadFile(folder / "tools.json"))) {
    const Json& function = tool["function"];
    tools.push_back({function["name"].get<std::string>(), function["parameters"].dump()});
  }
  return tools;
}

void CheckSplits(const std::string& family, const std::vector<ToolSpec>& tools, bool open,
                 const std::string& text, const ParsedMessage& whole) {
  const auto parse = [&](const std::vector<size_t>& cuts) {
    auto parser = std::move(MakeOutputParser(family, tools, open).value());
    return ParseInChunks(*parser, text, cuts);
  };
  std::vector<size_t> every(text.size());
  std::iota(every.begin(), every.end(), size_t{0});
  ASSERT_EQ(parse(every), whole) << "one byte at a time: " << Describe(parse(every));
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    ASSERT_EQ(parse({cut}), whole) << "cut at " << cut;
  }
  std::mt19937 random(static_cast<unsigned>(text.size()));
  for (int i = 0; i < 20; ++i) {
    std::set<size_t> cuts;
    for (size_t n = random() % 8; n > 0; --n) cuts.insert(random() % (text.size() + 1));
    ASSERT_EQ(parse({cuts.begin(), cuts.end()}), whole) << "random cuts";
  }
}

TEST(GoldenTest, Outputs) {
  const fs::path folder = TextFolder() / "toolcalls";
  if (!fs::exists(folder)) {
    GTEST_SKIP() << kNumOutputs << " golden cases not seen: there is no " << folder;
  }
  const std::vector<ToolSpec> tools = Tools(folder);
  size_t num_cases = 0;
  for (const std::string_view family : OutputParserFamilies()) {
    // Neither is in the set: dsml_calls_test.cc writes their calls.
    if (family == "deepseek-v3.2" || family == "deepseek-v4") continue;
    std::ifstream file(folder / (std::string(family) + ".jsonl"));
    ASSERT_TRUE(file) << family;
    for (std::string line; std::getline(file, line);) {
      const Json row = Json::parse(line);
      SCOPED_TRACE(std::string(family) + ", " + row["name"].get<std::string>());
      const bool has_tools = !row.contains("tools") || row["tools"].get<bool>();
      const bool open = row["reasoning_open"].get<bool>();
      const std::vector<ToolSpec> given = has_tools ? tools : std::vector<ToolSpec>();
      const std::string text = row["text"].get<std::string>();
      auto parser = MakeOutputParser(family, given, open);
      ASSERT_TRUE(parser.ok()) << parser.status().message();
      const ParsedMessage whole = ParseInChunks(**parser, text);
      const bool collapse = row["compare"] == "collapse";
      bool matches = Matches(whole, row["expect"], collapse);
      if (row.contains("also_ok")) {
        for (const Json& other : row["also_ok"]) {
          matches = matches || Matches(whole, other, collapse);
        }
      }
      EXPECT_TRUE(matches) << "text:     " << row["text"].dump()
                           << "\nfound:    " << Describe(whole)
                           << "\nexpected: " << row["expect"].dump();
      CheckSplits(std::string(family), given, open, text, whole);
      ++num_cases;
    }
  }
  EXPECT_GE(num_cases, kNumOutputs);
}

// Templates that are not named here write no calls, or in a form that no family reads.
const std::map<std::string_view, std::string_view> kFamilyOf = {
    {"GLM-4.6", "glm"},
    {"GLM-4.7-Flash", "glm"},
    {"vllm-tool_chat_template_glm4", "glm"},
    {"Kimi-K2-Instruct", "kimi-k2"},
    {"Kimi-K2-Thinking", "kimi-k2"},
    {"Mistral-Small-3.2-24B-Instruct-2506", "mistral-v11"},
    {"mistralai-Ministral-3-14B-Reasoning-2512", "mistral-v11"},
    {"mistralai-Mistral-Nemo-Instruct-2407", "mistral"},
    {"vllm-tool_chat_template_mistral", "mistral"},
    {"vllm-tool_chat_template_mistral3", "mistral"},
    {"vllm-tool_chat_template_mistral_parallel", "mistral"},
    {"Qwen-QwQ-32B", "hermes"},
    {"Qwen-Qwen2.5-7B-Instruct", "hermes"},
    {"Qwen-Qwen3-0.6B", "hermes"},
    {"ibm-granite-granite-4.0", "hermes"},
    {"ibm-granite-granite-4.1", "hermes"},
    {"vllm-tool_chat_template_hermes", "hermes"},
    {"Qwen3-Coder", "qwen3-coder"},
    {"Qwen3.5-4B", "qwen3-coder"},
    {"deepseek-ai-DeepSeek-R1-Distill-Qwen-32B", "deepseek-r1"},
    {"llama-cpp-deepseek-r1", "deepseek-r1"},
    {"vllm-tool_chat_template_deepseekr1", "deepseek-r1"},
    {"vllm-tool_chat_template_deepseekv3", "deepseek-v3"},
    {"deepseek-ai-DeepSeek-V3.1", "deepseek-v3.1"},
    {"deepseek-ai-DeepSeek-V3.2", "deepseek-v3.2"},
    {"vllm-tool_chat_template_deepseekv31", "deepseek-v3.1"},
    {"ibm-granite-granite-3.3-2B-Instruct", "granite"},
    {"vllm-tool_chat_template_granite", "granite"},
    {"openai-gpt-oss-120b", "gpt-oss"},
    {"vllm-tool_chat_template_llama3.1_json", "llama3-json"},
    {"vllm-tool_chat_template_llama3.2_json", "llama3-json"},
    {"vllm-tool_chat_template_llama4_json", "llama3-json"},
    {"vllm-tool_chat_template_llama3.2_pythonic", "llama-pythonic"},
    {"vllm-tool_chat_template_llama4_pythonic", "llama-pythonic"},
    {"vllm-tool_chat_template_gemma3_pythonic", "llama-pythonic"},
};

TEST(GoldenTest, FamiliesOfTemplates) {
  const fs::path folder = TextFolder() / "chat" / "templates";
  if (!fs::exists(folder)) {
    GTEST_SKIP() << kNumTemplates << " golden cases not seen: there is no " << folder;
  }
  size_t num_templates = 0, num_named = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().stem().string();
    const auto found = kFamilyOf.find(name);
    const std::string_view expected = found == kFamilyOf.end() ? "" : found->second;
    EXPECT_EQ(FamilyOfTemplate(ReadFile(entry.path())), expected) << name;
    ++num_templates;
    num_named += found != kFamilyOf.end();
  }
  EXPECT_GE(num_templates, kNumTemplates);
  EXPECT_EQ(num_named, kFamilyOf.size());
}

}  // namespace
}  // namespace pelton
