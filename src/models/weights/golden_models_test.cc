#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

#include "models/weights/gguf.h"
#include "models/weights/model_files.h"
#include "models/weights/safetensors.h"

namespace pelton {
namespace {

namespace fs = std::filesystem;

fs::path GoldenModels() {
  const char* root = std::getenv("PELTON_GOLDEN");  // NOLINT(concurrency-mt-unsafe)
  return fs::path(root != nullptr ? root : "../shared/golden") / "models";
}

// What the five first cases must read as, from both formats where both exist.
struct Expected {
  const char* name;
  const char* architecture;
  uint32_t hidden, layers, heads, kv_heads, head_dim, intermediate, vocab;
  double theta;
  bool tied, qkv_bias, qk_norm;
};

constexpr Expected kExpected[] = {
    {"llama", "llama", 256, 2, 8, 2, 32, 512, 320, 500000, false, false, false},
    {"llama3-scaled-tied", "llama", 320, 2, 8, 2, 40, 360, 1003, 500000, true, false, false},
    {"mistral-window", "llama", 128, 3, 4, 2, 48, 288, 512, 1e6, false, false, false},
    {"qwen2", "qwen2", 256, 2, 4, 2, 64, 512, 320, 1e6, false, true, false},
    {"qwen3", "qwen3", 128, 3, 4, 2, 64, 288, 512, 1e6, true, false, true},
    {"gemma2", "gemma2", 128, 4, 4, 2, 48, 288, 512, 10000, true, false, false},
    {"gemma3", "gemma3", 128, 4, 4, 1, 32, 288, 512, 1e6, true, false, true},
    {"phi3", "phi3", 128, 3, 4, 4, 32, 288, 512, 10000, false, false, false},
    {"phi3-longrope", "phi3", 128, 3, 4, 2, 32, 288, 512, 10000, false, false, false},
};

void CheckConfig(const Expected& expected, const ModelConfig& config) {
  EXPECT_EQ(config.architecture, expected.architecture);
  EXPECT_EQ(config.hidden, expected.hidden);
  EXPECT_EQ(config.layers, expected.layers);
  EXPECT_EQ(config.heads, expected.heads);
  EXPECT_EQ(config.kv_heads, expected.kv_heads);
  EXPECT_EQ(config.head_dim, expected.head_dim);
  EXPECT_EQ(config.intermediate, expected.intermediate);
  EXPECT_EQ(config.vocab, expected.vocab);
  EXPECT_EQ(config.rope.theta, expected.theta);
  EXPECT_EQ(config.tie_embeddings, expected.tied);
  EXPECT_EQ(config.qkv_bias, expected.qkv_bias);
  EXPECT_EQ(config.qk_norm, expected.qk_norm);
  EXPECT_EQ(config.bos_id, 0u);
  EXPECT_EQ(config.eos_ids, std::vector<uint32_t>{1});
}

class GoldenModelsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = GoldenModels();
    if (!fs::is_directory(root_)) {
      GTEST_SKIP() << "no golden models in " << root_ << ": " << std::size(kExpected)
                   << " configurations and all files of the set not seen";
    }
  }
  ModelFiles Open(const fs::path& path) {
    auto files = OpenModel(path.string());
    EXPECT_TRUE(files.ok()) << files.status().message();
    return std::move(files).value();
  }
  fs::path root_;
};

TEST_F(GoldenModelsTest, ConfigurationsOfBothFormats) {
  size_t ggufs = 0;
  for (const Expected& expected : kExpected) {
    SCOPED_TRACE(expected.name);
    const fs::path folder = root_ / expected.name;
    const ModelFiles files = Open(folder);
    CheckConfig(expected, files.config);
    EXPECT_FALSE(files.config.rope.interleaved);
    for (const auto& entry : fs::directory_iterator(folder)) {
      if (entry.path().extension() != ".gguf") continue;
      SCOPED_TRACE(entry.path().string());
      const ModelFiles gguf = Open(entry.path());
      CheckConfig(expected, gguf.config);
      EXPECT_EQ(gguf.config.rope.interleaved, gguf.config.architecture == "llama");
      EXPECT_EQ(gguf.config.rope.dims, expected.head_dim);
      EXPECT_NEAR(gguf.config.rms_epsilon, files.config.rms_epsilon, 1e-12);
      EXPECT_EQ(gguf.config.max_positions, files.config.max_positions);
      EXPECT_EQ(gguf.config.attention_scale, files.config.attention_scale);
      EXPECT_EQ(gguf.bos_text, "<s>");
      ++ggufs;
    }
  }
  EXPECT_EQ(ggufs, 11u);
}

