#include "serving/request/field_reader.h"

#include <gtest/gtest.h>

#include "serving/request/sampling_fields.h"

namespace pelton {
namespace {

Json Object(std::string_view text) { return *ParseJson(text); }

TEST(ParseJsonTest, RefusesWhatIsNoneOrTooDeep) {
  EXPECT_FALSE(ParseJson("").ok());
  EXPECT_FALSE(ParseJson("{\"a\":}").ok());
  EXPECT_FALSE(ParseJson("{} x").ok());
  EXPECT_FALSE(ParseJson(std::string_view("{}\0{}", 5)).ok());
  EXPECT_TRUE(ParseJson(std::string(64, '[') + std::string(64, ']')).ok());
  EXPECT_FALSE(ParseJson(std::string(65, '[') + std::string(65, ']')).ok());
  // Brackets in strings have no depth, escaped quotes do not end them.
  EXPECT_TRUE(ParseJson("[\"\\\"" + std::string(100, '[') + "\"]").ok());
  EXPECT_FALSE(ParseJson(std::string(8 << 20, '[')).ok());
}

TEST(ParseJsonTest, BoundsTheMembersOfObjects) {
  const auto object = [](int members) {
    std::string text = "{";
    for (int i = 0; i < members; ++i) text += (i > 0 ? ",\"" : "\"") + std::to_string(i) + "\":{}";
    return text + "}";
  };
  EXPECT_TRUE(ParseJson(object(4096)).ok());
  EXPECT_FALSE(ParseJson(object(10000)).ok());
  std::string many = "[" + object(8);
  for (int i = 0; i < 10000; ++i) many += "," + object(8);
  EXPECT_TRUE(ParseJson(many + "]").ok());
  std::string large = "[" + object(2000);
  for (int i = 0; i < 8; ++i) large += "," + object(2000);
  EXPECT_FALSE(ParseJson(large + "]").ok());
  EXPECT_FALSE(ParseJson("]]]{").ok());
}

TEST(FieldReaderTest, ReadsWhatIsThere) {
  const Json object = Object(R"({"a":1.5,"b":7,"c":true,"d":"x","e":["x","y"],"f":[1,2],
                                 "g":{"3":-1.5},"h":null})");
  FieldReader reader(object);
  float a = 0, h = 4;
  uint32_t b = 0;
  bool c = false;
  std::string d;
  std::vector<std::string> e, one;
  std::vector<int32_t> f;
  std::vector<LogitBias> g;
  std::optional<uint64_t> wide, absent;
  reader.Float("a", &a);
  reader.Whole("b", &b);
  reader.Whole("b", &wide);
  reader.Whole("none", &absent);
  reader.Bool("c", &c);
  reader.String("d", &d);
  reader.Strings("e", &e);
  reader.Strings("d", &one);
  reader.Ids("f", &f);
  reader.Biases("g", &g);
  reader.Float("h", &h);
  reader.RefuseUnknown();
  ASSERT_TRUE(reader.ok()) << reader.status().message();
  EXPECT_EQ(a, 1.5f);
  EXPECT_EQ(b, 7u);
  EXPECT_EQ(wide, 7u);
  EXPECT_FALSE(absent);
  EXPECT_TRUE(c);
  EXPECT_EQ(d, "x");
  EXPECT_EQ(e, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(one, (std::vector<std::string>{"x"}));
  EXPECT_EQ(f, (std::vector<int32_t>{1, 2}));
  ASSERT_EQ(g.size(), 1u);
  EXPECT_EQ(g[0].id, 3);
  EXPECT_EQ(g[0].bias, -1.5f);
  EXPECT_EQ(h, 4);
}

TEST(FieldReaderTest, NamesTheFieldOfTheFirstFailure) {
  for (const char* text :
       {R"({"top_k":-1})", R"({"top_k":4294967296})", R"({"top_k":1.5})", R"({"top_k":"3"})",
        R"({"top_k":1e400})", R"({"temperature":"hot"})", R"({"temperature":[]})",
        R"({"seed":18446744073709551616})", R"({"stop":[1]})", R"({"stop":{}})",
        R"({"stop_ids":[-1]})", R"({"stop_ids":[2147483648]})", R"({"logit_bias":{"x":1}})",
        R"({"logit_bias":{"1":"a"}})", R"({"logit_bias":[]})", R"({"ignore_eos":1})",
        R"({"max_tokens":-5})", R"({"max_tokens":true})"}) {
    const Result<Json> object = ParseJson(text);
    if (!object.ok()) continue;  // a number that JSON cannot hold
    FieldReader reader(*object);
    SamplingParams params;
    ReadSamplingFields(reader, &params);
    EXPECT_FALSE(reader.ok()) << text;
    EXPECT_EQ(reader.failed_field(), object->begin().key());
    EXPECT_EQ(reader.status().message().rfind(reader.failed_field() + ": found ", 0), 0u)
        << reader.status().message();
  }
}

TEST(FieldReaderTest, KeepsTheFailureOfAnObjectInside) {
  const Json object = Object(R"({"a":{"b":"x"}})");
  FieldReader reader(object);
  FieldReader inner(*reader.Find("a"));
  reader.Adopt("a", inner);
  EXPECT_TRUE(reader.ok());
  bool b = false;
  inner.Bool("b", &b);
  reader.Adopt("a", inner);
  EXPECT_EQ(reader.failed_field(), "a.b");
  EXPECT_EQ(reader.status().message(), "a: b: found \"x\", expected true or false");
}

TEST(FieldReaderTest, RefusesUnknownFieldsAndSuggests) {
  const Json object = Object(R"({"temperatur":1})");
  FieldReader reader(object);
  SamplingParams params;
  ReadSamplingFields(reader, &params);
  EXPECT_TRUE(reader.ok());
  reader.RefuseUnknown();
  EXPECT_EQ(reader.failed_field(), "temperatur");
  EXPECT_NE(reader.status().message().find("\"temperature\""), std::string::npos);
}

}  // namespace
}  // namespace pelton
