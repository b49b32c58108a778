#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "text/tokenizer/charsmap.h"
#include "text/tokenizer/golden_vocab.h"
#include "text/tokenizer/tokenizer.h"

// Vocabularies that lie and texts that are made to hurt.
namespace pelton {
namespace {

StatusCode CodeOf(const Result<std::unique_ptr<Tokenizer>>& made) {
  EXPECT_EQ(made.ok(), made.status().message().empty());
  return made.status().code();
}

tokenizer::FakeMetadata SmallByteLevel() {
  tokenizer::FakeMetadata metadata;
  metadata.strings["tokenizer.ggml.model"] = "gpt2";
  metadata.strings["tokenizer.ggml.pre"] = "gpt-2";
  metadata.string_lists["tokenizer.ggml.tokens"] = {"a", "Ġ", "aa", "ĠĠ", "<e>"};
  metadata.integer_lists["tokenizer.ggml.token_type"] = {1, 1, 1, 1, 3};
  metadata.string_lists["tokenizer.ggml.merges"] = {"a a", "Ġ Ġ"};
  return metadata;
}

tokenizer::FakeMetadata SmallSentencePiece() {
  tokenizer::FakeMetadata metadata;
  metadata.strings["tokenizer.ggml.model"] = "llama";
  metadata.string_lists["tokenizer.ggml.tokens"] = {"<unk>", "<0x0A>", "\u2581", "a", "aa", "aaaa"};
  metadata.integer_lists["tokenizer.ggml.token_type"] = {2, 6, 1, 1, 1, 1};
  metadata.float_lists["tokenizer.ggml.scores"] = {0, 0, -5, -4, -3, -2};
  metadata.integers["tokenizer.ggml.unknown_token_id"] = 0;
  return metadata;
}

TEST(HostileMetadataTest, ByteTokensThatAreNone) {
  for (const char* text : {"<0x-1>", "<0x100>", "<0xZZ>", "<0x+1>", "<0x 1>", "<0x1>", "", "x",
                           "<0x99999999999999999999>"}) {
    tokenizer::FakeMetadata metadata = SmallSentencePiece();
    metadata.string_lists["tokenizer.ggml.tokens"][1] = text;
    EXPECT_EQ(CodeOf(TokenizerFromMetadata(metadata)), StatusCode::kDataLoss) << text;
  }
}

TEST(HostileMetadataTest, ListsOfOtherLengths) {
  for (const char* key : {"tokenizer.ggml.token_type", "tokenizer.ggml.scores"}) {
    tokenizer::FakeMetadata metadata = SmallSentencePiece();
    metadata.integer_lists["tokenizer.ggml.token_type"].resize(
        std::string_view(key).ends_with("type") ? 7 : 6, 1);
    metadata.float_lists["tokenizer.ggml.scores"].resize(
        std::string_view(key).ends_with("scores") ? 5 : 6);
    EXPECT_EQ(CodeOf(TokenizerFromMetadata(metadata)), StatusCode::kDataLoss) << key;
  }
  tokenizer::FakeMetadata metadata = SmallByteLevel();
  metadata.string_lists["tokenizer.ggml.tokens"].clear();
  EXPECT_EQ(CodeOf(TokenizerFromMetadata(metadata)), StatusCode::kDataLoss);
}

TEST(HostileMetadataTest, IdsOutOfRange) {
  for (const char* key : {"bos", "eos", "eot", "eom", "unknown", "padding"}) {
    for (const int64_t id :
         {int64_t{5}, int64_t{-2}, int64_t{1} << 40, std::numeric_limits<int64_t>::min()}) {
      tokenizer::FakeMetadata metadata = SmallByteLevel();
      metadata.integers["tokenizer.ggml." + std::string(key) + "_token_id"] = id;
      EXPECT_EQ(CodeOf(TokenizerFromMetadata(metadata)), StatusCode::kDataLoss) << key << id;
    }
    tokenizer::FakeMetadata metadata = SmallByteLevel();
    metadata.integers["tokenizer.ggml." + std::string(key) + "_token_id"] = -1;  // "none"
    EXPECT_EQ(CodeOf(TokenizerFromMetadata(metadata)), StatusCode::kOk) << key;
  }
}

TEST(HostileMetadataTest, KindsAndScoresThatDoNotExist) {
  tokenizer::FakeMetadata metadata = SmallSentencePiece();
  metadata.integer_lists["tokenizer.ggml.token_type"][3] = 7;
  EXPECT_EQ(CodeOf(TokenizerFromMetadata(metadata)), StatusCode::kDataLoss);
  metadata = SmallSentencePiece();
  metadata.integer_lists["tokenizer.ggml.token_type"][3] = -1;
  EXPECT_EQ(CodeOf(TokenizerFromMetadata(metadata)), StatusCode::kDataLoss);
  metadata = SmallSentencePiece();
  metadata.float_lists["tokenizer.ggml.scores"][3] = std::nanf("");
  EXPECT_EQ(CodeOf(TokenizerFromMetadata(metadata)), StatusCode::kDataLoss);
  for (const char* model : {"llama", "t5"}) {  // infinite ones only order strangely
    metadata = SmallSentencePiece();
    metadata.strings["tokenizer.ggml.model"] = model;
    metadata.float_lists["tokenizer.ggml.scores"] = {0, 0, INFINITY, -INFINITY, INFINITY, -3e38F};
    const auto made = TokenizerFromMetadata(metadata);
    ASSERT_TRUE(made.ok());
    EXPECT_EQ((*made)->Decode((*made)->Encode("aaaaa aa")), "aaaaa aa");
  }
}

TEST(HostileMetadataTest, MergesThatAreNone) {
  for (const char* merge : {"", " ", "a", "aa", "a ", "b a", "a b", "a aa", "a a a", "\xFF a"}) {
    tokenizer::FakeMetadata metadata = SmallByteLevel();
    metadata.string_lists["tokenizer.ggml.merges"].push_back(merge);
    EXPECT_EQ(CodeOf(TokenizerFromMetadata(metadata)), StatusCode::kDataLoss) << merge;
  }
}

TEST(HostileMetadataTest, MergesThatLeadNowhere) {
  // With an empty token a merge could give back one of its own parts, for ever.
  tokenizer::FakeMetadata metadata = SmallByteLevel();
  metadata.string_lists["tokenizer.ggml.tokens"].push_back("");
  metadata.integer_lists["tokenizer.ggml.token_type"].push_back(1);
  metadata.string_lists["tokenizer.ggml.merges"] = {"a ", "a a", "aa "};
  const auto made = TokenizerFromMetadata(metadata);
  ASSERT_TRUE(made.ok()) << made.status().message();
  EXPECT_EQ((*made)->Encode("aaa"), (std::vector<int32_t>{2, 0}));
}

TEST(HostileMetadataTest, UnknownModels) {
  tokenizer::FakeMetadata metadata = SmallByteLevel();
  metadata.strings["tokenizer.ggml.pre"] = "no such";
  EXPECT_EQ(CodeOf(TokenizerFromMetadata(metadata)), StatusCode::kUnimplemented);
  metadata.strings["tokenizer.ggml.model"] = "no such";
  EXPECT_EQ(CodeOf(TokenizerFromMetadata(metadata)), StatusCode::kUnimplemented);
  metadata.strings.clear();
  EXPECT_EQ(CodeOf(TokenizerFromMetadata(metadata)), StatusCode::kInvalidArgument);
}

TEST(HostileMetadataTest, LongSpecialTokens) {
  tokenizer::FakeMetadata metadata = SmallByteLevel();
  metadata.string_lists["tokenizer.ggml.tokens"][4] = std::string(1 << 20, '<');
  EXPECT_EQ(CodeOf(TokenizerFromMetadata(metadata)), StatusCode::kDataLoss);
}

// Quadratic time would take minutes here.
TEST(HostileTextTest, LongRuns) {
  std::vector<std::unique_ptr<Tokenizer>> tokenizers;
  tokenizer::FakeMetadata byte_level = SmallByteLevel();
  for (const char* pre : {"gpt-2", "smollm", "llama-bpe", "qwen2", "gpt-4o", "tekken",
                          "deepseek-llm", "deepseek-coder", "deepseek-v3"}) {
    byte_level.strings["tokenizer.ggml.pre"] = pre;
    auto made = TokenizerFromMetadata(byte_level);
    ASSERT_TRUE(made.ok()) << made.status().message();
    tokenizers.push_back(std::move(*made));
  }
  for (const char* model : {"llama", "t5"}) {
    tokenizer::FakeMetadata sentencepiece = SmallSentencePiece();
    sentencepiece.strings["tokenizer.ggml.model"] = model;
    auto made = TokenizerFromMetadata(sentencepiece);
    ASSERT_TRUE(made.ok()) << made.status().message();
    tokenizers.push_back(std::move(*made));
  }
  constexpr size_t kBytes = 1 << 16;
  for (const auto& tokenizer : tokenizers) {
    for (const char* unit : {"a", " ", "\n", "<", "<e", "\u0301", "\u4e2d", "\xFF", "A'", " \n"}) {
      for (const char* tail : {"", "a", "\u0301"}) {
        std::string text;
        while (text.size() < kBytes) text += unit;
        text += tail;
        EXPECT_LE(tokenizer->Encode(text).size(), 3 * text.size() + 1);
      }
    }
    EXPECT_EQ(tokenizer->Decode(tokenizer->Encode(std::string(26'001, 'a'))),
              std::string(26'001, 'a'));
  }
}

std::string JsonWith(const std::string& name, const std::string& value) {
  const auto pick = [&](const char* key, const char* usual) {
    return "\"" + std::string(key) + "\": " + (name == key ? value : usual);
  };
  return "{" + pick("added_tokens", "[]") + ", " + pick("normalizer", "null") + ", " +
         pick("pre_tokenizer", "null") + ", " + pick("post_processor", "null") + ", " +
         pick("decoder", "null") + ", " +
         pick("model", R"({"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": []})") +
         "}";
}

TEST(HostileJsonTest, IsRefused) {
  ASSERT_TRUE(TokenizerFromJson(JsonWith("", "")).ok());
  const std::vector<std::pair<const char*, const char*>> cases = {
      {"added_tokens", R"([{"id": 4000000000, "content": "x"}])"},
      {"added_tokens", R"([{"id": 100000, "content": "x"}])"},
      {"added_tokens", R"([{"id": -1, "content": "x"}])"},
      {"added_tokens", R"([{"id": "1", "content": "x"}])"},
      {"added_tokens", R"([{"id": 1}])"},
      {"added_tokens", "[1]"},
      {"normalizer", R"({"type": "Sequence"})"},
      {"normalizer", R"({"type": "Replace", "pattern": {"Regex": "("}, "content": ""})"},
      {"normalizer", R"({"type": "Replace", "pattern": {"String": ""}, "content": "x"})"},
      {"normalizer", R"({"type": "Precompiled", "precompiled_charsmap": "*"})"},
      {"normalizer", R"({"type": "Precompiled", "precompiled_charsmap": "AAAA"})"},
      {"normalizer", R"({"type": "Precompiled", "precompiled_charsmap": "/////wAAAAA="})"},
      {"pre_tokenizer", R"({"type": "Split", "pattern": {"Regex": "[a"}})"},
      {"pre_tokenizer", R"({"type": "Split"})"},
      {"pre_tokenizer", R"({"type": "Metaspace", "replacement": ""})"},
      {"post_processor", R"({"type": "BertProcessing", "cls": ["a", 9], "sep": ["b", 1]})"},
      {"post_processor", R"({"type": "BertProcessing"})"},
      {"post_processor", R"({"type": "TemplateProcessing", "single": [{}]})"},
      {"post_processor", R"({"type": "TemplateProcessing", "single":
          [{"SpecialToken": {"id": "a"}}], "special_tokens": {"a": {"ids": [3]}}})"},
      {"post_processor", R"({"type": "TemplateProcessing", "single":
          [{"SpecialToken": {"id": "a"}}], "special_tokens": {"a": {"ids": [-1]}}})"},
      {"model", "null"},
      {"model", R"({"type": "BPE"})"},
      {"model", R"({"type": "BPE", "vocab": {"a": 1.5}, "merges": []})"},
      {"model", R"({"type": "BPE", "vocab": {"a": 999999999}, "merges": []})"},
      {"model", R"({"type": "BPE", "vocab": {"a": 0}, "merges": ["a"]})"},
      {"model", R"({"type": "BPE", "vocab": {"a": 0}, "merges": ["a a"]})"},
      {"model", R"({"type": "BPE", "vocab": {"a": 0}, "merges": [["a", 1]]})"},
      {"model", R"({"type": "BPE", "vocab": {"a": 0}, "merges": [["a"]]})"},
      {"model", R"({"type": "Unigram", "vocab": [["a"]]})"},
      {"model", R"({"type": "Unigram", "vocab": [["a", "b"]]})"},
      {"model", R"({"type": "Unigram", "vocab": [1]})"},
      {"model", R"({"type": "Unigram", "vocab": [["a", 0]], "unk_id": 1})"},
      {"model", R"({"type": "Unigram", "vocab": [["a", 0]], "unk_id": -1})"},
      {"model", R"({"type": "WordPiece", "vocab": {"a": 0},
                    "max_input_chars_per_word": 999999999})"},
  };
  for (const auto& [name, value] : cases) {
    EXPECT_EQ(CodeOf(TokenizerFromJson(JsonWith(name, value))), StatusCode::kInvalidArgument)
        << name << ": " << value;
  }
  for (const char* name : {"normalizer", "pre_tokenizer", "post_processor", "decoder", "model"}) {
    EXPECT_EQ(CodeOf(TokenizerFromJson(JsonWith(name, R"({"type": "No such", "vocab": {}})"))),
              StatusCode::kUnimplemented)
        << name;
  }
}

TEST(HostileJsonTest, IsNoJson) {
  for (const char* text :
       {"", "{", "[]", "1", "null", "{}", "{\"model\": {}}", "\xFF", "{\"a\"}"}) {
    EXPECT_FALSE(TokenizerFromJson(text).ok()) << text;
  }
  EXPECT_EQ(CodeOf(TokenizerFromJson(JsonWith("", ""), "[")), StatusCode::kInvalidArgument);
  EXPECT_EQ(CodeOf(TokenizerFromJson(JsonWith("", ""), "[]")), StatusCode::kInvalidArgument);
  EXPECT_EQ(CodeOf(TokenizerFromJson(std::string(100'000, '['))), StatusCode::kInvalidArgument);
}

TEST(HostileJsonTest, DeepNesting) {
  for (const char* name : {"normalizer", "pre_tokenizer", "post_processor", "decoder"}) {
    const std::string key = name == std::string_view("normalizer")       ? "normalizers"
                            : name == std::string_view("pre_tokenizer")  ? "pretokenizers"
                            : name == std::string_view("post_processor") ? "processors"
                                                                         : "decoders";
    const std::string open = R"({"type": "Sequence", ")" + key + "\": [";
    std::string value;
    for (int i = 0; i < 100; ++i) value += open;
    for (int i = 0; i < 100; ++i) value += "]}";
    EXPECT_EQ(CodeOf(TokenizerFromJson(JsonWith(name, value))), StatusCode::kInvalidArgument)
        << name;
  }
}

TEST(HostileJsonTest, ExpressionsThatExplode) {
  const auto made = TokenizerFromJson(
      JsonWith("pre_tokenizer",
               R"({"type": "Split", "pattern": {"Regex": "(a+)+c"}, "behavior": "Isolated"})"));
  ASSERT_TRUE(made.ok()) << made.status().message();
  EXPECT_EQ((*made)->Encode(std::string(40, 'a') + "b").size(), 41u);
}

TEST(HostileModelTest, TruncatedAndDamaged) {
  // pieces: <unk> (unknown), a, b; trainer: BPE
  const std::string model(
      "\x0A\x09\x0A\x05<unk>\x18\x02"
      "\x0A\x08\x0A\x01"
      "a\x15\x00\x00\x80\xBF"
      "\x0A\x08\x0A\x01"
      "b\x15\x00\x00\x80\xBF"
      "\x12\x02\x18\x02",
      35);
  const auto parse = [](const std::string& bytes) {
    return TokenizerFromSentencePiece(std::as_bytes(std::span(bytes)));
  };
  const auto made = parse(model);
  ASSERT_TRUE(made.ok()) << made.status().message();
  EXPECT_EQ((*made)->Encode("ab"), (std::vector<int32_t>{0, 1, 2}));
  for (size_t size = 0; size < model.size(); ++size) {
    for (int flip = 0; flip < 256; flip += 5) {
      std::string damaged = model.substr(0, flip == 0 ? size : model.size());
      if (flip != 0) damaged[size] = static_cast<char>(damaged[size] ^ flip);
      const auto other = parse(damaged);
      if (other.ok()) (*other)->Decode((*other)->Encode("ab a"));
    }
  }
  EXPECT_EQ(CodeOf(parse("")), StatusCode::kDataLoss);
  EXPECT_EQ(CodeOf(parse("\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F")), StatusCode::kDataLoss);
}

TEST(HostileCharsmapTest, DamagedTriesStayInside) {
  uint64_t state = 1;
  const auto random = [&] {
    state = state * 6364136223846793005 + 1442695040888963407;
    return static_cast<uint32_t>(state >> 33);
  };
  for (int round = 0; round < 200; ++round) {
    std::vector<std::byte> bytes(4 + 64 * 4 + 16);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
    bytes[0] = static_cast<std::byte>(0);
    bytes[1] = static_cast<std::byte>(1);  // 256 bytes
    bytes[2] = bytes[3] = static_cast<std::byte>(0);
    auto map = tokenizer::Charsmap::FromBytes(bytes);
    ASSERT_TRUE(map.ok()) << map.status().message();
    tokenizer::SentencePieceNormalization options;
    options.charsmap = std::move(*map);
    const auto step = tokenizer::MakeSentencePieceNormalizer(std::move(options));
    for (int i = 0; i < 20; ++i) {
      const std::string text = {static_cast<char>(random() & 0x7F), 'a',
                                static_cast<char>(random() & 0x7F)};
      EXPECT_LE(step->Apply(text).size(), 1000u);
    }
  }
}

}  // namespace
}  // namespace pelton
