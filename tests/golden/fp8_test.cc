// Checkpoints in F8_E4M3 with block scales against the same ones in F32: the arithmetic has one
// order, and the weights are the same numbers, so the logits are the same bits.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>

#include "base/checked_math.h"
#include "golden_case.h"
#include "models/weights/file_images.h"

namespace pelton::golden {
namespace {

namespace fs = std::filesystem;
using test::SafetensorsWriter;

// No size is a multiple of 128 but for one; heads begin inside of blocks.
constexpr uint64_t kHidden = 192, kIntermediate = 320, kVocab = 100, kHeads = 6, kKvHeads = 2;
constexpr uint64_t kHeadDim = 32, kLayers = 2;

// Codes of 8 bits of one block of 128 x 128 share a scale, a power of two where that is asked for.
struct Options {
  std::string scale_type;  // F32, BF16 or F8_E8M0
  bool tied = false;       // and the table in F8_E4M3 too
};

template <typename T>
std::string BytesOf(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

// One checkpoint in two forms.
class Checkpoint {
 public:
  explicit Checkpoint(const Options& options) : options_(options) {
    const uint64_t width = kHeads * kHeadDim, kv_width = kKvHeads * kHeadDim;
    if (options.tied) {
      Scaled("model.embed_tokens.weight", kVocab, kHidden);
    } else {
      Plain("model.embed_tokens.weight", {kVocab, kHidden}, 1.0f);
      Plain("lm_head.weight", {kVocab, kHidden}, 0.1f);
    }
    Plain("model.norm.weight", {kHidden}, 1.0f);
    for (uint64_t layer = 0; layer < kLayers; ++layer) {
      const auto name = [&](std::string_view part) {
        return fmt::format("model.layers.{}.{}.weight", layer, part);
      };
      Plain(name("input_layernorm"), {kHidden}, 1.0f);
      Plain(name("post_attention_layernorm"), {kHidden}, 1.0f);
      Scaled(name("self_attn.q_proj"), width, kHidden);
      Scaled(name("self_attn.k_proj"), kv_width, kHidden);
      Scaled(name("self_attn.v_proj"), kv_width, kHidden);
      Scaled(name("self_attn.o_proj"), kHidden, width);
      Scaled(name("mlp.gate_proj"), kIntermediate, kHidden);
      Scaled(name("mlp.up_proj"), kIntermediate, kHidden);
      Scaled(name("mlp.down_proj"), kHidden, kIntermediate);
    }
  }

  void Write(const fs::path& folder, bool fp8) const {
    fs::create_directories(folder);
    std::ofstream(folder / "model.safetensors", std::ios::binary)
        << (fp8 ? fp8_.Build() : f32_.Build());
    std::ofstream(folder / "config.json") << fmt::format(
        R"({{"model_type":"llama","hidden_size":{},"intermediate_size":{},)"
        R"("num_hidden_layers":{},"num_attention_heads":{},)"
        R"("num_key_value_heads":{},"head_dim":{},"vocab_size":{},)"
        R"("max_position_embeddings":256,"eos_token_id":2,)"
        R"("tie_word_embeddings":{}{}}})",
        kHidden, kIntermediate, kLayers, kHeads, kKvHeads, kHeadDim, kVocab, options_.tied,
        fp8 ? R"(,"quantization_config":{"quant_method":"fp8","fmt":"e4m3",)"
              R"("weight_block_size":[128,128]})"
            : "");
  }

 private:
  void Plain(const std::string& name, const std::vector<uint64_t>& sizes, float magnitude) {
    uint64_t count = 1;
    for (const uint64_t size : sizes) count *= size;
    std::vector<float> values(count);
    for (float& value : values) value = magnitude * (0.5f + Unit());
    fp8_.Add(name, "F32", sizes, BytesOf(values));
    f32_.Add(name, "F32", sizes, BytesOf(values));
  }

  void Scaled(const std::string& name, uint64_t rows, uint64_t cols) {
    const uint64_t block_cols = DivUp(cols, 128);
    std::vector<float> scales(DivUp(rows, 128) * block_cols);
    std::string stored_scales;
    for (float& scale : scales) {
      auto bits = std::bit_cast<uint32_t>(0.0005f + 0.001f * Unit());
      if (options_.scale_type == "BF16") bits &= 0xffff0000;
      if (options_.scale_type == "F8_E8M0") bits &= 0x7f800000;
      scale = std::bit_cast<float>(bits);
      char bytes[4];
      std::memcpy(bytes, &bits, sizeof(bytes));
      const auto power = static_cast<char>(bits >> 23);
      stored_scales += options_.scale_type == "F32"    ? std::string(bytes, 4)
                       : options_.scale_type == "BF16" ? std::string(bytes + 2, 2)
                                                       : std::string(1, power);
    }
    std::vector<uint8_t> codes(rows * cols);
    std::vector<float> values(rows * cols);
    for (uint64_t i = 0; i < codes.size(); ++i) {
      codes[i] = static_cast<uint8_t>(random_());
      const int code = codes[i] & 0x7f;
      if (code == 0x7f) --codes[i];
      const int number = codes[i] & 0x7f;
      // By the definition of OCP's E4M3.
      const double magnitude =
          number < 8 ? std::ldexp(number, -9) : std::ldexp(8 + number % 8, number / 8 - 10);
      const auto value = static_cast<float>(codes[i] > 0x7f ? -magnitude : magnitude);
      values[i] = value * scales[i / cols / 128 * block_cols + i % cols / 128];
    }
    fp8_.Add(name, "F8_E4M3", {rows, cols}, BytesOf(codes));
    fp8_.Add(name + "_scale_inv", options_.scale_type, {DivUp(rows, 128), block_cols},
             stored_scales);
    f32_.Add(name, "F32", {rows, cols}, BytesOf(values));
  }

  float Unit() { return static_cast<float>(random_() >> 8) * 0x1p-24f; }

  Options options_;
  std::mt19937 random_{7};
  SafetensorsWriter fp8_, f32_;
};

class Fp8Test : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "pelton_fp8_XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
  }
  void TearDown() override { fs::remove_all(root_); }

