#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "text/grammar/grammar.h"
#include "text/grammar/test_vocabulary.h"

// Schemas, expressions and grammars with texts that match them or do not, and sets of tokens that
// may come next, all computed by reference libraries. They are not part of the repository:
// PELTON_GOLDEN names their folder, ../shared/golden is where they lie otherwise.
namespace pelton {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

fs::path Folder() {
  const char* golden = std::getenv("PELTON_GOLDEN");  // NOLINT(concurrency-mt-unsafe)
  return fs::path(golden != nullptr ? golden : "../shared/golden") / "text/structured";
}

std::vector<Json> Lines(const std::string& name) {
  std::ifstream file(Folder() / name);
  std::vector<Json> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(Json::parse(line));
  if (lines.empty()) std::cout << Folder() / name << ": these cases were not seen.\n";
  return lines;
}

bool Matches(const std::shared_ptr<const CompiledGrammar>& grammar, const std::string& text) {
  GrammarMatcher matcher(grammar);
  return (text.empty() || matcher.AcceptText(text)) && matcher.IsComplete();
}

// What is not supported although it could be: texts of a bounded length with characters that JSON
// writes with a backslash, patterns with such characters or beside a length, and whole numbers of
// more than 63 bits.
bool IsKnownLimit(const Json& schema) {
  const std::string text = schema.dump();
  const auto has = [&](const char* part) { return text.find(part) != std::string::npos; };
  return has("Length") || has("\\\"x\\\"") || has("9223372036854775");
}

TEST(GrammarGoldenTest, Schemas) {
  GrammarCompiler compiler(*ByteVocabulary(), 256);
  for (const Json& line : Lines("schemas.jsonl")) {
    const std::string name = line["name"];
    const auto grammar =
        compiler.Compile({GrammarSource::Kind::kJsonSchema, line["schema"].dump()});
    if (!grammar.ok()) {
      EXPECT_TRUE(line.value("may_refuse_schema", false) || IsKnownLimit(line["schema"]))
          << name << grammar.status().message();
      continue;
    }
    for (const Json& instance : line["instances"]) {
      const std::string text = instance["text"];
      const bool valid = instance["valid"];
      if (valid && instance.contains("may_refuse")) continue;
      if (valid && IsKnownLimit(line["schema"]) && text.find('\\') != std::string::npos) continue;
      EXPECT_EQ(Matches(*grammar, text), valid) << name << ": " << text << " " << line["schema"];
    }
  }
}

TEST(GrammarGoldenTest, Refusals) {
  GrammarCompiler compiler(*ByteVocabulary(), 256);
  for (const Json& line : Lines("schemas_invalid.jsonl")) {
    const auto result = compiler.Compile({GrammarSource::Kind::kJsonSchema, line["schema_text"]});
    EXPECT_EQ(result.status().code(), StatusCode::kInvalidArgument) << line["name"];
  }
  for (const Json& line : Lines("regexes_invalid.jsonl")) {
    const auto result = compiler.Compile({GrammarSource::Kind::kRegex, line["pattern"]});
    EXPECT_EQ(result.status().code(), StatusCode::kInvalidArgument) << line["pattern"];
  }
  for (const Json& line : Lines("grammars_invalid.jsonl")) {
    const auto result = compiler.Compile({GrammarSource::Kind::kEbnf, line["grammar"]});
    EXPECT_EQ(result.status().code(), StatusCode::kInvalidArgument) << line["grammar"];
  }
}

TEST(GrammarGoldenTest, Expressions) {
  GrammarCompiler compiler(*ByteVocabulary(), 256);
  const auto check = [&](GrammarSource::Kind kind, const Json& line, const std::string& source) {
    const auto grammar = compiler.Compile({kind, source});
    ASSERT_TRUE(grammar.ok()) << source << ": " << grammar.status().message();
    for (const Json& one : line["strings"]) {
      EXPECT_EQ(Matches(*grammar, one["text"]), one["match"].get<bool>()) << source << one["text"];
    }
  };
  for (const Json& line : Lines("regexes.jsonl")) {
    check(GrammarSource::Kind::kRegex, line, line["pattern"]);
  }
  for (const Json& line : Lines("grammars.jsonl")) {
    check(GrammarSource::Kind::kEbnf, line, line["grammar"]);
  }
}

}  // namespace
}  // namespace pelton
