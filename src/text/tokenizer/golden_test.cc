#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "text/tokenizer/golden_vocab.h"
#include "text/tokenizer/tokenizer.h"
#include "text/tokenizer/utf8.h"

// Cases whose expectations reference implementations computed. They are not part of the
// repository: PELTON_GOLDEN names their folder, ../shared/golden is where they lie otherwise.
namespace pelton {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

constexpr size_t kNumTexts = 9936;
constexpr size_t kNumSequences = 1840;

fs::path Folder() {
  const char* golden = std::getenv("PELTON_GOLDEN");  // NOLINT(concurrency-mt-unsafe)
  return fs::path(golden != nullptr ? golden : "../shared/golden") / "text" / "tokenizers";
}

std::vector<Json> ReadLines(const fs::path& path) {
  const std::string text = tokenizer::ReadTestFile(path);
  std::vector<Json> rows;
  for (size_t pos = 0; pos < text.size();) {
    const size_t end = std::min(text.find('\n', pos), text.size());
    if (end > pos) rows.push_back(Json::parse(text.substr(pos, end - pos)));
    pos = end + 1;
  }
  return rows;
}

std::string InputOf(const Json& row) {
  if (row.contains("text")) return row["text"];
  std::string input;
  if (row.contains("repeat")) {
    const std::string unit = row["repeat"][0];
    for (int i = 0; i < row["repeat"][1].get<int>(); ++i) input += unit;
    return input;
  }
  const std::string hex = row.at("bytes");
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    unsigned byte = 0;
    std::from_chars(hex.data() + i, hex.data() + i + 2, byte, 16);
    input += static_cast<char>(byte);
  }
  return input;
}

std::vector<int32_t> IdsOf(const Json& list) {
  if (list.is_array()) return list.get<std::vector<int32_t>>();
  std::vector<int32_t> ids;
  if (list.contains("rle")) {
    for (const Json& run : list["rle"]) ids.insert(ids.end(), run[1].get<size_t>(), run[0]);
    return ids;
  }
  const std::vector<int32_t> cycle = list.at("cycle");
  for (int i = 0; i < list.at("count").get<int>(); ++i) {
    ids.insert(ids.end(), cycle.begin(), cycle.end());
  }
  const std::vector<int32_t> tail = list.value("tail", std::vector<int32_t>());
  ids.insert(ids.end(), tail.begin(), tail.end());
  return ids;
}

// The right ids of `row` for this vocabulary file.
Json ExpectedIds(const Json& row, const std::string& file) {
  if (file == "unigram-bytes/tokenizer.json" && row["name"] == "long-387") {
    // Hugging Face's sums in double precision, tokenizers 0.23.3; the set has no ids of its for
    // repeated texts.
    return Json::parse(R"({"rle": [[259, 1], [284, 1250]]})");
  }
  if (file.ends_with("/tokenizer.json") && row.contains("ids_hf")) return row["ids_hf"];
  return row["ids"];
}

std::vector<std::string> Deltas(const Tokenizer& tokenizer, std::span<const int32_t> ids) {
  StreamDecoder decoder(tokenizer);
  std::vector<std::string> deltas;
  for (const int32_t id : ids) deltas.push_back(decoder.Feed(id));
  deltas.push_back(decoder.Flush());
  return deltas;
}

std::string Joined(const std::vector<std::string>& parts) {
  std::string all;
  for (const std::string& part : parts) all += part;
  return all;
}

// What differs from the expectation, one word each.
std::vector<std::string> CheckText(const Tokenizer& tokenizer, const std::string& file,
                                   const Json& row) {
  std::vector<std::string> wrong;
  const auto expect = [&](bool right, const char* what) {
    if (!right) wrong.push_back(row["name"].get<std::string>() + ":" + what);
  };
  const std::string input = InputOf(row);
  const Json expected = ExpectedIds(row, file);
  const std::vector<int32_t> ids = IdsOf(expected);
  const bool other_ids = expected != row["ids"];
  const std::vector<int32_t> ids_added =
      row.contains("ids_added") && !other_ids ? IdsOf(row["ids_added"]) : ids;
  expect(tokenizer.Encode(input) == ids, "ids");
  if (!other_ids) {
    expect(tokenizer.Encode(input, {.add_special = true}) == ids_added, "ids_added");
    const Json plain = row.contains("ids_plain") ? row["ids_plain"] : row["ids"];
    expect(tokenizer.Encode(input, {.parse_special = false}) == IdsOf(plain), "ids_plain");
  }
  const std::string decoded = tokenizer.Decode(ids_added);
  if (row.contains("decode") && !other_ids) {
    // `true` stands for the input, as far as it is UTF-8.
    std::string replaced;
    const std::string valid(tokenizer::ReplaceInvalidUtf8(input, &replaced));
    const auto text = [&](const char* key) {
      return row[key].is_boolean() ? valid : row[key].get<std::string>();
    };
    expect(decoded == text("decode"), "decode");
    if (row.contains("decode_keep")) {
      expect(tokenizer.Decode(ids_added, false) == text("decode_keep"), "decode_keep");
    }
  }
  if (row.contains("decode_ok")) expect((decoded == input) == row["decode_ok"], "decode_ok");
  const std::vector<std::string> deltas = Deltas(tokenizer, ids);
  if (row.contains("stream") && !other_ids) expect(Json(deltas) == row["stream"], "stream");
  expect(Joined(deltas) == tokenizer.Decode(ids), "joined");
  return wrong;
}