TEST_F(GoldenModelsTest, FeaturesOfTheCases) {
  const ModelConfig scaled = Open(root_ / "llama3-scaled-tied").config;
  EXPECT_EQ(scaled.rope.scaling, RopeScaling::kLlama3);
  EXPECT_EQ(scaled.rope.factor, 8);
  EXPECT_EQ(scaled.rope.low_freq_factor, 1);
  EXPECT_EQ(scaled.rope.high_freq_factor, 4);
  EXPECT_EQ(scaled.rope.original_context_tokens, 64u);

  const ModelConfig window = Open(root_ / "mistral-window").config;
  EXPECT_EQ(window.sliding_window, 24u);
  EXPECT_EQ(window.windowed_layers, std::vector<bool>(3, true));

  const ModelConfig qwen2 = Open(root_ / "qwen2").config;
  EXPECT_EQ(qwen2.sliding_window, 0u);
  EXPECT_EQ(qwen2.windowed_layers, std::vector<bool>(2, false));

  const ModelConfig gemma2 = Open(root_ / "gemma2").config;
  EXPECT_EQ(gemma2.attention_soft_cap, 8);
  EXPECT_EQ(gemma2.final_soft_cap, 30);
  EXPECT_DOUBLE_EQ(gemma2.attention_scale * gemma2.attention_scale, 1.0 / 40);
  EXPECT_EQ(gemma2.windowed_layers, (std::vector<bool>{true, false, true, false}));

  const ModelConfig gemma3 = Open(root_ / "gemma3").config;
  EXPECT_EQ(gemma3.windowed_layers, (std::vector<bool>{true, true, false, true}));
  ASSERT_TRUE(gemma3.local_rope.has_value());
  EXPECT_EQ(gemma3.local_rope->theta, 10000);
  EXPECT_EQ(gemma3.local_rope->scaling, RopeScaling::kNone);
  EXPECT_EQ(gemma3.rope.scaling, RopeScaling::kLinear);

  EXPECT_EQ(Open(root_ / "phi3").config.sliding_window, 40u);
  const ModelConfig longrope = Open(root_ / "phi3-longrope").config;
  EXPECT_EQ(longrope.rope.scaling, RopeScaling::kLongRope);
  EXPECT_EQ(longrope.rope.original_context_tokens, 100u);
  EXPECT_EQ(longrope.rope.short_factors.size(), 16u);
  EXPECT_FLOAT_EQ(longrope.rope.long_factors[15], 7.95f);
  EXPECT_NEAR(longrope.rope.attention_factor, 1.2048, 1e-3);  // sqrt(1 + ln 8 / ln 100)
}

// Checks what every opened source promises.
void CheckTensors(const WeightSource& weights) {
  EXPECT_FALSE(weights.tensors().empty());
  for (const TensorInfo& tensor : weights.tensors()) {
    EXPECT_EQ(weights.Find(tensor.name), &tensor);
    EXPECT_EQ(RowBytes(tensor.dtype, tensor.NumElements()), tensor.data.size()) << tensor.name;
    EXPECT_FALSE(weights.FileOf(tensor).empty());
  }
}

