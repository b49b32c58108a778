#include "serving/trace/trace_context.h"

#include <gtest/gtest.h>

namespace pelton {
namespace {

constexpr const char* kTrace = "0af7651916cd43dd8448eb211c80319c";
constexpr const char* kSpan = "b7ad6b7169203331";

std::string Header(const std::string& version, const std::string& trace, const std::string& span,
                   const std::string& flags) {
  return version + "-" + trace + "-" + span + "-" + flags;
}

TEST(ParseTraceparent, TheExampleOfTheSpecification) {
  const auto context = ParseTraceparent(Header("00", kTrace, kSpan, "01"));
  ASSERT_TRUE(context.has_value());
  EXPECT_EQ(Hex(context->trace_id), kTrace);
  EXPECT_EQ(Hex(context->span_id), kSpan);
  EXPECT_TRUE(context->sampled);
  EXPECT_FALSE(ParseTraceparent(Header("00", kTrace, kSpan, "00"))->sampled);
  // Other flags mean something else.
  EXPECT_FALSE(ParseTraceparent(Header("00", kTrace, kSpan, "fe"))->sampled);
}

TEST(ParseTraceparent, LaterVersions) {
  EXPECT_TRUE(ParseTraceparent(Header("cc", kTrace, kSpan, "01")).has_value());
  EXPECT_TRUE(ParseTraceparent(Header("cc", kTrace, kSpan, "01-what-comes")).has_value());
  EXPECT_FALSE(ParseTraceparent(Header("cc", kTrace, kSpan, "01.what")).has_value());
  EXPECT_FALSE(ParseTraceparent(Header("00", kTrace, kSpan, "01-what")).has_value());
  EXPECT_FALSE(ParseTraceparent(Header("ff", kTrace, kSpan, "01")).has_value());
}

TEST(ParseTraceparent, WhatIsNone) {
  const std::string whole = Header("00", kTrace, kSpan, "01");
  for (size_t length = 0; length < whole.size(); ++length) {
    EXPECT_FALSE(ParseTraceparent(whole.substr(0, length)).has_value()) << length;
  }
  for (size_t i = 0; i < whole.size(); ++i) {
    for (const char bad : {'G', 'A', ' ', '\0', '\xff', '_'}) {
      std::string changed = whole;
      changed[i] = bad;
      EXPECT_FALSE(ParseTraceparent(changed).has_value()) << changed;
    }
  }
  EXPECT_FALSE(ParseTraceparent(Header("00", std::string(32, '0'), kSpan, "01")).has_value());
  EXPECT_FALSE(ParseTraceparent(Header("00", kTrace, std::string(16, '0'), "01")).has_value());
}

TEST(NewTraceId, Differs) {
  EXPECT_NE(NewTraceId(), NewTraceId());
  EXPECT_NE(NewSpanId(), NewSpanId());
}

}  // namespace
}  // namespace pelton
