#include "text/tokenizer/tokenizer.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "text/tokenizer/golden_vocab.h"
#include "text/tokenizer/known_splits.h"
#include "text/tokenizer/regex.h"
#include "text/tokenizer/unicode.h"

// Vocabularies of a few tokens, whose right answers can be worked out by hand.
namespace pelton {
namespace {

using Ids = std::vector<int32_t>;

constexpr int32_t kNormal = 1;
constexpr int32_t kUnknown = 2;
constexpr int32_t kControl = 3;
constexpr int32_t kUserDefined = 4;
constexpr int32_t kByte = 6;

std::unique_ptr<Tokenizer> Make(const VocabMetadata& metadata) {
  Result<std::unique_ptr<Tokenizer>> made = TokenizerFromMetadata(metadata);
  EXPECT_TRUE(made.ok()) << made.status().message();
  return made.ok() ? std::move(*made) : nullptr;
}

std::unique_ptr<Tokenizer> MakeJson(const std::string& json, const std::string& config = {}) {
  Result<std::unique_ptr<Tokenizer>> made = TokenizerFromJson(json, config);
  EXPECT_TRUE(made.ok()) << made.status().message();
  return made.ok() ? std::move(*made) : nullptr;
}

tokenizer::FakeMetadata ByteLevel(const std::string& pre) {
  tokenizer::FakeMetadata metadata;
  metadata.strings["tokenizer.ggml.model"] = "gpt2";
  metadata.strings["tokenizer.ggml.pre"] = pre;
  //  0-7: bytes; 8-13: merges; 14-16: added. "Ġ" is a space, "Ã" and "©" are the bytes of "é".
  metadata.string_lists["tokenizer.ggml.tokens"] = {
      "a",  "b",  "c",   "Ġ",  "1",    "2",       "Ã",       "©",       "aa",
      "ab", "Ġa", "abc", "Ã©", "Ġabc", "<|end|>", "<think>", "<|end|>x"};
  metadata.integer_lists["tokenizer.ggml.token_type"] = {1, 1, 1, 1, 1, 1, 1, 1, 1,
                                                         1, 1, 1, 1, 1, 3, 4, 3};
  metadata.string_lists["tokenizer.ggml.merges"] = {"a a", "a b", "Ġ a", "ab c", "Ã ©"};
  metadata.integers["tokenizer.ggml.eos_token_id"] = 14;
  return metadata;
}

TEST(ByteLevelTest, MergesByRankThenLeftmost) {
  const auto t = Make(ByteLevel("gpt-2"));
  EXPECT_EQ(t->Encode("aaa"), (Ids{8, 0}));      // the left pair first
  EXPECT_EQ(t->Encode("aab"), (Ids{8, 1}));      // "a a" before "a b"
  EXPECT_EQ(t->Encode("abc"), (Ids{11}));        // "ab" + "c"
  EXPECT_EQ(t->Encode("b ab"), (Ids{1, 3, 9}));  // "a b" before "Ġ a"
  EXPECT_EQ(t->Encode(" a"), (Ids{10}));
  EXPECT_EQ(t->Encode("\u00e9"), (Ids{12}));
  EXPECT_EQ(t->Encode("azb"), (Ids{9}));  // "z" has no token and vanishes before the merges
  EXPECT_EQ(t->Encode(""), (Ids{}));
  EXPECT_EQ(t->Decode(Ids{8, 10, 12, 11}), "aa a\u00e9abc");
}

TEST(ByteLevelTest, WholeWordsFirstIfMergesAreIgnored) {
  // "Ġabc" is a token that no merge reaches.
  EXPECT_EQ(Make(ByteLevel("gpt-2"))->Encode(" abc"), (Ids{3, 11}));
  EXPECT_EQ(Make(ByteLevel("llama-bpe"))->Encode(" abc"), (Ids{13}));
}

TEST(ByteLevelTest, FamiliesSplitNumbersDifferently) {
  tokenizer::FakeMetadata metadata = ByteLevel("gpt-2");
  metadata.string_lists["tokenizer.ggml.tokens"].push_back("12");
  metadata.integer_lists["tokenizer.ggml.token_type"].push_back(kNormal);
  metadata.string_lists["tokenizer.ggml.merges"].push_back("1 2");
  EXPECT_EQ(Make(metadata)->Encode("1212"), (Ids{17, 17}));
  for (const char* pre : {"smollm", "qwen2", "tekken", "deepseek-llm", "deepseek-coder"}) {
    metadata.strings["tokenizer.ggml.pre"] = pre;
    EXPECT_EQ(Make(metadata)->Encode("1212"), (Ids{4, 5, 4, 5})) << pre;
  }
  for (const char* pre : {"llama-bpe", "gpt-4o", "deepseek-v3"}) {  // three digits at a time
    metadata.strings["tokenizer.ggml.pre"] = pre;
    EXPECT_EQ(Make(metadata)->Encode("1212"), (Ids{17, 4, 5})) << pre;
  }
}

TEST(KnownSplitsTest, EveryNameWorks) {
  for (const char* name :
       {"default",  "gpt-2",    "smollm", "llama-bpe", "glm4",           "qwen2",
        "hunyuan",  "qwen35",   "gpt-4o", "llama4",    "tekken",         "deepseek-v3",
        "kimi-k2",  "falcon",   "bloom",  "viking",    "bailingmoe",     "seed-coder",
        "minicpm5", "superbpe", "lfm2",   "olmo",      "deepseek-coder", "deepseek-llm"}) {
    const auto t = Make(ByteLevel(name));
    ASSERT_NE(t, nullptr) << name;
    EXPECT_EQ(t->Decode(t->Encode("ab 1 a\u00e9")), "ab 1 a\u00e9") << name;
  }
  for (const char* name : {"", " ", "gpt", "gpt-2 phi-2", "gpt-2 "}) {
    EXPECT_FALSE(TokenizerFromMetadata(ByteLevel(name)).ok()) << name;
  }
}

TEST(KnownSplitsTest, CutWhereTheirExpressionsDo) {
  using Words = std::vector<std::string>;
  const auto split = [](const char* name, std::string_view text) {
    Result<tokenizer::KnownSplit> known = tokenizer::MakeKnownSplit(name);
    EXPECT_TRUE(known.ok()) << known.status().message();
    const tokenizer::Pieces pieces = known->pre_tokenizer.Split(text, true);
    return Words(pieces.views.begin(), pieces.views.end());
  };
  EXPECT_EQ(split("gpt-2", "it's  12ab\n"), (Words{"it", "'s", " ", " 12", "ab", "\n"}));
  EXPECT_EQ(split("llama-bpe", "it'S 1234"), (Words{"it", "'S", " ", "123", "4"}));
  EXPECT_EQ(split("gpt-4o", "aBc's/\n"), (Words{"a", "Bc's", "/\n"}));
  EXPECT_EQ(split("kimi-k2", "ab\u4e2d\u6587c"), (Words{"ab", "\u4e2d\u6587", "c"}));
  EXPECT_EQ(split("superbpe", "1234567"), (Words{"1", "234", "567"}));
  EXPECT_EQ(split("deepseek-llm", "a  \u0301 \n1  "),
            (Words{"a", "  \u0301", " ", "\n", "1", "  "}));
  EXPECT_EQ(split("viking", "ab12, c"), (Words{"ab", "1", "2", ",", " c"}));
}

TEST(ByteLevelTest, ComposesForTheFamiliesThatWantIt) {
  const std::string decomposed = "e\u0301";
  EXPECT_EQ(Make(ByteLevel("qwen2"))->Encode(decomposed), (Ids{12}));
  EXPECT_EQ(Make(ByteLevel("gpt-2"))->Encode(decomposed), (Ids{}));
}

TEST(SpecialTokensTest, LongestAtTheLeftmostPlace) {
  const auto t = Make(ByteLevel("gpt-2"));
  EXPECT_EQ(t->Encode("a<|end|>b"), (Ids{0, 14, 1}));
  EXPECT_EQ(t->Encode("a<|end|>x"), (Ids{0, 16}));
  EXPECT_EQ(t->Encode("<|end|<|end|>"), (Ids{14}));
  EXPECT_EQ(t->Encode("a<think>b"), (Ids{0, 15, 1}));
  // As text only what is not special is recognised; "<|end|>" has no tokens here.
  EXPECT_EQ(t->Encode("a<|end|>b<think>", {.parse_special = false}), (Ids{0, 1, 15}));
  EXPECT_EQ(t->Decode(Ids{0, 14, 15, 1}), "a<think>b");
  EXPECT_EQ(t->Decode(Ids{0, 14, 15, 1}, false), "a<|end|><think>b");
  EXPECT_EQ(t->TokenId("<|end|>"), 14);
  EXPECT_EQ(t->TokenId(" abc"), 13);
  EXPECT_EQ(t->TokenId("abcd"), std::nullopt);
  EXPECT_TRUE(t->IsSpecial(14));
  EXPECT_FALSE(t->IsSpecial(15));
  EXPECT_EQ(t->eos_id(), 14);
  EXPECT_TRUE(t->IsEndOfGeneration(14));
  EXPECT_FALSE(t->IsEndOfGeneration(0));
}

TEST(SpecialTokensTest, BeginAndEndAreAddedOnRequest) {
  tokenizer::FakeMetadata metadata = ByteLevel("gpt-2");
  metadata.integers["tokenizer.ggml.bos_token_id"] = 16;
  EXPECT_EQ(Make(metadata)->Encode("a", {.add_special = true}), (Ids{0}));
  metadata.bools["tokenizer.ggml.add_bos_token"] = true;
  metadata.bools["tokenizer.ggml.add_eos_token"] = true;
  const auto t = Make(metadata);
  EXPECT_EQ(t->Encode("a", {.add_special = true}), (Ids{16, 0, 14}));
  EXPECT_EQ(t->Encode("a"), (Ids{0}));
  EXPECT_TRUE(t->adds_bos());
}

TEST(DecodeTest, BytesThatAreNoTextBecomeReplacementCharacters) {
  const auto t = Make(ByteLevel("gpt-2"));
  EXPECT_EQ(t->Decode(Ids{6}), "\uFFFD");
  EXPECT_EQ(t->Decode(Ids{6, 0}), "\uFFFDa");
  EXPECT_EQ(t->Decode(Ids{7, 6, 7}), "\uFFFD\u00e9");
  EXPECT_EQ(t->Piece(6), "\xC3");
  EXPECT_EQ(t->Decode(Ids{-1, 0, 17, 2147483647}), "a");
  EXPECT_EQ(t->Piece(-1), "");
  EXPECT_EQ(t->Piece(17), "");
}

TEST(StreamDecoderTest, HoldsIncompleteCharacters) {
  const auto t = Make(ByteLevel("gpt-2"));
  StreamDecoder decoder(*t);
  EXPECT_EQ(decoder.Feed(0), "a");
  EXPECT_EQ(decoder.Feed(6), "");
  EXPECT_EQ(decoder.Feed(7), "\u00e9");
  EXPECT_EQ(decoder.Feed(6), "");
  EXPECT_EQ(decoder.Feed(14), "");  // special
  EXPECT_EQ(decoder.Feed(1), "\uFFFDb");
  EXPECT_EQ(decoder.Feed(99), "");
  EXPECT_EQ(decoder.Feed(6), "");
  EXPECT_EQ(decoder.Flush(), "\uFFFD");
  EXPECT_EQ(decoder.Flush(), "");
}

tokenizer::FakeMetadata SentencePiece() {
  tokenizer::FakeMetadata metadata;
  metadata.strings["tokenizer.ggml.model"] = "llama";
  metadata.string_lists["tokenizer.ggml.tokens"] = {
      "<unk>", "<s>", "</s>", "<0xC3>", "<0xA9>", "\u2581", "a", "b", "ab", "ba", "\u2581a", "[u]"};
  metadata.integer_lists["tokenizer.ggml.token_type"] = {
      kUnknown, kControl, kControl, kByte,   kByte,   kNormal,
      kNormal,  kNormal,  kNormal,  kNormal, kNormal, kUserDefined};
  metadata.float_lists["tokenizer.ggml.scores"] = {0, 0, 0, 0, 0, -9, -8, -7, -2, -2, -3, 0};
  metadata.integers["tokenizer.ggml.unknown_token_id"] = 0;
  metadata.integers["tokenizer.ggml.bos_token_id"] = 1;
  metadata.integers["tokenizer.ggml.eos_token_id"] = 2;
  return metadata;
}

TEST(SentencePieceTest, MergesByScoreThenLeftmost) {
  const auto t = Make(SentencePiece());
  EXPECT_EQ(t->Encode("ab"), (Ids{5, 8}));      // "ab" before "▁a"
  EXPECT_EQ(t->Encode("aba"), (Ids{5, 8, 6}));  // of "ab" and "ba" the left one
  EXPECT_EQ(t->Encode("a"), (Ids{10}));
  EXPECT_EQ(t->Encode("\u00e9"), (Ids{5, 3, 4}));  // as bytes
  EXPECT_EQ(t->Encode("xy"), (Ids{5, 0}));         // a run of unknown characters is one token
  EXPECT_EQ(t->Encode("a", {.add_special = true}), (Ids{1, 10}));
}

TEST(SentencePieceTest, MergesCrossWordsWhereATokenDoes) {
  tokenizer::FakeMetadata metadata = SentencePiece();
  EXPECT_EQ(Make(metadata)->Encode("b b"), (Ids{5, 7, 5, 7}));
  metadata.string_lists["tokenizer.ggml.tokens"].push_back("b\u2581");
  metadata.integer_lists["tokenizer.ggml.token_type"].push_back(kNormal);
  metadata.float_lists["tokenizer.ggml.scores"].push_back(-1);
  EXPECT_EQ(Make(metadata)->Encode("b b"), (Ids{5, 12, 7}));
}

TEST(SentencePieceTest, OneSpaceOfATextIsTheTokenizersOwn) {
  const auto t = Make(SentencePiece());
  EXPECT_EQ(t->Encode("a</s>a"), (Ids{10, 2, 10}));  // again after a special token
  EXPECT_EQ(t->Decode(Ids{1, 10, 10, 3, 4}), "a a\u00e9");
  EXPECT_EQ(t->Decode(Ids{5, 10}), " a");
  StreamDecoder decoder(*t);
  EXPECT_EQ(decoder.Feed(1), "");
  EXPECT_EQ(decoder.Feed(10), "a");
  EXPECT_EQ(decoder.Feed(10), " a");
  EXPECT_EQ(decoder.Flush(), "");
  EXPECT_EQ(decoder.Feed(10), "a");  // a new text
  tokenizer::FakeMetadata metadata = SentencePiece();
  metadata.bools["tokenizer.ggml.add_space_prefix"] = false;
  EXPECT_EQ(Make(metadata)->Encode("a"), (Ids{6}));
  EXPECT_EQ(Make(metadata)->Decode(Ids{10}), " a");
}

TEST(SentencePieceTest, UserDefinedTokensAreFoundInTheNormalisedText) {
  const auto t = Make(SentencePiece());
  EXPECT_EQ(t->Encode("[u]a"), (Ids{5, 11, 6}));
  EXPECT_EQ(t->Encode("[u]a", {.parse_special = false}), (Ids{5, 11, 6}));
  EXPECT_EQ(t->Decode(Ids{5, 11, 6}), "[u]a");
}

TEST(UnigramTest, TakesTheBestSum) {
  tokenizer::FakeMetadata metadata = SentencePiece();
  metadata.strings["tokenizer.ggml.model"] = "t5";
  const auto t = Make(metadata);
  // ▁ + ab + a: -9 -2 -8; ▁a + ba: -3 -2.
  EXPECT_EQ(t->Encode("aba"), (Ids{10, 9}));
  EXPECT_EQ(t->Encode("xyab"), (Ids{5, 0, 8}));
  EXPECT_EQ(t->Encode("a", {.add_special = true}), (Ids{10, 2}));
}

constexpr const char* kBertJson = R"({
  "added_tokens": [
    {"id": 0, "content": "[UNK]", "special": true, "normalized": false},
    {"id": 1, "content": "[CLS]", "special": true, "normalized": false},
    {"id": 2, "content": "[SEP]", "special": true, "normalized": false}],
  "normalizer": {"type": "BertNormalizer", "lowercase": true},
  "pre_tokenizer": {"type": "BertPreTokenizer"},
  "post_processor": {"type": "BertProcessing", "cls": ["[CLS]", 1], "sep": ["[SEP]", 2]},
  "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": false},
  "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
    "max_input_chars_per_word": 5,
    "vocab": {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "a": 3, "ab": 4, "##b": 5, "##c": 6,
              ",": 7, "\u4e2d": 8}}})";