Result<std::unique_ptr<Tokenizer>> Load(const fs::path& path) {
  const std::string bytes = tokenizer::ReadTestFile(path);
  if (path.extension() == ".gguf") {
    const auto metadata = tokenizer::ReadGgufMetadata(std::as_bytes(std::span(bytes)));
    EXPECT_NE(metadata, nullptr) << path;
    return TokenizerFromMetadata(*metadata);
  }
  if (path.extension() == ".model") {
    return TokenizerFromSentencePiece(std::as_bytes(std::span(bytes)));
  }
  // The SentencePiece families' files say nothing about BOS and EOS.
  static const std::map<std::string, std::string> configs = {
      {"gemma-spm", R"({"bos_token": "<s>", "eos_token": "</s>", "add_bos_token": true})"},
      {"llama-spm", R"({"bos_token": "<s>", "eos_token": "</s>", "add_bos_token": true})"},
      {"unigram-bytes", R"({"bos_token": "<s>", "eos_token": "</s>", "add_bos_token": true})"},
      {"t5-unigram", R"({"eos_token": {"content": "</s>"}, "add_eos_token": true})"},
  };
  const auto config = configs.find(path.parent_path().filename());
  return TokenizerFromJson(bytes, config == configs.end() ? std::string() : config->second);
}

void ExpectNothingWrong(const std::vector<std::string>& wrong, size_t cases) {
  std::string names;
  for (size_t i = 0; i < wrong.size() && i < 20; ++i) names += " " + wrong[i];
  EXPECT_TRUE(wrong.empty()) << wrong.size() << " mismatches in " << cases << " cases:" << names;
}

class GoldenTokenizerTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (fs::exists(Folder())) return;
    GTEST_SKIP() << Folder() << " does not exist: " << kNumTexts << " texts and " << kNumSequences
                 << " id sequences were not tried";
  }
};

TEST_P(GoldenTokenizerTest, AgreesWithTheReference) {
  const fs::path path = Folder() / GetParam();
  const auto tokenizer = Load(path);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().message();
  std::vector<std::string> wrong;
  size_t cases = 0;
  for (const Json& row : ReadLines(path.parent_path() / "cases.jsonl")) {
    const std::vector<std::string> here = CheckText(**tokenizer, GetParam(), row);
    wrong.insert(wrong.end(), here.begin(), here.end());
    ++cases;
  }
  EXPECT_EQ(cases, 432u);
  ExpectNothingWrong(wrong, cases);
}

TEST_P(GoldenTokenizerTest, DecodesAnyIds) {
  const fs::path path = Folder() / GetParam();
  const auto tokenizer = Load(path);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().message();
  std::vector<std::string> wrong;
  size_t cases = 0;
  for (const Json& row : ReadLines(path.parent_path() / "decode.jsonl")) {
    const std::vector<int32_t> ids = IdsOf(row["ids"]);
    const std::string name = row["name"];
    if ((*tokenizer)->Decode(ids) != row["text"].get<std::string>())
      wrong.push_back(name + ":text");
    if ((*tokenizer)->Decode(ids, false) != row["text_keep"].get<std::string>())
      wrong.push_back(name + ":text_keep");
    if (Json(Deltas(**tokenizer, ids)) != row["stream"]) wrong.push_back(name + ":stream");
    ++cases;
  }
  EXPECT_EQ(cases, 80u);
  ExpectNothingWrong(wrong, cases);
}

// `unit` as often as makes it long.
std::string LongRun(std::string_view unit) {
  std::string text;
  while (text.size() < (16 << 10)) text += unit;
  return text;
}

// Texts that become few tokens for their size.
std::vector<std::string> DenseTexts(const Tokenizer& tokenizer) {
  std::string_view longest;
  std::vector<std::string> texts;
  for (int32_t id = 0; static_cast<size_t>(id) < tokenizer.vocab_size(); ++id) {
    const std::string_view piece = tokenizer.Piece(id);
    if (piece.size() > longest.size()) longest = piece;
    if (tokenizer.IsSpecial(id)) texts.push_back(LongRun(std::string(piece) + "   \n"));
  }
  texts.push_back(LongRun(longest));
  for (const std::string_view unit : {" ",
                                      "\n",
                                      "\t",
                                      "\v",
                                      "\u3000",
                                      "a",
                                      "a ",
                                      "a\v",
                                      ".",
                                      "=",
                                      "word ",
                                      "\u0301",
                                      "e\u0302\u0301",
                                      "\u212a",
                                      "\u1fef",
                                      "\u2126\u0313\u0300\u0345",
                                      "\u1100\u1161\u11a8",
                                      "\u4e2d",
                                      "\u00ad",
                                      "\u200b",
                                      "\x01",
                                      "\x7f",
                                      "\xff",
                                      "\U0001f600",
                                      "\u2581",
                                      "\U0001d400",
                                      "\ufdfa",
                                      "a\u0301 \u0130 ",
                                      "<pad>",
                                      "x[MASK] y "}) {
    texts.push_back(LongRun(unit));
    texts.emplace_back(unit);
  }
  return texts;
}