  // Of 30 tokens in steps of `chunk`.
  std::vector<float> Logits(const char* form, const PassOptions& passes, size_t chunk) const {
    Runner runner((root_ / form).string(),
                  {.passes = passes, .threads = 2, .max_step_tokens = 32, .as_prompts = false});
    std::vector<int32_t> tokens;
    tokens.reserve(30);
    for (int i = 0; i < 30; ++i) tokens.push_back(i * 37 % static_cast<int>(kVocab));
    return runner.Append(tokens, chunk);
  }

  void ExpectSameLogits(const Options& options) const {
    const Checkpoint checkpoint(options);
    checkpoint.Write(root_ / "fp8", true);
    checkpoint.Write(root_ / "f32", false);
    for (const Numerics numerics : {Numerics::kExact, Numerics::kFast}) {
      for (const int level : {0, 3}) {
        for (const size_t chunk : {1, 30}) {
          SCOPED_TRACE(fmt::format("{} scales, exact {}, level {}, chunk {}", options.scale_type,
                                   numerics == Numerics::kExact, level, chunk));
          const std::vector<float> fp8 =
              Logits("fp8", {.numerics = numerics, .fusion_level = level}, chunk);
          ASSERT_EQ(fp8.size(), 30 * kVocab);
          float largest = 0;
          for (const float logit : fp8) {
            ASSERT_TRUE(std::isfinite(logit));
            largest = std::max(largest, std::fabs(logit));
          }
          EXPECT_GT(largest, 0.01f);
          EXPECT_EQ(fp8, Logits("f32", {.numerics = numerics, .fusion_level = level}, chunk));
        }
      }
    }
  }

  fs::path root_;
};

TEST_F(Fp8Test, ACheckpointGivesTheLogitsOfItsNumbers) {
  ExpectSameLogits({.scale_type = "F32"});
  ExpectSameLogits({.scale_type = "BF16"});
  ExpectSameLogits({.scale_type = "F8_E8M0"});
}

TEST_F(Fp8Test, ATiedTableIsScaledToo) { ExpectSameLogits({.scale_type = "F32", .tied = true}); }

}  // namespace
}  // namespace pelton::golden