TEST(WordPieceTest, LongestTokenFirst) {
  const auto t = MakeJson(kBertJson);
  EXPECT_EQ(t->Encode("abc Abb"), (Ids{4, 6, 4, 5}));
  EXPECT_EQ(t->Encode("\u00c1,a"), (Ids{3, 7, 3}));       // accents and case do not count
  EXPECT_EQ(t->Encode("a\u4e2d\u4e2d"), (Ids{3, 8, 8}));  // each ideograph is a word
  EXPECT_EQ(t->Encode("ax ab"), (Ids{0, 4}));             // the whole word is unknown
  EXPECT_EQ(t->Encode("abbbb abbbbb"), (Ids{4, 5, 5, 5, 0}));
  EXPECT_EQ(t->Encode("ab", {.add_special = true}), (Ids{1, 4, 2}));
  EXPECT_EQ(t->Decode(Ids{1, 4, 6, 3, 7, 2}), "abc a ,");
  EXPECT_EQ(t->Decode(Ids{1, 4}, false), "[CLS] ab");
}

TEST(WordPieceTest, FromMetadata) {
  tokenizer::FakeMetadata metadata;
  metadata.strings["tokenizer.ggml.model"] = "bert";
  metadata.string_lists["tokenizer.ggml.tokens"] = {"[UNK]",   "[CLS]", "[SEP]",
                                                    "\u2581a", "b",     "[unused0]"};
  metadata.integer_lists["tokenizer.ggml.token_type"] = {kUnknown, kControl, kControl,
                                                         kNormal,  kNormal,  kNormal};
  metadata.integers["tokenizer.ggml.unknown_token_id"] = 0;
  metadata.integers["tokenizer.ggml.cls_token_id"] = 1;
  metadata.integers["tokenizer.ggml.seperator_token_id"] = 2;
  const auto t = Make(metadata);
  EXPECT_EQ(t->Encode("\u00c1bb a b", {.add_special = true}), (Ids{1, 3, 4, 4, 3, 0, 2}));
  EXPECT_EQ(t->Decode(Ids{1, 3, 4, 5}), "ab [unused0]");
  EXPECT_EQ(t->TokenId("##b"), 4);
  EXPECT_EQ(t->TokenId("a"), 3);
  metadata.bools["tokenizer.ggml.normalizer.lowercase"] = false;
  EXPECT_EQ(Make(metadata)->Encode("Ab ab"), (Ids{0, 3, 4}));
}

