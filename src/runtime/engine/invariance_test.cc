#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <tuple>
#include <vector>

#include "runtime/engine/engine_fixture.h"

namespace pelton {
namespace {

// What a request asks for, from which a Request can be made any number of times.
struct Wish {
  std::vector<int32_t> prompt;
  SamplingParams params;
  std::string salt;
  ServiceClass service_class = ServiceClass::kStandard;
  std::string tenant;
  bool constrained = false;

  Request Make() const {
    Request request;
    request.prompt_ids = prompt;
    request.params = params;
    request.cache_salt = salt;
    request.service_class = service_class;
    request.tenant = tenant;
    request.decoder = std::make_unique<LetterDecoder>();
    if (constrained) request.constraint = std::make_unique<TurnConstraint>(3, 12);
    return request;
  }
};

class Dice {
 public:
  explicit Dice(uint32_t seed) : random_(seed) {}
  size_t Below(size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(random_); }
  bool OneIn(size_t n) { return Below(n) == 0; }

 private:
  std::mt19937 random_;
};

// Prompts that begin alike in whole and in broken blocks, with every kind of sampling.
std::vector<Wish> MakeWishes(Dice& dice, size_t count) {
  std::vector<std::vector<int32_t>> beginnings(3);
  for (auto& beginning : beginnings) {
    beginning.resize(4 + dice.Below(30));
    for (int32_t& id : beginning) id = static_cast<int32_t>(dice.Below(40));
  }
  // The same blocks after another first token: their K/V must not be mixed up.
  beginnings[1] = beginnings[0];
  beginnings[1][0] = (beginnings[1][0] + 1) % 40;
  std::vector<Wish> wishes(count);
  for (Wish& wish : wishes) {
    wish.prompt = beginnings[dice.Below(3)];
    wish.prompt.resize(1 + dice.Below(wish.prompt.size()));
    for (size_t n = dice.Below(12); n > 0; --n) {
      wish.prompt.push_back(static_cast<int32_t>(dice.Below(40)));
    }
    wish.params.seed = dice.Below(1000);
    wish.params.temperature = dice.OneIn(2) ? 0.0f : 1.0f;
    if (dice.OneIn(3)) wish.params.top_k = 5;
    if (dice.OneIn(3)) wish.params.top_p = 0.8f;
    if (dice.OneIn(3)) wish.params.presence_penalty = 0.7f;
    if (dice.OneIn(3)) wish.params.stop_ids = {static_cast<int32_t>(dice.Below(40))};
    if (dice.OneIn(4)) wish.params.stop_strings = {"a", "bc"};
    if (dice.OneIn(3)) wish.params.min_tokens = 2;
    wish.params.max_tokens = static_cast<uint32_t>(2 + dice.Below(25));
    wish.params.logprobs = static_cast<uint32_t>(dice.Below(3));
    if (dice.OneIn(4)) wish.params.prompt_logprobs = 2;
    if (dice.OneIn(3)) wish.salt = "tenant";
    wish.service_class = static_cast<ServiceClass>(dice.Below(kNumServiceClasses));
    wish.tenant = dice.OneIn(2) ? "a" : "b";
    wish.constrained = wish.params.logprobs == 1;
  }
  return wishes;
}

void ExpectSame(const std::vector<TokenRecord>& got, const std::vector<TokenRecord>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_EQ(got[i].id, want[i].id) << "token " << i;
    ASSERT_EQ(got[i].logprob, want[i].logprob) << "token " << i;  // bit for bit
    ASSERT_EQ(got[i].top.size(), want[i].top.size());
    for (size_t j = 0; j < got[i].top.size(); ++j) {
      ASSERT_EQ(got[i].top[j].id, want[i].top[j].id);
      ASSERT_EQ(got[i].top[j].logprob, want[i].top[j].logprob);
    }
  }
}

struct Seen {
  size_t preemptions = 0;
  size_t cached_tokens = 0;
  size_t cancelled = 0;
  size_t accepted_drafts = 0;
  size_t rejected_drafts = 0;
};

// Who guesses in a round.
enum class Guesser { kNobody, kNgrams, kDraftLayer, kDraftModel };

// Steps cost mostly the same whatever they hold, so that guessing pays; one result repeats itself
// half of the time.
void MakeGuessable(CoreFixture& fixture) {
  fixture.executor->habit = 5;
  fixture.executor->after_run = [&clock = fixture.clock] { clock.Advance(5'000'000); };
  if (fixture.guesser == nullptr) return;
  fixture.guesser->habit = 5;
  fixture.guesser->after_run = [&clock = fixture.clock] { clock.Advance(200'000); };
}

// Runs the wishes at random times beside decoys that are cancelled at random times, in an engine
// of random size, and compares with `want`.
void RunShuffled(Dice& dice, const std::vector<Wish>& wishes,
                 const std::vector<RequestResult>& want, Guesser guesser, bool prompts_differ,
                 Seen& seen) {
  CoreFixture::Shape shape;
  if (guesser == Guesser::kDraftLayer) shape.drafts = CoreFixture::Drafts::kLayer;
  if (guesser == Guesser::kDraftModel) shape.drafts = CoreFixture::Drafts::kModel;
  shape.prompts_differ = prompts_differ;
  shape.block_tokens = 4;
  // From barely enough for the longest request to plenty.
  shape.num_blocks = 18 + dice.Below(dice.OneIn(2) ? 6 : 80);
  shape.limits.max_sequences = 1 + dice.Below(8);
  shape.limits.max_logit_rows = shape.limits.max_sequences + dice.Below(8);
  shape.limits.max_tokens = shape.limits.max_sequences + dice.Below(40);
  CoreFixture fixture(shape, {.prefix_cache = !dice.OneIn(4),
                              .speculate = guesser != Guesser::kNobody,
                              .draft_tokens = 1 + dice.Below(4)});
  MakeGuessable(fixture);

  std::vector<RequestResult> results(wishes.size());
  std::vector<std::unique_ptr<RequestResult>> decoys;
  std::vector<uint64_t> decoy_ids;
  std::vector<size_t> order(wishes.size());
  for (size_t i = 0; i < order.size(); ++i) std::swap(order[i] = i, order[dice.Below(i + 1)]);
  for (size_t next = 0; next < order.size() || fixture.core->num_live() > 0;) {
    while (next < order.size() && dice.OneIn(3)) {
      const size_t i = order[next++];
      ASSERT_TRUE(fixture.Add(wishes[i].Make(), results[i]).ok());
    }
    if (next < order.size() && dice.OneIn(4)) {
      decoys.push_back(std::make_unique<RequestResult>());
      const auto id = fixture.Add(wishes[dice.Below(wishes.size())].Make(), *decoys.back());
      ASSERT_TRUE(id.ok());
      decoy_ids.push_back(*id);
    }
    if (!decoy_ids.empty() && dice.OneIn(4)) {
      fixture.core->Cancel(decoy_ids[dice.Below(decoy_ids.size())]);
    }
    if (fixture.core->num_ready() == 0 && dice.OneIn(2)) fixture.core->UseIdleTime();
    fixture.Step();
  }
  while (fixture.core->UseIdleTime()) {
  }
  for (size_t i = 0; i < wishes.size(); ++i) {
    SCOPED_TRACE(testing::Message() << "request " << i);
    ASSERT_TRUE(results[i].status.ok()) << results[i].status.message();
    ASSERT_EQ(results[i].reason, want[i].reason);
    ASSERT_EQ(results[i].text, want[i].text);
    ASSERT_NO_FATAL_FAILURE(ExpectSame(results[i].output, want[i].output));
    ASSERT_NO_FATAL_FAILURE(ExpectSame(results[i].prompt, want[i].prompt));
    seen.preemptions += results[i].finish.preemptions;
    seen.cached_tokens += results[i].finish.cached_tokens;
    seen.accepted_drafts += results[i].finish.accepted_drafts;
    seen.rejected_drafts += results[i].finish.rejected_drafts;
  }
  for (const auto& decoy : decoys) seen.cancelled += decoy->reason == FinishReason::kCancelled;
  ASSERT_EQ(fixture.pool->num_available(), shape.num_blocks) << "a block is lost";
}

class Invariance : public ::testing::TestWithParam<std::tuple<uint32_t, bool>> {
 protected:
  // All seeds together: guesses of each kind were made, and prefixes found.
  static void TearDownTestSuite() {
    EXPECT_GT(accepted_drafts, 0u);
    EXPECT_GT(rejected_drafts, 0u);
    EXPECT_GT(cached_tokens, 1000u);
  }
  static inline size_t accepted_drafts = 0;
  static inline size_t rejected_drafts = 0;
  static inline size_t cached_tokens = 0;
};

// The promise of batch invariance, given an executor that keeps it: tokens, text and every
// log-probability of a request are the same bits alone and in any company.
TEST_P(Invariance, ResultsDoNotDependOnTheCompany) {
  const auto [seed, prompts_differ] = GetParam();
  Dice dice(seed);
  const std::vector<Wish> wishes = MakeWishes(dice, 10);
  std::vector<RequestResult> want;
  for (const Wish& wish : wishes) {
    CoreFixture alone(
        {.prompts_differ = prompts_differ,
         .limits = {.max_tokens = 96, .max_sequences = 1, .max_logit_rows = 96, .max_context = 96}},
        {.prefix_cache = false, .speculate = false});
    MakeGuessable(alone);
    want.push_back(alone.RunAlone(wish.Make()));
  }
  Seen seen;
  for (int round = 0; round < 8; ++round) {
    SCOPED_TRACE(testing::Message() << "round " << round);
    constexpr Guesser kGuessers[] = {Guesser::kNobody, Guesser::kDraftLayer, Guesser::kNgrams,
                                     Guesser::kDraftModel};
    const Guesser guesser = kGuessers[round % 4];
    ASSERT_NO_FATAL_FAILURE(RunShuffled(dice, wishes, want, guesser, prompts_differ, seen));
  }
  RecordProperty("preemptions", static_cast<int>(seen.preemptions));
  RecordProperty("cached_tokens", static_cast<int>(seen.cached_tokens));
  RecordProperty("cancelled", static_cast<int>(seen.cancelled));
  cached_tokens += seen.cached_tokens;
  accepted_drafts += seen.accepted_drafts;
  rejected_drafts += seen.rejected_drafts;
}

INSTANTIATE_TEST_SUITE_P(Seeds, Invariance,
                         ::testing::Combine(::testing::Range(0u, 40u), ::testing::Bool()));

}  // namespace
}  // namespace pelton
