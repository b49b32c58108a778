#include "text/tokenizer/token_bound.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "text/tokenizer/normalizer.h"
#include "text/tokenizer/tokenizer.h"
#include "text/tokenizer/unicode.h"
#include "text/tokenizer/utf8.h"

namespace pelton {
namespace {

std::unique_ptr<Tokenizer> Make(const std::string& json) {
  Result<std::unique_ptr<Tokenizer>> made = TokenizerFromJson(json);
  EXPECT_TRUE(made.ok()) << made.status().message();
  return made.ok() ? std::move(*made) : nullptr;
}

// A tokenizer of characters that knows "abc", has a token for each byte, and the parts given.
std::unique_ptr<Tokenizer> Characters(const std::string& parts, bool byte_fallback = true) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  std::string vocab = R"("a": 256, "b": 257, "c": 258, "ab": 259, "abc": 260)";
  for (unsigned byte = 0; byte < 256; ++byte) {
    vocab += std::string(", \"<0x") + kDigits[byte / 16] + kDigits[byte % 16] +
             ">\": " + std::to_string(byte);
  }
  return Make("{" + parts + R"("model": {"type": "BPE", "byte_fallback": )" +
              (byte_fallback ? "true" : "false") + ", \"vocab\": {" + vocab +
              R"(}, "merges": ["a b", "ab c"]}})");
}

TEST(TokenBoundTest, IsTheSizeInLongestTokens) {
  const auto t = Characters("");
  EXPECT_EQ(t->MinTokens(""), 0u);
  EXPECT_EQ(t->MinTokens("a"), 1u);
  EXPECT_EQ(t->MinTokens("abc"), 1u);
  EXPECT_EQ(t->MinTokens("abca"), 2u);
  EXPECT_EQ(t->MinTokens("abcabcabc"), t->Encode("abcabcabc").size());
  EXPECT_EQ(t->MinTokens("\xF0\x9F\x98\x80"), 2u);
  EXPECT_EQ(t->MinTokens("\xFF\xFF"), 1u);
}

TEST(TokenBoundTest, IsNoneWhereTextMayVanish) {
  const std::string text(1000, 'a');
  EXPECT_EQ(Characters("", false)->MinTokens(text), 0u);  // what is no token gives none
  for (
      const char* parts :
      {R"("normalizer": {"type": "Strip"},)", R"("normalizer": {"type": "StripAccents"},)",
       R"("normalizer": {"type": "Replace", "pattern": {"String": "a"}, "content": ""},)",
       R"("normalizer": {"type": "Replace", "pattern": {"Regex": "a+"}, "content": "b"},)",
       R"("normalizer": {"type": "BertNormalizer"},)",
       R"("pre_tokenizer": {"type": "Split", "pattern": {"String": "a"}, "behavior": "Removed"},)",
       R"("pre_tokenizer": {"type": "Whitespace"},)",
       R"("added_tokens": [{"id": 300, "content": "<x>", "normalized": true, "lstrip": true}],)"}) {
    EXPECT_EQ(Characters(parts)->MinTokens(text), 0u) << parts;
  }
}

TEST(TokenBoundTest, CountsWhatNormalizersTakeAway) {
  const std::string text(1200, 'a');
  for (const auto& [parts, tokens] : std::map<std::string, size_t>{
           {R"("normalizer": {"type": "Prepend", "prepend": "a"},)", 400},
           {R"("normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "__"},)",
            400},
           {R"("normalizer": {"type": "Replace", "pattern": {"String": "aaaa"}, "content": "b"},)",
            100},
           {R"("normalizer": {"type": "Lowercase"},)", 400},
           {R"("normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"},
               {"type": "Lowercase"}]},)",
            134},
           {R"("pre_tokenizer": {"type": "Metaspace"},)", 400}}) {
    EXPECT_EQ(Characters(parts)->MinTokens(text), tokens) << parts;
  }
}

TEST(TokenBoundTest, AddedTokensMayBeTheLongest) {
  const auto plain =
      Characters(R"("added_tokens": [{"id": 300, "content": "<|12345|>", "special": true}],)");
  EXPECT_EQ(plain->MinTokens("<|12345|><|12345|>"), 2u);
  // White space beside it is its own, so only the rest of a text counts.
  const auto strips = Characters(
      R"("added_tokens": [{"id": 300, "content": "<|12345|>", "special": true, "rstrip": true}],)");
  EXPECT_EQ(strips->MinTokens("<|12345|> \n\u3000      <|12345|>   "), 2u);
  EXPECT_EQ(strips->Encode("<|12345|> \n\u3000      <|12345|>   ").size(), 2u);
}