constexpr const char* kJson = R"({
  "added_tokens": [
    {"id": 4, "content": "<s>", "special": true, "normalized": false},
    {"id": 5, "content": "<m>", "special": true, "lstrip": true, "rstrip": true,
     "normalized": false},
    {"id": 6, "content": "word", "special": false, "single_word": true, "normalized": false},
    {"id": 7, "content": "BB", "special": false, "normalized": true}],
  "normalizer": {"type": "Sequence", "normalizers": [
    {"type": "Lowercase"}, {"type": "Replace", "pattern": {"Regex": "x+"}, "content": "b"}]},
  "pre_tokenizer": {"type": "Metaspace", "replacement": "_", "prepend_scheme": "first"},
  "post_processor": {"type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
               {"Sequence": {"id": "A", "type_id": 0}}],
    "special_tokens": {"<s>": {"id": "<s>", "ids": [4], "tokens": ["<s>"]}}},
  "decoder": {"type": "Metaspace", "replacement": "_", "prepend_scheme": "first"},
  "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "_": 2, "_a": 3}, "merges": [["_", "a"]]}})";

TEST(JsonTest, ReadsComponents) {
  const auto t = MakeJson(kJson);
  EXPECT_EQ(t->Encode("a A"), (Ids{3, 3}));
  EXPECT_EQ(t->Encode("axx"), (Ids{3, 1}));
  EXPECT_EQ(t->Encode("a  <m> a"), (Ids{3, 5, 0}));  // takes the spaces; "first" only at the start
  EXPECT_EQ(t->Encode("word words"), (Ids{6, 2}));
  EXPECT_EQ(t->Encode("abba"), (Ids{3, 7, 0}));  // found as "bb"
  EXPECT_EQ(t->Encode("a", {.add_special = true}), (Ids{4, 3}));
  EXPECT_EQ(t->Decode(Ids{4, 3, 3, 1}), "a ab");
  EXPECT_EQ(t->bos_id(), 4);
  EXPECT_EQ(t->vocab_size(), 8u);
}

