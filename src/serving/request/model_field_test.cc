#include "serving/request/model_field.h"

#include <gtest/gtest.h>

namespace pelton {
namespace {

std::string Found(std::string_view body) {
  const Result<std::string> found = ModelFieldOf(body);
  return found.ok() ? *found : "error: " + found.status().message();
}

TEST(ModelFieldTest, IsTheMemberOfTheOuterObject) {
  EXPECT_EQ(Found(R"({"model":"a"})"), "a");
  EXPECT_EQ(Found(R"({"messages":[{"model":"x"}],"o":{"model":"y"},"model":"a","n":1})"), "a");
  EXPECT_EQ(Found(R"({"messages":[{"model":"x"}],"o":{"model":"y"}})"), "");
  EXPECT_EQ(Found(R"({"model":{"model":"x"}})"), "");
  EXPECT_EQ(Found(R"({"model":["x"],"n":"y"})"), "");
  EXPECT_EQ(Found(R"({"model":null,"n":"y"})"), "");
  EXPECT_EQ(Found(R"({"model":5})"), "");
  EXPECT_EQ(Found(R"([{"model":"x"}])"), "");
  EXPECT_EQ(Found(R"("model")"), "");
  EXPECT_EQ(Found("{}"), "");
}

TEST(ModelFieldTest, WhatFollowsIsNotRead) {
  EXPECT_EQ(Found(R"({"model":"a", and no JSON)"), "a");
}

TEST(ModelFieldTest, WhatIsNoJsonIsRefused) {
  for (const char* body :
       {"", "{", R"({"a":)", R"({"a":1,"model")", "{\"a\":NaN,\"model\":\"b\"}"}) {
    EXPECT_EQ(ModelFieldOf(body).status().code(), StatusCode::kInvalidArgument) << body;
  }
  EXPECT_FALSE(ModelFieldOf(std::string(1 << 20, '{')).ok());
  EXPECT_EQ(Found(std::string(1 << 20, '[')), "");
}

}  // namespace
}  // namespace pelton