std::string WordPiece(const std::string& added) {
  return R"({"added_tokens": [)" + added +
         R"(], "normalizer": {"type": "BertNormalizer"},
           "pre_tokenizer": {"type": "BertPreTokenizer"},
           "model": {"type": "WordPiece", "unk_token": "[UNK]", "vocab": {"[UNK]": 0, "a": 1}}})";
}

TEST(TokenBoundTest, WordsCountWhereEachIsAToken) {
  const auto t =
      Make(WordPiece(R"({"id": 2, "content": "[MASK]", "special": true, "lstrip": true})"));
  EXPECT_EQ(t->MinTokens("a b\tc\nd"), 4u);
  EXPECT_EQ(t->MinTokens(std::string(10'000, 'b')), 1u);  // one unknown word
  EXPECT_EQ(t->Encode(std::string(10'000, 'b')).size(), 1u);
  // These are dropped, and so is what could part words.
  EXPECT_EQ(t->MinTokens("\x01 \u0301 \u200b \v\v \u3000"), 0u);
  EXPECT_EQ(t->MinTokens("a\vb"), 1u);
  EXPECT_EQ(t->Encode("a\vb").size(), 1u);
  EXPECT_EQ(t->MinTokens("a  [MASK]  a"), 3u);
  EXPECT_EQ(t->Encode("a  [MASK]  a").size(), 3u);
  const auto spans = Make(WordPiece(R"({"id": 2, "content": "a a a", "special": true})"));
  EXPECT_EQ(spans->Encode("a a a").size(), 1u);
  EXPECT_EQ(spans->MinTokens("a a a"), 0u);
}

std::string Text(uint32_t code_point) {
  std::string text;
  tokenizer::AppendUtf8(code_point, &text);
  return text;
}

std::vector<uint32_t> CodePoints(std::string_view text) {
  std::vector<uint32_t> points;
  for (size_t pos = 0; pos < text.size();) points.push_back(tokenizer::DecodeUtf8(text, &pos));
  return points;
}

// No character decomposes beyond the planes that are looked at here.
template <typename Use>
void ForEachCharacter(const Use& use) {
  for (uint32_t c = 0; c < 0x30000; ++c) {
    if (c < 0xD800 || c > 0xDFFF) use(c);
  }
}

TEST(TokenBoundTest, LowerCaseShrinksNoFurther) {
  const tokenizer::NormalizeEffect effect = tokenizer::MakeLowerCase()->effect();
  ForEachCharacter([&](uint32_t c) {
    std::string lower;
    tokenizer::AppendLowerCase(c, &lower);
    ASSERT_LE(Text(c).size(), lower.size() * (c < 0x80 ? effect.ascii_shrink : effect.shrink)) << c;
  });
}

// A text in a normal form decomposes to what the text before decomposed to. So each decomposed
// character gets the weight of the heaviest one that becomes it, which an ASCII byte is beside
// itself and other bytes are by `shrink`, and a composed one must have as many bytes as its parts
// weigh.
TEST(TokenBoundTest, NormalFormsShrinkNoFurther) {
  using tokenizer::NormalForm;
  for (const auto& [decomposed, composed] :
       {std::pair{NormalForm::kNfd, NormalForm::kNfc}, {NormalForm::kNfkd, NormalForm::kNfkc}}) {
    const tokenizer::NormalizeEffect effect = tokenizer::MakeNormalForm(composed)->effect();
    ASSERT_EQ(effect.ascii_shrink, 1u);
    const auto weight_alone = [&](const std::string& character) {
      return character.size() * (character.size() == 1 ? effect.shrink : 1);
    };
    std::map<uint32_t, size_t> heaviest;  // in parts of 1 / shrink of a byte
    const auto weight = [&](const std::string& text) {
      size_t sum = 0;
      for (const uint32_t c : CodePoints(text)) {
        const auto entry = heaviest.find(c);
        sum += std::max(weight_alone(Text(c)), entry != heaviest.end() ? entry->second : 0);
      }
      return sum;
    };
    ForEachCharacter([&](uint32_t c) {
      const std::vector<uint32_t> parts = CodePoints(Normalize(Text(c), decomposed));
      if (parts.size() == 1) {
        heaviest[parts[0]] = std::max(heaviest[parts[0]], weight_alone(Text(c)));
      }
    });
    ForEachCharacter([&](uint32_t c) {
      const std::string text = Text(c);
      const std::string parts = Normalize(text, decomposed);
      // Its parts weigh as much, so the above holds for those that have several.
      ASSERT_LE(weight_alone(text), weight(parts)) << c;
      for (const NormalForm form : {decomposed, composed}) {
        if (Normalize(text, form) != text) continue;
        ASSERT_LE(weight(parts), effect.shrink * text.size()) << c;
      }
    });
  }
}

}  // namespace
}  // namespace pelton
