#include "text/grammar/grammar.h"

#include <gtest/gtest.h>

#include <array>
#include <span>
#include <string>
#include <vector>

#include "text/grammar/foresight.h"
#include "text/grammar/test_vocabulary.h"

namespace pelton {
namespace {

using Kind = GrammarSource::Kind;
constexpr size_t kVocab = 300;  // larger than the vocabulary, as many models' heads are

class GrammarTest : public testing::Test {
 protected:
  std::shared_ptr<const CompiledGrammar> Compile(Kind kind, const std::string& text) {
    auto grammar = compiler_.Compile({kind, text});
    EXPECT_TRUE(grammar.ok()) << grammar.status().message();
    return grammar.ok() ? *grammar : nullptr;
  }
  std::string Refusal(Kind kind, const std::string& text) {
    const auto grammar = compiler_.Compile({kind, text});
    EXPECT_EQ(grammar.status().code(), StatusCode::kInvalidArgument) << text.substr(0, 100);
    return grammar.status().message();
  }
  static std::vector<int32_t> Allowed(GrammarMatcher& matcher) {
    std::vector<uint32_t> mask((kVocab + 31) / 32);
    EXPECT_TRUE(matcher.FillMask(mask));
    std::vector<int32_t> ids;
    for (size_t i = 0; i < mask.size() * 32; ++i) {
      if ((mask[i / 32] >> i % 32 & 1) != 0) ids.push_back(static_cast<int32_t>(i));
    }
    return ids;
  }

  std::unique_ptr<Tokenizer> tokenizer_ = ByteVocabulary();
  GrammarCompiler compiler_{*tokenizer_, kVocab};
};

TEST_F(GrammarTest, MasksHoldWhatMayFollow) {
  GrammarMatcher matcher(Compile(Kind::kChoice, R"(["ab","ac","b"])"));
  EXPECT_EQ(Allowed(matcher), (std::vector<int32_t>{'a', 'b'}));
  EXPECT_FALSE(matcher.Accept('c'));
  ASSERT_TRUE(matcher.Accept('a'));
  EXPECT_FALSE(matcher.IsComplete());
  EXPECT_EQ(Allowed(matcher), (std::vector<int32_t>{'b', 'c'}));
  ASSERT_TRUE(matcher.Accept('c'));
  EXPECT_TRUE(matcher.IsComplete());
  EXPECT_TRUE(Allowed(matcher).empty());
}

TEST_F(GrammarTest, TextThatMustFollowIsForeseen) {
  GrammarMatcher matcher(Compile(Kind::kRegex, "colou?r: [a-z]<end>"));
  GrammarForesight foresight(*tokenizer_);
  std::array<int32_t, 8> ids{};
  const auto look = [&](size_t most) {
    std::vector<uint32_t> mask((kVocab + 31) / 32);
    EXPECT_TRUE(matcher.FillMask(mask));
    const size_t count = foresight.Look(matcher, mask, std::span(ids).first(most));
    std::string text;
    for (size_t i = 0; i < count; ++i) text += tokenizer_->Piece(ids[i]);
    std::vector<uint32_t> after(mask.size());
    EXPECT_TRUE(matcher.FillMask(after));
    EXPECT_EQ(after, mask) << "looking changes nothing";
    return text;
  };
  EXPECT_EQ(look(8), "colo");
  EXPECT_EQ(look(3), "co") << "a text that was cut may go on in its last token";
  ASSERT_TRUE(matcher.AcceptText("colo"));
  EXPECT_EQ(look(8), "") << "there is a choice";
  ASSERT_TRUE(matcher.AcceptText("r"));
  EXPECT_EQ(look(8), ": ");
  ASSERT_TRUE(matcher.AcceptText(": a"));
  EXPECT_EQ(look(8), "<end>") << "text, not the token";
  ASSERT_TRUE(matcher.AcceptText("<end>"));
  EXPECT_EQ(look(8), "") << "nothing may follow";
}

// XGrammar would take the letters that follow for digits.
TEST_F(GrammarTest, EscapesEndBeforeHexadecimalDigits) {
  const auto accepts = [&](Kind kind, const std::string& source, const std::string& text) {
    GrammarMatcher matcher(Compile(kind, source));
    return matcher.AcceptText(text) && matcher.IsComplete();
  };
  for (const char* escape : {R"(\u00e9)", R"(\xe9)", R"(\u{e9})"}) {
    const std::string in_class = "[" + std::string(escape) + "DDDDDDDDD]";
    EXPECT_TRUE(accepts(Kind::kRegex, in_class, "\xC3\xA9")) << in_class;
    EXPECT_TRUE(accepts(Kind::kRegex, in_class, "D")) << in_class;
    EXPECT_TRUE(accepts(Kind::kRegex, escape + std::string("DDDDDDDDD"),
                        "\xC3\xA9"
                        "DDDDDDDDD"))
        << escape;
  }
  EXPECT_TRUE(accepts(Kind::kRegex, R"([\x01D\cBF\n])", "\x01"));
  EXPECT_TRUE(accepts(Kind::kRegex, R"([\x01D\cBF\n])", "D"));
  EXPECT_TRUE(accepts(Kind::kRegex, R"([\x01D\cBF\n])", "\x02"));
  EXPECT_TRUE(accepts(Kind::kRegex, R"([\x01D\cBF\n])", "\n"));
  for (const char* allowed : {"\x19", "D", "\x7f", "\n"}) {
    EXPECT_TRUE(accepts(Kind::kRegex,
                        "[\\\x19"
                        "DDDDDDD\\\x7f"
                        "DDDDDDD\\\n]",
                        allowed))
        << allowed;
  }
  EXPECT_TRUE(accepts(Kind::kRegex,
                      "\\\x19"
                      "DDDDDDD",
                      "\x19"
                      "DDDDDDD"));
  EXPECT_TRUE(accepts(Kind::kRegex, R"([\x5d\x41]\x41BC)", "]ABC"));
  EXPECT_TRUE(accepts(Kind::kEbnf, R"(root ::= "\x41BCD" [\xe9D])", "ABCD\xC3\xA9"));
  EXPECT_TRUE(accepts(Kind::kEbnf, R"(root ::= "\x41BCD" [\xe9D])", "ABCDD"));
  Refusal(Kind::kRegex, R"(\x4)");
  Refusal(Kind::kEbnf, R"(root ::= "\xg0")");
}

TEST_F(GrammarTest, AControlTokenThatMustFollowIsForeseen) {
  GrammarMatcher matcher(
      Compile(Kind::kStructuralTag,
              R"({"type":"structural_tag","format":{"type":"sequence","elements":[
          {"type":"token","token":257},{"type":"const_string","value":"xy"}]}})"));
  GrammarForesight foresight(*tokenizer_);
  std::array<int32_t, 8> ids{};
  std::vector<uint32_t> mask((kVocab + 31) / 32);
  ASSERT_TRUE(matcher.FillMask(mask));
  EXPECT_EQ(foresight.Look(matcher, mask, ids), 1u);
  EXPECT_EQ(ids[0], 257);
}