TEST_P(GoldenTokenizerTest, NoTextHasFewerTokensThanIsSaid) {
  const fs::path path = Folder() / GetParam();
  const auto made = Load(path);
  ASSERT_TRUE(made.ok()) << made.status().message();
  const Tokenizer& tokenizer = **made;
  std::vector<std::string> texts = DenseTexts(tokenizer);
  for (const Json& row : ReadLines(path.parent_path() / "cases.jsonl")) {
    texts.push_back(InputOf(row));
  }
  texts.emplace_back();
  for (const std::string& text : texts) {
    const size_t least = tokenizer.MinTokens(text);
    for (const bool parse_special : {false, true}) {
      EXPECT_LE(least, tokenizer.Encode(text, {.parse_special = parse_special}).size())
          << text.substr(0, 40);
    }
  }
  // Its cleaning, and the lack of tokens for bytes, may make nothing of a text.
  const bool bounded = !std::string_view(GetParam()).starts_with("t5-");
  EXPECT_EQ(tokenizer.MinTokens(LongRun("word ")) > 0, bounded);
}

// Gemma's vocabulary as newer files have it: with a list of merges instead of scores.
TEST(GoldenGemmaTest, MergesByRankAgreeWithScores) {
  const fs::path folder = Folder() / "gemma-spm";
  if (!fs::exists(folder)) GTEST_SKIP() << folder << " does not exist: 432 texts were not tried";
  const std::string bytes = tokenizer::ReadTestFile(folder / "vocab.gguf");
  const auto metadata = tokenizer::ReadGgufMetadata(std::as_bytes(std::span(bytes)));
  ASSERT_NE(metadata, nullptr);
  metadata->strings["tokenizer.ggml.model"] = "gemma4";
  metadata->strings.erase(metadata->strings.find("tokenizer.ggml.pre"));
  const Json json = Json::parse(tokenizer::ReadTestFile(folder / "tokenizer.json"));
  for (const Json& merge : json["model"]["merges"]) {
    metadata->string_lists["tokenizer.ggml.merges"].push_back(merge[0].get<std::string>() + " " +
                                                              merge[1].get<std::string>());
  }
  const auto tokenizer = TokenizerFromMetadata(*metadata);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().message();
  std::vector<std::string> wrong;
  for (const Json& row : ReadLines(folder / "cases.jsonl")) {
    const std::vector<std::string> here = CheckText(**tokenizer, "gemma-spm/vocab.gguf", row);
    wrong.insert(wrong.end(), here.begin(), here.end());
  }
  ExpectNothingWrong(wrong, 432);
}

const char* const kVocabularies[] = {
    "bert-cased/tokenizer.json",
    "bert-real/vocab.gguf",
    "bert-uncased/tokenizer.json",
    "bert-uncased/vocab.gguf",
    "byte-only/tokenizer.json",
    "deepseek-coder/tokenizer.json",
    "deepseek-coder/vocab.gguf",
    "deepseek-llm/tokenizer.json",
    "deepseek-llm/vocab.gguf",
    "deepseek-v3/tokenizer.json",
    "deepseek-v3/vocab.gguf",
    "deepseek-v3-real/tokenizer.json",
    "gemma-spm/tokenizer.json",
    "gemma-spm/tokenizer.model",
    "gemma-spm/vocab.gguf",
    "gpt2/tokenizer.json",
    "gpt2/vocab.gguf",
    "gpt2-real/vocab.gguf",
    "gpt4o/tokenizer.json",
    "gpt4o/vocab.gguf",
    "llama-spm/tokenizer.json",
    "llama-spm/tokenizer.model",
    "llama-spm/vocab.gguf",
    "llama3/tokenizer.json",
    "llama3/vocab.gguf",
    "phi3-real/vocab.gguf",
    "qwen2/tokenizer.json",
    "qwen2/vocab.gguf",
    "qwen2-real/vocab.gguf",
    "qwen35/tokenizer.json",
    "qwen35/vocab.gguf",
    "smollm-small/tokenizer.json",
    "smollm-small/vocab.gguf",
    "smollm2/vocab.gguf",
    "t5-unigram/tokenizer.json",
    "t5-unigram/tokenizer.model",
    "t5-unigram/vocab.gguf",
    "tekken/tokenizer.json",
    "tekken/vocab.gguf",
    "unigram-bytes/tokenizer.json",
    "unigram-bytes/tokenizer.model",
};

INSTANTIATE_TEST_SUITE_P(Families, GoldenTokenizerTest, ::testing::ValuesIn(kVocabularies),
                         [](const auto& test) {
                           std::string name = test.param;
                           for (char& c : name) {
                             if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
                           }
                           return name;
                         });

}  // namespace
}  // namespace pelton
