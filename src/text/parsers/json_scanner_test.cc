#include "text/parsers/json_scanner.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>
#include <string>

#include "text/parsers/python_literal.h"

namespace pelton {
namespace {

TEST(JsonScannerTest, Values) {
  for (const char* text :
       {"{}", "[]", " [1, -0, 0.5, 1e9, 1E+2, -1.25e-7] ", R"({"a": {"b": [true, false, null]}})",
        R"("\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00")", "\"é日😀\"", "12", "null", "\t\"\"\n"}) {
    EXPECT_TRUE(IsJson(text)) << text;
    EXPECT_TRUE(nlohmann::json::accept(text)) << text;
  }
  for (const char* text : {"",
                           " ",
                           "{",
                           "[1,]",
                           "[,1]",
                           "{\"a\"}",
                           "{\"a\":}",
                           "{\"a\":1,}",
                           "{a:1}",
                           "{'a':1}",
                           "01",
                           "1.",
                           ".5",
                           "-",
                           "+1",
                           "1e",
                           "1e+",
                           "tru",
                           "truee",
                           "nul",
                           "\"\n\"",
                           "\"\\x\"",
                           "\"\\u12g4\"",
                           "\"\\ud800\"",
                           "\"\\ud800x\"",
                           "\"\\udc00\"",
                           "\"\\ud800\\u0041\"",
                           "\"",
                           "1 2",
                           "[1 2]",
                           "]",
                           "{]",
                           "[}",
                           "{\"a\":1]",
                           "\"\xff\"",
                           "\"\xc0\x80\"",
                           "\"\xed\xa0\x80\"",
                           "\"\xf4\x90\x80\x80\"",
                           "\"\xe2\x82\"",
                           "NaN",
                           "// x\n1"}) {
    EXPECT_FALSE(IsJson(text)) << text;
    EXPECT_FALSE(nlohmann::json::accept(text)) << text;
  }
}

TEST(JsonScannerTest, AgreesWithAnIndependentParser) {
  const std::string alphabet = "{}[]:,\"\\u0d8c1e+-. \ntrfalsn\xc3\xa9";
  std::mt19937 random(1);
  size_t num_valid = 0;
  for (int i = 0; i < 200000; ++i) {
    std::string text;
    for (size_t n = random() % 9; n > 0; --n) text += alphabet[random() % alphabet.size()];
    const bool valid = nlohmann::json::accept(text);
    ASSERT_EQ(IsJson(text), valid) << text;
    num_valid += valid;
  }
  EXPECT_GT(num_valid, 1000u);
}

TEST(JsonScannerTest, DepthIsBounded) {
  const size_t depth = JsonScanner::kMaxDepth;
  const auto nested = [](size_t n) { return std::string(n, '[') + std::string(n, ']'); };
  EXPECT_TRUE(IsJson(nested(depth - 1)));
  EXPECT_FALSE(IsJson(nested(depth)));
  EXPECT_TRUE(IsJsonObject("{\"a\":" + nested(depth - 1) + "}"));
  EXPECT_FALSE(IsJsonObject("{\"a\":" + nested(depth) + "}"));
  EXPECT_FALSE(IsJsonObject("[]"));
  EXPECT_FALSE(IsJsonObject(" "));
}

std::string FromPython(std::string_view text) {
  PythonLiteral literal;
  for (size_t i = 0; i < text.size(); ++i) {
    switch (literal.Step(text[i])) {
      case PythonLiteral::Outcome::kMore:
        break;
      case PythonLiteral::Outcome::kDone:
        return i + 1 == text.size() ? literal.json() : "early";
      case PythonLiteral::Outcome::kDoneBefore:
        return i + 1 == text.size() ? literal.json() : "early";
      case PythonLiteral::Outcome::kFailed:
        return "failed";
    }
  }
  return "open";
}

TEST(PythonLiteralTest, Literals) {
  EXPECT_EQ(FromPython("'a\"b'"), R"("a\"b")");
  EXPECT_EQ(FromPython("\"it's\""), R"("it's")");
  EXPECT_EQ(FromPython(R"('\n\t\\\'\x41\101\0\q\u00e9\U0001F600')"), R"("\n\t\\'AA\u0000\\qé😀")");
  EXPECT_EQ(FromPython("'\t'"), R"("\t")");
  EXPECT_EQ(FromPython("True,"), "true");
  EXPECT_EQ(FromPython("None)"), "null");
  EXPECT_EQ(FromPython("false,"), "false");
  EXPECT_EQ(FromPython("-2.5e3 "), "-2.5e3");
  EXPECT_EQ(FromPython("[1, 'x',\n [],]"), R"([1, "x", []])");
  EXPECT_EQ(FromPython("{'a': {}, 'b': [None, True]}"), R"({"a": {}, "b": [null, true]})");
}

TEST(PythonLiteralTest, WhatIsNone) {
  for (const char* text : {"x,", "f'a'", "1+1,", "1_000,", "'a\n", "'\\ud800'", "'\\xg0'", "{1: 2}",
                           "{'a' 1}", "[,]", "[1 2]", "[1}", "(1)", "'\\U00110000'"}) {
    EXPECT_EQ(FromPython(text), "failed") << text;
  }
  EXPECT_EQ(FromPython("'abc"), "open");
  EXPECT_EQ(FromPython(std::string(PythonLiteral::kMaxDepth + 1, '[')), "failed");
}

}  // namespace
}  // namespace pelton
