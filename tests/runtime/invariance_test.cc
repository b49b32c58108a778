// The tokens and log-probabilities of a request do not depend on what runs beside it: property test
// over random batches, chunk sizes, threads, prefix cache and preemption, with real small models.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <bit>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <random>

#include "golden_case.h"
#include "latent_checkpoint.h"
#include "model_engine.h"
#include "runtime/engine/run_to_completion.h"

namespace pelton {
namespace {

// What the repository carries, and of the full set what has experts, latent attention, an indexer,
// compressed entries or sinks.
std::vector<std::string> Models() {
  std::vector<std::string> models = {"tests/data/golden/llama/model-Q4_0.gguf",
                                     "tests/data/golden/mistral-window"};
  if (const std::optional<std::string> full = golden::FullSet()) {
    for (const char* name : {"deepseek-v3-bf16", "deepseek-v32-dsa", "deepseek-v4", "gpt-oss"}) {
      models.push_back(*full + "/models/" + name);
    }
  }
  return models;
}

size_t VocabOf(const std::string& model) {
  const Result<ModelFiles> files = OpenModel(model);
  PELTON_CHECK(files.ok(), files.status().message().c_str());
  return files->config.vocab;
}

struct Asked {
  std::vector<int32_t> prompt_ids;
  SamplingParams params;
};

// Prompts of different lengths, some with a common beginning; greedy and sampled, some with
// log-probabilities of the prompt.
std::vector<Asked> RandomRequests(std::mt19937& rng, size_t count, size_t vocab) {
  std::vector<int32_t> common(40);
  for (int32_t& id : common) id = static_cast<int32_t>(rng() % vocab);
  std::vector<Asked> asked(count);
  for (size_t i = 0; i < count; ++i) {
    Asked& a = asked[i];
    if (rng() % 2 == 0) {
      a.prompt_ids.assign(common.begin(),
                          common.begin() + static_cast<std::ptrdiff_t>(1 + rng() % common.size()));
    }
    const size_t more = 1 + rng() % 20;
    for (size_t t = 0; t < more; ++t) a.prompt_ids.push_back(static_cast<int32_t>(rng() % vocab));
    a.params.temperature = rng() % 2 == 0 ? 0.0f : 1.0f;
    a.params.top_p = 0.9f;
    a.params.seed = rng();
    a.params.max_tokens = static_cast<uint32_t>(1 + rng() % 60);
    a.params.logprobs = 2;
    if (rng() % 3 == 0) a.params.prompt_logprobs = 1;
  }
  return asked;
}

std::vector<RequestResult> RunAll(Engine& engine, const std::vector<Asked>& asked) {
  std::vector<Request> requests;
  for (const Asked& a : asked) {
    Request& request = requests.emplace_back();
    request.prompt_ids = a.prompt_ids;
    request.params = a.params;
  }
  return RunToCompletion(engine, std::move(requests));
}

bool SameBits(float a, float b) { return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b); }

void ExpectSame(const std::vector<TokenRecord>& got, const std::vector<TokenRecord>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < want.size(); ++i) {
    ASSERT_EQ(got[i].id, want[i].id) << "token " << i;
    ASSERT_TRUE(SameBits(got[i].logprob, want[i].logprob)) << "token " << i;
    ASSERT_EQ(got[i].top.size(), want[i].top.size());
    for (size_t k = 0; k < want[i].top.size(); ++k) {
      ASSERT_EQ(got[i].top[k].id, want[i].top[k].id);
      ASSERT_TRUE(SameBits(got[i].top[k].logprob, want[i].top[k].logprob));
    }
  }
}

// What the rounds of a test saw together.
struct Seen {
  size_t preemptions = 0;
  size_t cached = 0;
  size_t accepted = 0;
  size_t rejected = 0;
};

