// Whole models against results of an independent reference: logits, greedy tokens, and that neither
// fusion level, nor chunks, nor threads change the tokens.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <tuple>

#include "base/cpu_features.h"
#include "golden_case.h"

namespace pelton::golden {
namespace {

// Families that BuildGraph builds.
const std::vector<std::string> kFullCases = {"llama",
                                             "llama3-scaled-tied",
                                             "mistral-window",
                                             "qwen2",
                                             "qwen3",
                                             "gemma2",
                                             "gemma3",
                                             "phi3",
                                             "phi3-longrope",
                                             "mixtral",
                                             "qwen3-moe",
                                             "deepseek-v2-lite",
                                             "deepseek-v2-group",
                                             "deepseek-v3-bf16",
                                             "deepseek-v3-fp8",
                                             "deepseek-v3-fp8-edge",
                                             "deepseek-v3-mtp",
                                             "gpt-oss",
                                             "deepseek-v32-dsa",
                                             "deepseek-v4"};

// Folders, phi3-longrope twice, and GGUF files of llama, qwen2 and deepseek-v2-lite.
constexpr size_t kFullSetSize = 37;

// The reference chooses longrope's factors by the length of each prompt, Pelton by the context that
// a model is opened for: one case for the prompts that stay within the original context, with their
// continuations, and one for the others.
void SplitLongRope(std::vector<Case>* cases) {
  constexpr size_t kOriginalContext = 100;
  Case within = cases->back(), beyond = cases->back();
  const auto is_within = [&](const Prompt& prompt) {
    return prompt.ids.size() + prompt.greedy_ids.size() <= kOriginalContext;
  };
  std::erase_if(within.prompts, std::not_fn(is_within));
  std::erase_if(beyond.prompts, is_within);
  EXPECT_EQ(within.prompts.size(), 2u);
  EXPECT_EQ(beyond.prompts.size(), 1u);
  within.name += "/short";
  within.max_context = kOriginalContext;
  beyond.name += "/long";
  cases->back() = std::move(within);
  cases->push_back(std::move(beyond));
}

std::vector<Case> AllCases() {
  std::vector<Case> cases;
  const std::optional<std::string> full = FullSet();
  if (full) {
    for (const std::string& name : kFullCases) {
      for (Case& c : LoadCases(*full + "/models/" + name, name)) cases.push_back(std::move(c));
      if (name == "phi3-longrope") SplitLongRope(&cases);
    }
    EXPECT_EQ(cases.size(), kFullSetSize);
    return cases;
  }
  // What the repository carries: one GGUF file and three folders of the full set.
  for (const char* name : {"llama", "mistral-window", "qwen3", "deepseek-v3-fp8-edge"}) {
    for (Case& c : LoadCases(std::string("tests/data/golden/") + name, name))
      cases.push_back(std::move(c));
  }
  fmt::print("The full set of golden models is not here: {} of {} cases were not seen.\n",
             kFullSetSize - cases.size(), kFullSetSize);
  return cases;
}

double MaxError(std::span<const float> got, std::span<const float> want) {
  double worst = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    const double error = std::abs(double{got[i]} - want[i]);
    if (!(error <= worst)) worst = error;  // NaN counts
  }
  return worst;
}

int32_t Best(std::span<const float> row) {
  return static_cast<int32_t>(std::max_element(row.begin(), row.end()) - row.begin());
}

// The share of positions of all prompts and their greedy continuations with the reference's best
// token. Where an indexer chooses another key or a router another expert, logits of a tiny model
// are anything, though nothing is wrong. For deepseek-v32-dsa the bound is 0.69, and 0.54 with bf16
// tiles; with f16 keys 0.99 is reached, with tiles 0.67, by a model that attends to all positions
// 0.21.
double Agreement(const Case& c, Runner& runner) {
  const size_t vocab = runner.vocab();
  size_t equal = 0, all = 0;
  for (const Prompt& prompt : c.prompts) {
    std::vector<int32_t> ids = prompt.ids, want = prompt.best_ids;
    ids.insert(ids.end(), prompt.greedy_ids.begin(), prompt.greedy_ids.end() - 1);
    want.insert(want.end(), prompt.greedy_ids.begin() + 1, prompt.greedy_ids.end());
    runner.Reset();
    const std::vector<float> logits = runner.Append(ids, 64);
    for (size_t i = 0; i < ids.size(); ++i) {
      equal += Best(std::span(logits).subspan(i * vocab, vocab)) == want[i] ? 1 : 0;
    }
    all += ids.size();
  }
  return static_cast<double>(equal) / static_cast<double>(all);
}

// Checks prompt logits within the case's tolerance, of exact or of coarser arithmetic, and the
// recorded greedy path token by token wherever its margin exceeds twice that. `on_tiles`: rows may
// be computed in bf16, as in the reference's run that chose other experts or keys. Of a prompt with
// such rows one of the recorded ones may then be one of them, and equal best tokens are counted
// too.
void CheckCase(const Case& c, Runner& runner, Numerics numerics, size_t chunk,
               bool on_tiles = false) {
  const size_t vocab = runner.vocab();
  for (const Prompt& prompt : c.prompts) {
    SCOPED_TRACE(c.name + " " + prompt.name);
    const double tolerance =
        numerics == Numerics::kExact ? c.float32_tolerance : prompt.coarse_tolerance;
    runner.Reset();
    std::vector<float> logits = runner.Append(prompt.ids, chunk);
    ASSERT_EQ(prompt.logits.size(), prompt.logits_positions.size() * vocab);
    int others = on_tiles && prompt.other_choices ? 1 : 0;
    for (size_t r = 0; r < prompt.logits_positions.size(); ++r) {
      const size_t position = prompt.logits_positions[r];
      const double error = MaxError(std::span(logits).subspan(position * vocab, vocab),
                                    std::span(prompt.logits).subspan(r * vocab, vocab));
      if (!(error <= tolerance) && std::isfinite(error) && others-- > 0) continue;
      EXPECT_LE(error, tolerance) << "position " << position;
    }
    std::span<const float> last = std::span(logits).last(vocab);
    std::vector<float> next;
    for (size_t step = 0; step < prompt.greedy_ids.size(); ++step) {
      if (prompt.greedy_margins[step] > 2 * tolerance) {
        ASSERT_EQ(Best(last), prompt.greedy_ids[step]) << "step " << step;
      }
      next = runner.Append(std::span(&prompt.greedy_ids[step], 1), 1);
      last = next;
    }
  }
  if (numerics == Numerics::kFast && c.coarse_agreement > 0 &&
      (c.logits_are_no_bound || on_tiles)) {
    EXPECT_GE(Agreement(c, runner), on_tiles ? c.tile_agreement : c.coarse_agreement) << c.name;
  }
}

bool HasTiles() { return (CpuFeatures() & kCpuAmx) != 0; }

TEST(GoldenModelsTest, ExactNumericsAtEveryFusionLevel) {
  size_t checked = 0;
  for (const Case& c : AllCases()) {
    for (int level = 0; level <= 3; ++level) {
      Runner runner(c.model_path, {.passes = {.numerics = Numerics::kExact, .fusion_level = level},
                                   .max_context = c.max_context});
      SCOPED_TRACE(fmt::format("fusion level {}", level));
      CheckCase(c, runner, Numerics::kExact, 256);
      ++checked;
    }
  }
  EXPECT_GE(checked, 4u * 4);
}

TEST(GoldenModelsTest, FastNumericsStaysNear) {
  for (const Case& c : AllCases()) {
    for (const bool as_prompts : {true, false}) {
      Runner runner(c.model_path, {.passes = {.numerics = Numerics::kFast},
                                   .max_context = c.max_context,
                                   .as_prompts = as_prompts});
      CheckCase(c, runner, Numerics::kFast, 256, as_prompts && HasTiles());
    }
  }
}

TEST(GoldenModelsTest, FastNumericsOfOtherArithmetic) {
  // Without the promise of one arithmetic for all row counts (AMX, where the machine has it).
  for (const Case& c : AllCases()) {
    Runner runner(c.model_path, {.passes = {.numerics = Numerics::kFast},
                                 .max_context = c.max_context,
                                 .need_invariant = false});
    CheckCase(c, runner, Numerics::kFast, 256, HasTiles());
  }
}

void CheckChunksAndThreads(const Case& c, RunnerOptions options) {
  Runner one(c.model_path, options);
  options.threads = 2;
  Runner two(c.model_path, options);
  for (const Prompt& prompt : c.prompts) {
    SCOPED_TRACE(c.name + " " + prompt.name);
    one.Reset();
    const std::vector<float> want = one.Append(prompt.ids, 256);
    for (size_t chunk : {1, 7, 64, 256}) {
      two.Reset();
      const std::vector<float> got = two.Append(prompt.ids, chunk);
      ASSERT_EQ(got.size(), want.size());
      EXPECT_EQ(std::memcmp(got.data(), want.data(), want.size() * sizeof(float)), 0)
          << "chunk " << chunk;
    }
  }
}

TEST(GoldenModelsTest, ChunksAndThreadsDoNotChangeABit) {
  constexpr PackedFormat kStored = PackedFormat::kStored, kW8 = PackedFormat::kW8;
  for (const Case& c : AllCases()) {
    for (const auto& [name, numerics, weights, as_prompts] :
         {std::tuple("exact", Numerics::kExact, kStored, false),
          std::tuple("fast", Numerics::kFast, kStored, true),
          std::tuple("fast, generated", Numerics::kFast, kStored, false),
          std::tuple("fast W8", Numerics::kFast, kW8, true),
          std::tuple("fast W8, generated", Numerics::kFast, kW8, false)}) {
      if (weights == kW8 && !OpenModel(c.model_path)->config.moe) continue;
      SCOPED_TRACE(name);
      CheckChunksAndThreads(c, {.passes = {.numerics = numerics, .weights = weights},
                                .max_context = c.max_context,
                                .as_prompts = as_prompts});
    }
  }
}

// Keys and values of each head for prompts, which do not pay for models as small as these.
TEST(GoldenModelsTest, ExpandedLatentAttention) {
  size_t checked = 0;
  for (const Case& c : AllCases()) {
    const ModelConfig config = OpenModel(c.model_path)->config;
    if (!config.mla || config.indexer) continue;
    ++checked;
    for (const Numerics numerics : {Numerics::kExact, Numerics::kFast}) {
      SCOPED_TRACE(numerics == Numerics::kExact ? "exact" : "fast");
      RunnerOptions options{
          .passes = {.numerics = numerics, .switched_on = {"expand-latent-attention"}},
          .max_context = c.max_context};
      Runner runner(c.model_path, options);
      // Weights of quantised files are transposed in BF16.
      const bool rounded = c.model_path.ends_with(".gguf") && !c.model_path.ends_with("F32.gguf");
      // Fast numerics compute these rows in bf16 where there are tiles.
      const bool on_tiles = HasTiles() && numerics == Numerics::kFast;
      // There a router of this one chooses another expert behind a prompt that it chose as in f32
      // for.
      if (!on_tiles || c.name != "deepseek-v3-fp8") {
        CheckCase(c, runner, rounded ? Numerics::kFast : numerics, 64, on_tiles);
      }
      CheckChunksAndThreads(c, options);
    }
  }
  EXPECT_GE(checked, 1u);
}

}  // namespace
}  // namespace pelton::golden