TEST_F(GoldenModelsTest, EveryFileOpens) {
  size_t safetensors = 0;
  size_t ggufs = 0;
  for (const auto& entry : fs::recursive_directory_iterator(root_)) {
    const std::string path = entry.path().string();
    SCOPED_TRACE(path);
    if (entry.path().extension() == ".gguf") {
      const auto model = OpenGguf(path);
      ASSERT_TRUE(model.ok()) << model.status().message();
      CheckTensors(model->weights);
      ++ggufs;
    } else if (entry.path().extension() == ".safetensors") {
      auto file = MappedFile::Open(path);
      ASSERT_TRUE(file.ok());
      auto image = ParseSafetensors(file->bytes(), path);
      ASSERT_TRUE(image.ok()) << image.status().message();
      WeightSource::Parts parts{.format = WeightFormat::kSafetensors,
                                .files = {},
                                .name_storage = {},
                                .tensors = std::move(image->tensors)};
      parts.files.push_back(std::move(file).value());
      const auto weights = WeightSource::Create(std::move(parts));
      ASSERT_TRUE(weights.ok());
      CheckTensors(*weights);
      ++safetensors;
    }
  }
  EXPECT_EQ(ggufs, 16u);
  EXPECT_GE(safetensors, 40u);
  std::cout << "opened " << ggufs << " GGUF and " << safetensors << " safetensors files\n";
}

TEST_F(GoldenModelsTest, CompressedEntries) {
  const ModelConfig v4 = Open(root_ / "deepseek-v4").config;
  EXPECT_EQ(v4.architecture, "deepseek4");
  ASSERT_TRUE(v4.compressed && v4.indexer && v4.moe && v4.local_rope);
  EXPECT_EQ(v4.compressed->ratios, (std::vector<uint32_t>{0, 4, 16, 4, 16}));
  EXPECT_EQ(v4.compressed->chosen, (std::vector<bool>{false, true, false, true, false}));
  EXPECT_EQ(v4.compressed->streams, 4u);
  EXPECT_EQ(v4.sliding_window, 12u);
  EXPECT_EQ(v4.rope.theta, 160000);
  EXPECT_EQ(v4.rope.scaling, RopeScaling::kYarn);
  EXPECT_EQ(v4.rope.attention_factor, 1);
  EXPECT_EQ(v4.local_rope->theta, 10000);
  EXPECT_EQ(v4.local_rope->scaling, RopeScaling::kNone);
  EXPECT_EQ(v4.moe->hash_layers, 2u);
  EXPECT_EQ(v4.moe->scoring, MoeScoring::kSqrtSoftplus);
  EXPECT_EQ(v4.gate_limit, 3);
}

// The default model, where `make run` and `make test` keep it.
TEST(SmolLm2Test, OpensTheDefaultModel) {
  const char* cache = std::getenv("XDG_CACHE_HOME");  // NOLINT(concurrency-mt-unsafe)
  const char* home = std::getenv("HOME");             // NOLINT(concurrency-mt-unsafe)
  const fs::path folder = cache != nullptr  ? fs::path(cache)
                          : home != nullptr ? fs::path(home) / ".cache"
                                            : fs::path(".");
  const fs::path path = folder / "pelton/models/smollm2-135m-instruct-q4_1.gguf";
  if (!fs::exists(path)) GTEST_SKIP() << path << " does not exist: 1 model file not seen";
  const auto files = OpenModel(path.string());
  ASSERT_TRUE(files.ok()) << files.status().message();
  EXPECT_EQ(files->config.layers, 30u);
  EXPECT_EQ(files->config.heads, 9u);
  EXPECT_EQ(files->config.kv_heads, 3u);
  EXPECT_EQ(files->config.vocab, 49152u);
  EXPECT_EQ(files->config.rope.theta, 100000);
  EXPECT_TRUE(files->config.tie_embeddings);
  EXPECT_EQ(files->config.eos_ids, std::vector<uint32_t>{2});
  EXPECT_EQ(files->eos_text, "<|im_end|>");
  EXPECT_EQ(files->weights.tensors().size(), 272u);
  EXPECT_EQ(files->gguf->Find("tokenizer.ggml.merges")->strings().size(), 48900u);
}

}  // namespace
}  // namespace pelton