TEST(JsonTest, ConfigNamesSpecialTokens) {
  const auto t = MakeJson(kJson, R"({"bos_token": "<s>", "eos_token": {"content": "<m>"},
                                     "add_bos_token": false, "add_eos_token": true})");
  EXPECT_EQ(t->bos_id(), 4);
  EXPECT_EQ(t->eos_id(), 5);
  EXPECT_EQ(t->Encode("a", {.add_special = true}), (Ids{3, 5}));
  EXPECT_FALSE(t->adds_bos());
}

TEST(RegexTest, ReadsOnigurumasSyntax) {
  const auto first = [](const char* pattern, std::string_view text) -> std::string {
    Result<tokenizer::Regex> regex = tokenizer::Regex::Compile(pattern);
    if (!regex.ok()) return "error";
    const auto match = tokenizer::RegexSearch(*regex).Find(text, 0);
    return match ? std::string(text.substr(match->start, match->end - match->start)) : "none";
  };
  EXPECT_EQ(first(R"(\s+)", "a\u180e\u0085\u3000b"), "\u0085\u3000");  // not U+180E
  EXPECT_EQ(first(R"([^\s]+)", "\u0085\u180e "), "\u180e");
  EXPECT_EQ(first(R"(\w+)", " a\u0301_1\u203f! "), "a\u0301_1\u203f");
  EXPECT_EQ(first(R"([\p{L}&&[^\p{Han}]]+)", "\u4e2dab\u4e2d"), "ab");
  EXPECT_EQ(first(R"(\u0061)", "ba"), "a");
  EXPECT_EQ(first(R"(b$)", "b\nc"), "b");  // at every line
  EXPECT_EQ(first("[a", "a"), "error");
  EXPECT_EQ(first("(a", "a"), "error");
  EXPECT_EQ(first("a\\", "a"), "error");
  EXPECT_EQ(first("[a[b]]", "a"), "error");
}

TEST(NormalizeTest, LongRunsOfMarksAreSortedQuickly) {
  std::string text = "a";
  for (int i = 0; i < 100'000; ++i) text += i % 2 == 0 ? "\u0301" : "\u0323";
  const std::string sorted = tokenizer::Normalize(text, tokenizer::NormalForm::kNfd);
  ASSERT_EQ(sorted.size(), text.size());
  EXPECT_EQ(sorted.substr(1, 2), "\u0323");  // the mark below comes first
  EXPECT_EQ(sorted.substr(sorted.size() - 2), "\u0301");
}

}  // namespace
}  // namespace pelton
