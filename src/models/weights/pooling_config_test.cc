#include "models/weights/pooling_config.h"

#include <gtest/gtest.h>

namespace pelton {
namespace {

TEST(PoolingConfigTest, ModesOfBothForms) {
  const auto mode = [](std::string_view text) {
    const Result<std::string> result = PoolingModeFromJson(text, "p.json");
    return result.ok() ? *result : "refused: " + std::string(result.status().message());
  };
  EXPECT_EQ(mode("{}"), "mean");
  EXPECT_EQ(mode(R"({"pooling_mode_cls_token":true,"pooling_mode_mean_tokens":false})"), "cls");
  EXPECT_EQ(mode(R"({"pooling_mode_lasttoken":true})"), "last");
  EXPECT_EQ(mode(R"({"pooling_mode":"lasttoken"})"), "last");
  EXPECT_EQ(mode(R"({"pooling_mode":"max"})"),
            "refused: p.json: pooling_mode: found \"max\", expected mean, cls or lasttoken");
  EXPECT_EQ(mode(R"({"pooling_mode_max_tokens":true})").rfind("refused", 0), 0u);
  EXPECT_EQ(mode(R"({"pooling_mode_cls_token":true,"pooling_mode_mean_tokens":true})")
                .rfind("refused", 0),
            0u);
  EXPECT_EQ(mode("[]").rfind("refused", 0), 0u);
}

TEST(PoolingConfigTest, Modules) {
  const Result<SentenceModules> modules = SentenceModulesFromJson(
      R"([{"type":"sentence_transformers.models.Transformer","path":""},)"
      R"({"type":"sentence_transformers.models.Pooling","path":"1_Pooling"},)"
      R"({"type":"sentence_transformers.models.Normalize","path":"2"}])",
      "modules.json");
  ASSERT_TRUE(modules.ok()) << modules.status().message();
  EXPECT_EQ(modules->pooling_folder, "1_Pooling");
  EXPECT_TRUE(modules->normalize);
  EXPECT_FALSE(SentenceModulesFromJson("[]", "m")->normalize);
  for (const char* bad : {"{}", "[1]", R"([{"type":"a.Dense"}])",
                          R"([{"type":"a.Pooling","path":"../x"}])", R"([{"type":"a.Pooling"}])"}) {
    EXPECT_FALSE(SentenceModulesFromJson(bad, "m").ok()) << bad;
  }
}

}  // namespace
}  // namespace pelton
