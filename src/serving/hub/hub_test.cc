#include "serving/hub/hub.h"

#include <fmt/format.h>
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
  EXPECT_NE(files.status().message().find("m-Q4_K_M, m-Q8_0"), std::string::npos)
      << files.status().message();
}

TEST(HubFilesTest, ComparesWholeWordsOfAName) {
  constexpr std::string_view kSimilar = R"([
    {"path":"m-IQ4_NL.gguf","size":1}, {"path":"m.q4_nl.gguf","size":2},
    {"path":"mmproj-m-Q8_0.gguf","size":3}, {"path":"z-Q8_0.gguf","size":4},
    {"path":"m-abcde-of-fghij.gguf","size":5}, {"path":"m-00003-of-00002.gguf","size":6}])";
  const auto bytes_of = [&](const char* quant) {
    const auto files = ChooseHubFiles(kSimilar, {.user = "u", .repo = "r", .quant = quant});
    return files.ok() && files->size() == 1 ? (*files)[0].bytes : 0;
  };
  EXPECT_EQ(bytes_of("Q4_NL"), 2u);
  EXPECT_EQ(bytes_of("IQ4_NL"), 1u);
  EXPECT_EQ(bytes_of(""), 4u);
  EXPECT_EQ(bytes_of("fghij"), 5u);
  EXPECT_EQ(bytes_of("00002"), 6u);  // no proper part, so a name like others
}

TEST(HubFilesTest, PrefersOneFileToItsParts) {
  constexpr std::string_view kBoth = R"([
    {"path":"m-00001-of-00002.gguf","size":1}, {"path":"m-00002-of-00002.gguf","size":1},
    {"path":"m.gguf","size":2}])";
  const auto files = ChooseHubFiles(kBoth, {.user = "u", .repo = "r"});
  ASSERT_TRUE(files.ok()) << files.status().message();
  ASSERT_EQ(files->size(), 1u);
  EXPECT_EQ((*files)[0].name, "m.gguf");
}

TEST(HubFilesTest, BoundsWhatAListCosts) {
  std::string list = "[";
  for (int i = 0; i < 4096; ++i) list += fmt::format(R"({{"path":"m{}.gguf","size":1}},)", i);
  const auto message = ChooseHubFiles(list + "{\"path\":\"x\"}]", {}).status().message();
  EXPECT_LT(message.size(), 1000u);
  EXPECT_NE(message.find("and 4056 more"), std::string::npos) << message;
  EXPECT_EQ(ChooseHubFiles(list + R"({"path":"x.gguf","size":1}])", {}).status().code(),
            StatusCode::kDataLoss);
  const std::string deep = std::string(1 << 20, '[') + std::string(1 << 20, ']');
  EXPECT_EQ(ChooseHubFiles(deep, {}).status().code(), StatusCode::kDataLoss);
}

TEST(HubFilesTest, RefusesListsThatAreNone) {
  for (const char* text :
       {"", "{}", "[[]]", R"([{"path":"a.gguf","size":0}])",
        R"([{"path":"a.gguf","size":1},{"path":"a.gguf","size":2}])",
        R"([{"path":"a-00001-of-00002.gguf","size":1}])",
        R"([{"path":"a-00001-of-00003.gguf","size":1},{"path":"a-00002-of-00003.gguf","size":1}])",
        "[1]", R"([{"path":1}])", R"([{"path":"a.gguf"}])", R"([{"path":"a.gguf","size":-1}])",
        R"([{"path":"a.gguf","lfs":{"oid":"x","size":1}}])"}) {
    EXPECT_EQ(ChooseHubFiles(text, {}).status().code(), StatusCode::kDataLoss) << text;
  }
}

}  // namespace
}  // namespace pelton