// Each request by itself, its prompt in one piece, one thread, nothing cached.
std::vector<RequestResult> RunAlone(ModelEngineOptions options, const std::vector<Asked>& asked) {
  options.max_sequences = 1;
  options.prefix_cache = false;
  ModelEngine alone(options);
  std::vector<RequestResult> results;
  results.reserve(asked.size());
  for (const Asked& a : asked) results.push_back(RunAll(alone.engine(), {a})[0]);
  return results;
}

// All requests at once, in an engine of random size.
void CompareInCompany(std::mt19937& rng, int round, ModelEngineOptions options,
                      const std::vector<Asked>& asked, const std::vector<RequestResult>& want,
                      Seen& seen) {
  options.threads = 1 + rng() % 2;
  options.step_tokens = 8 + rng() % 120;
  options.max_sequences = 1 + rng() % 8;
  // Few blocks force sequences to give way to each other.
  options.kv_blocks = round % 2 == 0 ? 10 : 128;
  options.prefix_cache = round % 3 != 0;
  options.draft_tokens = 1 + rng() % 4;
  SCOPED_TRACE(fmt::format("{} threads {} step {} sequences {} blocks {} cache {} drafts {}",
                           options.path, options.threads, options.step_tokens,
                           options.max_sequences, options.kv_blocks, options.prefix_cache,
                           options.draft_tokens));
  ModelEngine together(options);
  const std::vector<RequestResult> got = RunAll(together.engine(), asked);
  for (size_t i = 0; i < asked.size(); ++i) {
    SCOPED_TRACE(fmt::format("request {}", i));
    ASSERT_TRUE(got[i].status.ok()) << got[i].status.message();
    EXPECT_EQ(got[i].reason, want[i].reason);
    ExpectSame(got[i].output, want[i].output);
    ExpectSame(got[i].prompt, want[i].prompt);
    seen.preemptions += got[i].finish.preemptions;
    seen.cached += got[i].finish.cached_tokens;
    seen.accepted += got[i].finish.accepted_drafts;
    seen.rejected += got[i].finish.rejected_drafts;
  }
}

// A folder for a model that a test makes.
struct ModelFolder {
  ModelFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "pelton_model_XXXXXX").string();
    PELTON_CHECK(::mkdtemp(pattern.data()) != nullptr, "a folder can be made");
    path = pattern;
  }
  ~ModelFolder() { std::filesystem::remove_all(path); }
  ModelFolder(const ModelFolder&) = delete;
  ModelFolder& operator=(const ModelFolder&) = delete;
  std::string path;
};

class InvarianceTest : public testing::TestWithParam<PassOptions> {
 protected:
  // Random requests to each model alone and in company; the test saw what it is about.
  static void CompareModels(uint32_t seed, const std::vector<std::string>& models,
                            const PassOptions& passes) {
    std::mt19937 rng(seed);
    Seen seen;
    for (const std::string& model : models) {
      const ModelEngineOptions options{.path = model, .passes = passes};
      const std::vector<Asked> asked = RandomRequests(rng, 24, VocabOf(model));
      const std::vector<RequestResult> want = RunAlone(options, asked);
      for (int round = 0; round < 6; ++round) {
        CompareInCompany(rng, round, options, asked, want, seen);
      }
    }
    EXPECT_GT(seen.preemptions, 0u);
    EXPECT_GT(seen.cached, 0u);
  }
};

TEST_P(InvarianceTest, ResultsDoNotDependOnWhatRunsBeside) {
  CompareModels(20261125, Models(), GetParam());
}

// The same where prompts make keys and values of latent rows for each head.
TEST_P(InvarianceTest, NorWithExpandedLatentAttention) {
  std::vector<std::string> models = {"tests/data/golden/deepseek-v3-fp8-edge"};
  if (const std::optional<std::string> full = golden::FullSet()) {
    models.push_back(*full + "/models/deepseek-v3-bf16");
  }
  PassOptions passes = GetParam();
  passes.switched_on = {"expand-latent-attention"};
  CompareModels(20261130, models, passes);
}

