#include "serving/model/hub.h"

#include <gtest/gtest.h>

namespace pelton {
namespace {

TEST(HubNameTest, TakesNamesApart) {
  const auto name = ParseHubName("hf:someone/Model-GGUF:Q4_K_M");
  ASSERT_TRUE(name.ok() && *name);
  EXPECT_EQ((*name)->user, "someone");
  EXPECT_EQ((*name)->repo, "Model-GGUF");
  EXPECT_EQ((*name)->quant, "Q4_K_M");
  EXPECT_EQ((*ParseHubName("hf:a/b"))->quant, "");
  EXPECT_FALSE(ParseHubName("smollm2")->has_value());
}

TEST(HubNameTest, RefusesWhatCouldLeaveItsFolder) {
  for (const char* text : {"hf:", "hf:a", "hf:a/", "hf:/b", "hf:../b", "hf:a/..", "hf:a/b/c",
                           "hf:a/b:../../x", "hf:a/b:", "hf:a/b?x", "hf:a b/c", "hf:.a/b"}) {
    EXPECT_FALSE(ParseHubName(text).ok()) << text;
  }
}

constexpr std::string_view kList = R"([
  {"type":"file","path":"README.md","size":10},
  {"type":"file","path":"m-Q8_0.gguf","size":133,"lfs":{"oid":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","size":900}},
  {"type":"file","path":"m-Q4_K_M-00002-of-00002.gguf","size":5},
  {"type":"file","path":"m-Q4_K_M-00001-of-00002.gguf","size":6},
  {"type":"file","path":"../evil-Q4_0.gguf","size":6}])";

TEST(HubFilesTest, ChoosesByQuantisation) {
  const auto files = ChooseHubFiles(kList, {.user = "u", .repo = "r", .quant = "q8_0"});
  ASSERT_TRUE(files.ok()) << files.status().message();
  ASSERT_EQ(files->size(), 1u);
  EXPECT_EQ((*files)[0].bytes, 900u);
  EXPECT_EQ((*files)[0].sha256, std::string(64, 'a'));
}

TEST(HubFilesTest, TakesAllPartsOfASplitModelByDefault) {
  const auto files = ChooseHubFiles(kList, {.user = "u", .repo = "r"});
  ASSERT_TRUE(files.ok());
  ASSERT_EQ(files->size(), 2u);
  EXPECT_EQ((*files)[0].name, "m-Q4_K_M-00001-of-00002.gguf");
}

TEST(HubFilesTest, SaysWhatThereIs) {
  const auto files = ChooseHubFiles(kList, {.user = "u", .repo = "r", .quant = "Q2_K"});
  EXPECT_EQ(files.status().code(), StatusCode::kNotFound);
  EXPECT_NE(files.status().message().find("m-Q8_0, m-Q4_K_M"), std::string::npos)
      << files.status().message();
}

TEST(HubFilesTest, RefusesListsThatAreNone) {
  for (const char* text :
       {"", "{}", "[1]", R"([{"path":1}])", R"([{"path":"a.gguf"}])",
        R"([{"path":"a.gguf","size":-1}])", R"([{"path":"a.gguf","lfs":{"oid":"x","size":1}}])"}) {
    EXPECT_EQ(ChooseHubFiles(text, {}).status().code(), StatusCode::kDataLoss) << text;
  }
}

}  // namespace
}  // namespace pelton