TEST_F(GrammarTest, ControlTokensAreNoText) {
  // 256 ends the answer, 257 is a control token, 258 has text.
  GrammarMatcher any(Compile(Kind::kRegex, "[\\s\\S]*"));
  const std::vector<int32_t> ids = Allowed(any);
  EXPECT_FALSE(std::find(ids.begin(), ids.end(), 256) != ids.end());
  EXPECT_FALSE(std::find(ids.begin(), ids.end(), 257) != ids.end());
  EXPECT_TRUE(std::find(ids.begin(), ids.end(), 258) != ids.end());
  GrammarMatcher named(Compile(Kind::kStructuralTag,
                               R"({"type":"structural_tag","format":{"type":"sequence","elements":[
          {"type":"token","token":257},{"type":"const_string","value":"x"}]}})"));
  EXPECT_EQ(Allowed(named), (std::vector<int32_t>{257}));
  ASSERT_TRUE(named.Accept(257));
  EXPECT_EQ(Allowed(named), (std::vector<int32_t>{'x'}));
}

TEST_F(GrammarTest, AGrammarIsCompiledOnce) {
  const auto first = Compile(Kind::kJsonObject, "");
  EXPECT_EQ(first, Compile(Kind::kJsonObject, ""));
  EXPECT_EQ(compiler_.cached_bytes(), first->bytes());
  GrammarCompiler small(*tokenizer_, kVocab, {.cache_bytes = 1});
  const auto one = small.Compile({Kind::kRegex, "a"}).value();
  const auto two = small.Compile({Kind::kRegex, "b"}).value();
  EXPECT_EQ(small.cached_bytes(), two->bytes());
  EXPECT_NE(one, small.Compile({Kind::kRegex, "a"}).value());
}

TEST_F(GrammarTest, HostileSourcesAreErrors) {
  EXPECT_NE(
      Refusal(Kind::kJsonSchema, R"({"type":"array","minItems":1000000000})").find("minItems"),
      std::string::npos);
  EXPECT_NE(Refusal(Kind::kJsonSchema, R"({"not":{"const":1}})").find("not"), std::string::npos);
  const std::string deep = std::string(100000, '[') + std::string(100000, ']');
  Refusal(Kind::kJsonSchema, deep);
  Refusal(Kind::kJsonSchema, std::string("{}\0and more", 11));
  std::string nested = "{}";
  for (int i = 0; i < 140; ++i) nested.insert(0, R"({"items":)").append("}");
  Refusal(Kind::kJsonSchema, nested);
  Refusal(Kind::kRegex, "((a{1,500}){1,500}){1,500}");
  Refusal(Kind::kRegex, std::string(60000, '(') + std::string(60000, ')'));
  Refusal(Kind::kEbnf, "root ::= " + std::string(60000, '(') + std::string(60000, ')'));
  Refusal(Kind::kEbnf, "root ::= root \"a\" | \"b\"");
  Refusal(Kind::kEbnf, "root ::= a\na ::= b \"x\" | \"y\"\nb ::= a | \"z\"");
  Refusal(Kind::kEbnf, std::string(1 << 20, ' '));
  // Each definition names the one before twice: 2^40 schemas if references were copied.
  std::string defs = R"("d0":{"type":"integer"})";
  for (int i = 1; i < 40; ++i) {
    const std::string before = R"({"$ref":"#/$defs/d)" + std::to_string(i - 1) + "\"}";
    defs.append(",\"d").append(std::to_string(i)).append(R"(":{"allOf":[)");
    defs.append(before).append(",").append(before).append("]}");
  }
  Refusal(Kind::kJsonSchema, R"({"$ref":"#/$defs/d39","$defs":{)" + defs + "}}");
  std::string many = "[\"x\"";
  for (int i = 0; i < 100000; ++i) many += ",\"y" + std::to_string(i) + "\"";
  Refusal(Kind::kChoice, many + "]");
  Refusal(Kind::kJsonSchema, R"({"enum":)" + many + "]}");
}

}  // namespace
}  // namespace pelton