// The same with keys and values in 8 bits.
TEST_P(InvarianceTest, NorWhereTheCacheHolds8Bits) {
  std::mt19937 rng(20261128);
  Seen seen;
  const ModelEngineOptions options{.path = "tests/data/golden/llama/model-Q4_0.gguf",
                                   .passes = GetParam(),
                                   .kv_dtype = KvDType::kQ8};
  const std::vector<Asked> asked = RandomRequests(rng, 24, VocabOf(options.path));
  const std::vector<RequestResult> want = RunAlone(options, asked);
  for (int round = 0; round < 4; ++round) {
    CompareInCompany(rng, round, options, asked, want, seen);
  }
  EXPECT_GT(seen.preemptions, 0u);
  EXPECT_GT(seen.cached, 0u);
}

TEST_P(InvarianceTest, NorWhereLatentRowsAreInFloatsOf8Bits) {
  std::mt19937 rng(20261130);
  for (const bool indexer : {false, true}) {
    Seen seen;
    const ModelFolder folder;
    golden::WriteLatentCheckpoint(folder.path, indexer);
    const ModelEngineOptions options{
        .path = folder.path, .passes = GetParam(), .kv_dtype = KvDType::kFp8};
    const std::vector<Asked> asked = RandomRequests(rng, 24, VocabOf(options.path));
    const std::vector<RequestResult> want = RunAlone(options, asked);
    for (int round = 0; round < 4; ++round) {
      CompareInCompany(rng, round, options, asked, want, seen);
    }
    EXPECT_GT(seen.preemptions, 0u);
    EXPECT_GT(seen.cached, 0u);
  }
}

// The same with guesses of the model's own layer: they change when a token comes, never which.
TEST_P(InvarianceTest, MtpGuessesChangeNothing) {
  const std::optional<std::string> full = golden::FullSet();
  if (!full) GTEST_SKIP() << "the full set of golden models is not here";
  const std::string model = *full + "/models/deepseek-v3-mtp";
  std::mt19937 rng(20261127);
  Seen seen;
  for (int round = 0; round < 10; ++round) {
    const std::vector<Asked> asked = RandomRequests(rng, 24, VocabOf(model));
    const std::vector<RequestResult> want = RunAlone({.path = model, .passes = GetParam()}, asked);
    CompareInCompany(rng, round, {.path = model, .passes = GetParam(), .mtp = true}, asked, want,
                     seen);
  }
  EXPECT_GT(seen.preemptions, 0u);
  EXPECT_GT(seen.cached, 0u);
  fmt::print("{} guesses were right, {} wrong\n", seen.accepted, seen.rejected);
}

// And of another model, which is right (the model itself) or not (one with other weights).
TEST_P(InvarianceTest, DraftModelsChangeNothing) {
  std::mt19937 rng(20261129);
  Seen seen;
  ModelEngineOptions options{.path = "tests/data/golden/qwen3", .passes = GetParam()};
  const std::vector<Asked> asked = RandomRequests(rng, 24, VocabOf(options.path));
  const std::vector<RequestResult> want = RunAlone(options, asked);
  for (int round = 0; round < 6; ++round) {
    options.draft_path = round < 3 ? options.path : "tests/data/golden/mistral-window";
    CompareInCompany(rng, round, options, asked, want, seen);
  }
  EXPECT_GT(seen.preemptions, 0u);
  EXPECT_GT(seen.cached, 0u);
  fmt::print("{} guesses were right, {} wrong\n", seen.accepted, seen.rejected);
}

INSTANTIATE_TEST_SUITE_P(Plans, InvarianceTest,
                         testing::Values(PassOptions{.numerics = Numerics::kExact},
                                         PassOptions{.numerics = Numerics::kFast},
                                         PassOptions{.numerics = Numerics::kFast,
                                                     .weights = PackedFormat::kW8}),
                         [](const auto& test) {
                           const bool w8 = test.param.weights == PackedFormat::kW8;
                           return std::string(test.param.numerics == Numerics::kExact ? "exact"
                                                                                      : "fast") +
                                  (w8 ? "_w8" : "");
                         });

}  // namespace
}  // namespace pelton
