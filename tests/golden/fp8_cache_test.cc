// Models over a latent cache in floats of 8 bits: how far from a cache in f32 they are, against
// independent results too, and that nothing but tokens decides about their bits.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "golden_case.h"
#include "latent_checkpoint.h"

namespace pelton::golden {
namespace {

namespace fs = std::filesystem;

constexpr size_t kTokens = 150;

class Fp8CacheTest : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "pelton_fp8_cache_XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    WriteLatentCheckpoint(root_, GetParam());
    for (size_t i = 0; i < kTokens; ++i) {
      tokens_.push_back(static_cast<int32_t>(i * i * 31 % kLatentCheckpointVocab));
    }
  }
  void TearDown() override { fs::remove_all(root_); }

  std::vector<float> Logits(RunnerOptions options, KvDType dtype, size_t chunk) const {
    options.kv_dtype = dtype;
    Runner runner(root_.string(), options);
    return runner.Append(tokens_, chunk);
  }

  fs::path root_;
  std::vector<int32_t> tokens_;
};

// Of the root mean square of `want`.
double RelativeError(const std::vector<float>& got, const std::vector<float>& want) {
  double error = 0, size = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    error += (got[i] - want[i]) * (got[i] - want[i]);
    size += want[i] * want[i];
  }
  return std::sqrt(error / size);
}

// E4M3 has 4 significant bits, so that a number is off by 1/32 at most and 1/46 in the mean square;
// many of them share in each score and value.
TEST_P(Fp8CacheTest, LogitsStayNearThoseOfF32) {
  for (int level = 0; level <= 3; ++level) {
    SCOPED_TRACE(level);
    const RunnerOptions options{.passes = {.numerics = Numerics::kExact, .fusion_level = level}};
    const std::vector<float> want = Logits(options, KvDType::kF32, kTokens);
    const double f16 = RelativeError(Logits(options, KvDType::kF16, kTokens), want);
    const double fp8 = RelativeError(Logits(options, KvDType::kFp8, kTokens), want);
    EXPECT_GT(fp8, 1e-4) << "the cache is another one";
    // Where an indexer chooses another token, the logits behind it are others.
    EXPECT_LT(fp8, GetParam() ? 0.1 : 0.03);
    if (level == 3) fmt::print("error of f16 {:.5f}, of fp8 {:.5f}\n", f16, fp8);
  }
}

TEST_P(Fp8CacheTest, ChunksAndThreadsDoNotChangeABit) {
  for (const auto& [numerics, as_prompts] :
       {std::pair(Numerics::kExact, false), std::pair(Numerics::kFast, true),
        std::pair(Numerics::kFast, false)}) {
    RunnerOptions options{.passes = {.numerics = numerics}, .as_prompts = as_prompts};
    const std::vector<float> want = Logits(options, KvDType::kFp8, kTokens);
    options.threads = 2;
    for (const size_t chunk : {1, 7, 64, 150}) {
      const std::vector<float> got = Logits(options, KvDType::kFp8, chunk);
      ASSERT_EQ(got.size(), want.size());
      EXPECT_EQ(std::memcmp(got.data(), want.data(), want.size() * sizeof(float)), 0)
          << "exact " << (numerics == Numerics::kExact) << " prompts " << as_prompts << " chunk "
          << chunk;
    }
  }
}

// The reference's logits, and its greedy tokens wherever their margin exceeds twice the bound.
TEST(Fp8CacheGoldenTest, LogitsAndGreedyTokensStayNearTheReference) {
  const std::optional<std::string> full = FullSet();
  if (!full) GTEST_SKIP() << "the full set of golden models is not here";
  size_t decided = 0, tokens = 0;
  for (const char* name : {"deepseek-v3-bf16", "deepseek-v3-fp8"}) {
    for (const Case& c : LoadCases(*full + "/models/" + name, name)) {
      Runner runner(c.model_path, {.passes = {.numerics = Numerics::kExact},
                                   .max_context = c.max_context,
                                   .kv_dtype = KvDType::kFp8});
      const size_t vocab = runner.vocab();
      for (const Prompt& prompt : c.prompts) {
        SCOPED_TRACE(c.name + " " + prompt.name);
        runner.Reset();
        std::vector<float> logits = runner.Append(prompt.ids, 256);
        double worst = 0, largest = 0;
        for (size_t r = 0; r < prompt.logits_positions.size(); ++r) {
          const float* got = &logits[prompt.logits_positions[r] * vocab];
          for (size_t i = 0; i < vocab; ++i) {
            const float want = prompt.logits[r * vocab + i];
            worst = std::max(worst, std::abs(static_cast<double>(got[i]) - want));
            largest = std::max(largest, std::abs(static_cast<double>(want)));
          }
        }
        fmt::print("{} {}: {} tokens, error {:.4f} of {:.2f}, coarse {}\n", c.name, prompt.name,
                   prompt.ids.size(), worst, largest, prompt.coarse_tolerance);
        logits.erase(logits.begin(), logits.end() - static_cast<std::ptrdiff_t>(vocab));
        for (size_t step = 0; step < prompt.greedy_ids.size(); ++step) {
          const auto best = std::max_element(logits.begin(), logits.end()) - logits.begin();
          ++tokens;
          if (prompt.greedy_margins[step] > 2 * worst) {
            ++decided;
            EXPECT_EQ(best, prompt.greedy_ids[step]) << "step " << step;
          }
          logits = runner.Append(std::span(&prompt.greedy_ids[step], 1), 1);
        }
      }
    }
  }
  fmt::print("{} of {}\n", decided, tokens);
}

INSTANTIATE_TEST_SUITE_P(Attention, Fp8CacheTest, testing::Values(false, true),
                         [](const auto& test) { return test.param ? "sparse" : "dense"; });

}  // namespace
}  // namespace pelton::golden
