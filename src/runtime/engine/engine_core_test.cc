#include "runtime/engine/engine_core.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <map>
#include <new>

#include "runtime/engine/engine_fixture.h"

namespace {
std::atomic<size_t> allocations{0};
}

// Not inlined: GCC 12 would take new and free in one function for a mismatch.
[[gnu::noinline]] void* operator new(size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size)) return memory;
  std::abort();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace pelton {
namespace {

std::vector<int32_t> Prompt(size_t size, int32_t first = 0) {
  std::vector<int32_t> prompt(size);
  for (size_t i = 0; i < size; ++i) prompt[i] = (first + static_cast<int32_t>(i * 3)) % 20;
  return prompt;
}

Request Greedy(std::vector<int32_t> prompt, uint32_t max_tokens) {
  Request request;
  request.prompt_ids = std::move(prompt);
  request.params.temperature = 0;
  request.params.max_tokens = max_tokens;
  return request;
}

TEST(EngineCore, GeneratesUntilMaxTokens) {
  CoreFixture fixture({}, {});
  const RequestResult result = fixture.RunAlone(Greedy(Prompt(10), 7));
  EXPECT_TRUE(result.status.ok()) << result.status.message();
  EXPECT_EQ(result.reason, FinishReason::kLength);
  EXPECT_EQ(result.output.size(), 7u);
  EXPECT_EQ(result.finish.prompt_tokens, 10u);
  EXPECT_EQ(result.finish.output_tokens, 7u);
  EXPECT_EQ(fixture.executor->num_tokens, 10u + 6u) << "the last token is never computed";
  EXPECT_EQ(fixture.pool->num_available(), 64u);
}

TEST(EngineCore, TimesAreTakenFromTheClock) {
  CoreFixture fixture({}, {.max_step_tokens = 8});
  RequestResult first, second;
  ASSERT_TRUE(fixture.Add(Greedy(Prompt(20), 3), first).ok());
  fixture.clock.Advance(500);
  fixture.RunAll();  // 8 + 8 + 4 prompt tokens, then two more steps, 1000 ns each
  EXPECT_EQ(first.finish.queue_ns, 500);
  EXPECT_EQ(first.finish.prompt_ns, 2000);
  EXPECT_EQ(first.finish.output_ns, 2000);
}

TEST(EngineCore, EndTokensStopAndCanBeIgnored) {
  CoreFixture fixture({}, {.eos_ids = {5, 6}});
  fixture.executor->favourite = 6;
  RequestResult result = fixture.RunAlone(Greedy(Prompt(3), 9));
  EXPECT_EQ(result.reason, FinishReason::kStop);
  EXPECT_EQ(result.finish.stop_id, 6);
  EXPECT_EQ(OutputIds(result), std::vector<int32_t>{6});

  Request ignoring = Greedy(Prompt(3), 9);
  ignoring.params.ignore_eos = true;
  EXPECT_EQ(fixture.RunAlone(std::move(ignoring)).output.size(), 9u);

  Request own = Greedy(Prompt(3), 9);
  own.params.ignore_eos = true;
  own.params.stop_ids = {6};
  EXPECT_EQ(fixture.RunAlone(std::move(own)).finish.stop_id, 6);

  Request late = Greedy(Prompt(3), 9);
  late.params.min_tokens = 4;
  result = fixture.RunAlone(std::move(late));
  ASSERT_EQ(result.output.size(), 5u);
  for (size_t i = 0; i < 4; ++i) EXPECT_NE(result.output[i].id, 6);
  EXPECT_EQ(result.output[4].id, 6);
}

TEST(EngineCore, TextComesWithTheTokensAndWithoutTheStopString) {
  // Any run's text, cut out of it as stop strings, must end it there for every length.
  const auto with_decoder = [](uint32_t max_tokens) {
    Request request = Greedy(Prompt(6, 2), max_tokens);
    request.params.ignore_eos = true;
    request.decoder = std::make_unique<LetterDecoder>();
    return request;
  };
  CoreFixture fixture({}, {});
  const RequestResult whole = fixture.RunAlone(with_decoder(30));
  LetterDecoder decoder;
  std::string want;
  for (const int32_t id : OutputIds(whole)) decoder.Append(id, want);
  decoder.Finish(want);
  EXPECT_EQ(whole.text, want);
  ASSERT_GE(whole.text.size(), 12u);
  for (size_t begin = 0; begin + 5 <= 12; ++begin) {
    Request request = with_decoder(30);
    const std::string stop = whole.text.substr(begin, 3);
    request.params.stop_strings = {"never there", stop};
    const RequestResult result = fixture.RunAlone(std::move(request));
    EXPECT_EQ(result.reason, FinishReason::kStop);
    EXPECT_EQ(result.finish.stop_string, 1);
    EXPECT_EQ(result.text, whole.text.substr(0, whole.text.find(stop)));
    EXPECT_LT(result.output.size(), whole.output.size());
  }
  Request held = with_decoder(30);
  held.params.stop_strings = {whole.text + "x"};  // begins everywhere, is never complete
  EXPECT_EQ(fixture.RunAlone(std::move(held)).text, whole.text);
  Request late = with_decoder(30);
  late.params.min_tokens = 30;
  late.params.stop_strings = {whole.text.substr(0, 2)};
  EXPECT_EQ(fixture.RunAlone(std::move(late)).output.size(), 30u);
}

TEST(EngineCore, SharedPrefixesAreComputedOnce) {
  CoreFixture fixture({}, {});
  const RequestResult cold = fixture.RunAlone(Greedy(Prompt(30), 4));
  EXPECT_EQ(cold.finish.cached_tokens, 0u);
  const size_t tokens_before = fixture.executor->num_tokens;
  const RequestResult warm = fixture.RunAlone(Greedy(Prompt(30), 4));
  EXPECT_EQ(OutputIds(warm), OutputIds(cold));
  EXPECT_EQ(warm.finish.cached_tokens, 28u);
  EXPECT_EQ(fixture.executor->num_tokens - tokens_before, 2u + 3u);
  // A prompt of whole blocks still computes its last one: its logits are needed.
  EXPECT_EQ(fixture.RunAlone(Greedy(Prompt(28), 1)).finish.cached_tokens, 24u);
  // The answer is part of the prefix of the next turn.
  std::vector<int32_t> next = Prompt(30);
  for (const int32_t id : OutputIds(cold)) next.push_back(id);
  next.push_back(1);
  EXPECT_EQ(fixture.RunAlone(Greedy(next, 1)).finish.cached_tokens, 32u);

  Request other_salt = Greedy(Prompt(30), 4);
  other_salt.cache_salt = "another tenant";
  const RequestResult salted = fixture.RunAlone(std::move(other_salt));
  EXPECT_EQ(salted.finish.cached_tokens, 0u);
  EXPECT_EQ(OutputIds(salted), OutputIds(cold));

  CoreFixture without({}, {.prefix_cache = false});
  without.RunAlone(Greedy(Prompt(30), 4));
  EXPECT_EQ(without.RunAlone(Greedy(Prompt(30), 4)).finish.cached_tokens, 0u);
  EXPECT_EQ(without.pool->num_free(), 64u);
}

TEST(EngineCore, AnswersAreReadAgainWhereTheyDifferFromPrompts) {
  CoreFixture fixture({.prompts_differ = true}, {});
  const RequestResult answer = fixture.RunAlone(Greedy(Prompt(30), 9));
  std::vector<int32_t> next = Prompt(30);
  for (const int32_t id : OutputIds(answer)) next.push_back(id);
  next.push_back(1);
  CoreFixture fresh({.prompts_differ = true}, {});
  const RequestResult want = fresh.RunAlone(Greedy(next, 3));
  const RequestResult hurried = fixture.RunAlone(Greedy(next, 3));
  EXPECT_EQ(hurried.finish.cached_tokens, 28u) << "whole blocks of the first prompt";
  EXPECT_EQ(OutputIds(hurried), OutputIds(want));

  CoreFixture idle({.prompts_differ = true}, {});
  EXPECT_FALSE(idle.core->UseIdleTime());
  idle.RunAlone(Greedy(Prompt(30), 9));
  EXPECT_TRUE(idle.core->UseIdleTime());
  while (idle.core->UseIdleTime()) {
  }
  const size_t tokens_before = idle.executor->num_tokens;
  const RequestResult patient = idle.RunAlone(Greedy(next, 3));
  EXPECT_EQ(patient.finish.cached_tokens, 36u) << "of 39 tokens, and the one that is new";
  EXPECT_EQ(OutputIds(patient), OutputIds(want));
  EXPECT_EQ(idle.executor->num_tokens - tokens_before, 4u + 2u);
  EXPECT_EQ(idle.pool->num_available(), 64u);
}

TEST(EngineCore, PromptLogprobsCoverEveryPositionInChunks) {
  CoreFixture fixture({}, {});
  const auto asking = [] {
    Request request = Greedy(Prompt(30), 2);
    request.params.prompt_logprobs = 3;
    request.params.logprobs = 0;
    return request;
  };
  const RequestResult result = fixture.RunAlone(asking());
  ASSERT_EQ(result.prompt.size(), 29u);
  for (size_t i = 0; i < 29; ++i) {
    EXPECT_EQ(result.prompt[i].id, Prompt(30)[i + 1]);
    EXPECT_EQ(result.prompt[i].top.size(), 3u);
    EXPECT_LT(result.prompt[i].logprob, 0);
    EXPECT_GE(result.prompt[i].top[0].logprob, result.prompt[i].logprob);
  }
  EXPECT_EQ(fixture.executor->num_steps, 4u + 1u) << "30 rows, 8 of logits at a time";
  const RequestResult again = fixture.RunAlone(asking());
  EXPECT_EQ(again.finish.cached_tokens, 0u) << "cached positions would have no logits";
  for (size_t i = 0; i < 29; ++i) EXPECT_EQ(again.prompt[i].logprob, result.prompt[i].logprob);

  Request scoring = Greedy(Prompt(96), 0);  // fills the context, generates nothing
  scoring.params.prompt_logprobs = 0;
  const RequestResult scored = fixture.RunAlone(std::move(scoring));
  EXPECT_TRUE(scored.status.ok());
  EXPECT_EQ(scored.prompt.size(), 95u);
  EXPECT_EQ(scored.output.size(), 0u);
  EXPECT_EQ(scored.reason, FinishReason::kLength);
}

TEST(EngineCore, OnePoisonedRequestFailsAlone) {
  CoreFixture fixture({}, {});
  fixture.executor->poison_token = 33;
  const RequestResult neighbour_alone = fixture.RunAlone(Greedy(Prompt(9), 20));
  std::vector<int32_t> poisoned = Prompt(9);
  poisoned.push_back(33);
  RequestResult good, bad;
  ASSERT_TRUE(fixture.Add(Greedy(Prompt(9), 20), good).ok());
  ASSERT_TRUE(fixture.Add(Greedy(poisoned, 20), bad).ok());
  fixture.RunAll();
  EXPECT_EQ(OutputIds(good), OutputIds(neighbour_alone));
  EXPECT_EQ(bad.reason, FinishReason::kError);
  EXPECT_EQ(bad.status.code(), StatusCode::kInternal);
  EXPECT_EQ(bad.status.message().rfind("numerical_error", 0), 0u);
  EXPECT_EQ(bad.output.size(), 0u);
  const KvCacheView& view = fixture.pool->view();
  for (size_t i = 0; i < view.num_blocks * view.BlockBytes() / 4; ++i) {
    EXPECT_NE(reinterpret_cast<const uint32_t*>(view.data)[i], 0x7fc00000u) << "NaN is left";
  }
  EXPECT_EQ(fixture.pool->num_available(), 64u);
}

TEST(EngineCore, CancelledRequestsGiveEverythingBackAtOnce) {
  CoreFixture fixture({}, {.max_step_tokens = 8, .max_sequences = 2, .prefix_cache = false});
  RequestResult decoding, prefilling, waiting, unharmed;
  const RequestResult alone = fixture.RunAlone(Greedy(Prompt(8, 5), 12));
  const uint64_t a = *fixture.Add(Greedy(Prompt(6), 20), decoding);
  const uint64_t b = *fixture.Add(Greedy(Prompt(40), 5), prefilling);
  const uint64_t c = *fixture.Add(Greedy(Prompt(6), 5), waiting);
  ASSERT_TRUE(fixture.Add(Greedy(Prompt(8, 5), 12), unharmed).ok());
  for (int i = 0; i < 3; ++i) fixture.Step();
  ASSERT_GT(decoding.output.size(), 0u);
  for (const uint64_t id : {a, b, c}) fixture.core->Cancel(id);
  EXPECT_EQ(fixture.pool->num_free(), 64u);
  for (const RequestResult* result : {&decoding, &prefilling, &waiting}) {
    EXPECT_EQ(result->reason, FinishReason::kCancelled);
    EXPECT_EQ(result->status.code(), StatusCode::kCancelled);
  }
  fixture.core->Cancel(a);
  fixture.core->Cancel(12345);
  fixture.RunAll();
  EXPECT_EQ(OutputIds(unharmed), OutputIds(alone));
}

TEST(EngineCore, DeadlinesConcernOnlyTheStart) {
  CoreFixture fixture({}, {.max_sequences = 1});
  RequestResult first, late, in_time;
  ASSERT_TRUE(fixture.Add(Greedy(Prompt(4), 10), first).ok());
  Request request = Greedy(Prompt(4), 10);
  request.start_deadline_ns = 5000;
  ASSERT_TRUE(fixture.Add(std::move(request), late).ok());
  Request patient = Greedy(Prompt(4), 10);
  patient.start_deadline_ns = 11000;
  ASSERT_TRUE(fixture.Add(std::move(patient), in_time).ok());
  fixture.RunAll();
  EXPECT_EQ(late.reason, FinishReason::kDeadline);
  EXPECT_EQ(late.status.code(), StatusCode::kDeadlineExceeded);
  EXPECT_EQ(in_time.output.size(), 10u);
}

TEST(EngineCore, BadRequestsAreRefusedBeforeTheyWait) {
  CoreFixture fixture({.num_blocks = 16}, {});
  const auto refusal = [&](Request request) {
    RequestResult result;
    const Result<uint64_t> id = fixture.Add(std::move(request), result);
    return id.ok() ? OkStatus() : id.status();
  };
  EXPECT_EQ(refusal(Greedy({}, 1)).code(), StatusCode::kInvalidArgument);
  for (const int32_t id : {-1, 40, INT32_MAX, INT32_MIN}) {
    EXPECT_EQ(refusal(Greedy({1, id}, 1)).code(), StatusCode::kInvalidArgument);
  }
  EXPECT_NE(refusal(Greedy(Prompt(97), 0)).message().find("97"), std::string::npos);
  EXPECT_EQ(refusal(Greedy(Prompt(60), 10)).code(), StatusCode::kResourceExhausted);
  Request bias = Greedy(Prompt(3), 1);
  bias.params.logit_bias = {{40, 1.0f}};
  EXPECT_EQ(refusal(std::move(bias)).code(), StatusCode::kInvalidArgument);
  Request stop = Greedy(Prompt(3), 1);
  stop.params.stop_strings = {"x"};
  EXPECT_EQ(refusal(std::move(stop)).code(), StatusCode::kInvalidArgument) << "no decoder";
  EXPECT_EQ(fixture.core->num_live(), 0u);
}

TEST(EngineCore, AHeldRequestGetsNothingAndTakesNothing) {
  CoreFixture fixture({}, {});
  const RequestResult alone = fixture.RunAlone(Greedy(Prompt(10), 20));
  RequestResult held, other;
  const uint64_t id = fixture.Add(Greedy(Prompt(10), 20), held).value();
  for (int i = 0; i < 5; ++i) fixture.Step();
  const size_t before = held.output.size();
  ASSERT_GT(before, 0u);
  fixture.core->Hold(id);
  EXPECT_EQ(fixture.core->num_ready(), 0u);
  EXPECT_EQ(fixture.core->num_live(), 1u);
  EXPECT_EQ(fixture.pool->num_available(), 64u);
  ASSERT_TRUE(fixture.Add(Greedy(Prompt(30, 7), 10), other).ok());
  while (fixture.core->num_ready() > 0) fixture.Step();
  EXPECT_EQ(other.output.size(), 10u);
  EXPECT_EQ(held.output.size(), before);
  fixture.core->Hold(id);  // once more changes nothing
  fixture.core->Resume(id);
  fixture.RunAll();
  EXPECT_EQ(OutputIds(held), OutputIds(alone));
  EXPECT_EQ(held.reason, FinishReason::kLength);
  fixture.core->Resume(id);
  EXPECT_EQ(fixture.pool->num_available(), 64u);
}

TEST(EngineCore, ARequestCanBeHeldBeforeItStartsAndCancelledThen) {
  CoreFixture fixture({}, {.max_sequences = 1});
  RequestResult first, waiting, third;
  ASSERT_TRUE(fixture.Add(Greedy(Prompt(5), 8), first).ok());
  const uint64_t id = fixture.Add(Greedy(Prompt(6), 8), waiting).value();
  fixture.Step();
  fixture.core->Hold(id);
  ASSERT_TRUE(fixture.Add(Greedy(Prompt(7), 8), third).ok());
  while (fixture.core->num_ready() > 0) fixture.Step();
  EXPECT_EQ(third.output.size(), 8u) << "what is held is in nobody's way";
  EXPECT_TRUE(waiting.output.empty());
  fixture.core->Cancel(id);
  EXPECT_EQ(waiting.reason, FinishReason::kCancelled);
  EXPECT_EQ(fixture.core->num_live(), 0u);
}

TEST(EngineCore, AConstraintChoosesAmongTokens) {
  CoreFixture fixture({}, {});
  Request request = Greedy(Prompt(10), 30);
  request.params.ignore_eos = true;
  request.params.logprobs = 2;
  request.constraint = std::make_unique<TurnConstraint>(4, 7);
  const RequestResult result = fixture.RunAlone(std::move(request));
  EXPECT_EQ(result.reason, FinishReason::kStop) << "nothing may follow the seventh token";
  ASSERT_EQ(result.output.size(), 7u);
  bool differs = false;
  for (size_t i = 0; i < 7; ++i) {
    EXPECT_EQ(result.output[i].id % 3, static_cast<int32_t>(i % 3));
    // Log-probabilities are the model's own, so the best token need not be the one that was drawn.
    differs |= result.output[i].top[0].id != result.output[i].id;
  }
  EXPECT_TRUE(differs);
}

TEST(EngineCore, AConstrainedOutputEndsOnlyWhereItMay) {
  EngineOptions options;
  for (int32_t id = 0; id < 40; ++id) options.eos_ids.push_back(id);
  CoreFixture fixture({}, options);
  Request request = Greedy(Prompt(10), 30);
  // Every token is an end token, so the first one that may be an end is one.
  request.constraint = std::make_unique<TurnConstraint>(0, 7);
  const RequestResult result = fixture.RunAlone(std::move(request));
  EXPECT_EQ(result.reason, FinishReason::kStop);
  EXPECT_EQ(result.output.size(), 1u);
}

TEST(EngineCore, MetricsAddUp) {
  CoreFixture fixture({}, {.eos_ids = {6}});
  fixture.RunAlone(Greedy(Prompt(30), 4));
  fixture.RunAlone(Greedy(Prompt(30), 4));
  std::map<std::string, uint64_t> counters;
  for (const auto* entry : fixture.metrics.Entries()) {
    if (entry->counter) counters[entry->name + entry->labels] = entry->counter->value();
  }
  EXPECT_EQ(counters["pelton_prompt_tokens_total"], 60u);
  EXPECT_EQ(counters["pelton_prompt_cached_tokens_total"], 28u);
  EXPECT_EQ(counters["pelton_prefix_cache_hit_blocks_total"], 7u);
  EXPECT_EQ(counters["pelton_prefix_cache_missed_blocks_total"], 7u);
  EXPECT_EQ(counters["pelton_prefix_cache_evicted_blocks_total"], 0u);
  EXPECT_EQ(counters["pelton_output_tokens_total"], 8u);
  EXPECT_EQ(counters["pelton_requests_finished_totalreason=\"length\""], 2u);
  EXPECT_EQ(counters["pelton_engine_steps_total"], fixture.executor->num_steps);
}

TEST(EngineCore, EvictionsAreCounted) {
  CoreFixture::Shape shape;
  shape.num_blocks = 10;
  CoreFixture fixture(shape, {});
  fixture.RunAlone(Greedy(Prompt(30), 4));     // 8 blocks are kept
  fixture.RunAlone(Greedy(Prompt(30, 7), 4));  // others, of which 2 are free
  uint64_t evicted = 0;
  for (const auto* entry : fixture.metrics.Entries()) {
    if (entry->name == "pelton_prefix_cache_evicted_blocks_total")
      evicted = entry->counter->value();
  }
  EXPECT_EQ(evicted, fixture.pool->num_evictions());
  EXPECT_GE(evicted, 6u);
}

// Reliability rule "a steady decode step makes no heap allocation": once all are admitted, hundreds
// of steps of a full batch with every sampler feature, block boundaries and cache publication.
class CountingObserver final : public RequestObserver {
 public:
  explicit CountingObserver(size_t& tokens) : tokens_(tokens) {}
  void OnToken(const TokenEvent&) override { ++tokens_; }
  void OnFinish(const FinishEvent&) override {}

 private:
  size_t& tokens_;
};

TEST(EngineCore, ASteadyDecodeStepDoesNotAllocate) {
  CoreFixture::Shape shape;
  shape.num_blocks = 400;
  shape.limits.max_context = 800;
  shape.vocab_size = 500;
  CoreFixture fixture(shape, {});
  size_t tokens = 0;
  for (uint64_t i = 1; i <= 8; ++i) {
    Request request = Greedy(Prompt(10, static_cast<int32_t>(i)), 180);
    request.observer = std::make_unique<CountingObserver>(tokens);
    SamplingParams& params = request.params;
    if (i > 1) params.temperature = 0.9f;
    if (i == 3) params.top_k = 40;
    if (i == 4) params.top_p = 0.9f;
    if (i == 5) params.typical_p = 0.9f;
    if (i == 6) params.min_p = 0.1f;
    if (i == 7) params.frequency_penalty = 0.2f;
    if (i == 8) {
      params.min_tokens = 170;
      params.stop_strings = {"qqqqqqqqqq", "zzzzzz"};
    }
    params.logprobs = 5;
    params.ignore_eos = true;
    request.decoder = std::make_unique<LetterDecoder>();
    auto live = PrepareRequest(std::move(request), {.options = fixture.resolved,
                                                    .step = fixture.executor->limits(),
                                                    .geometry = fixture.pool->view(),
                                                    .vocab_size = shape.vocab_size});
    ASSERT_TRUE(live.ok()) << live.status().message();
    (*live)->sequence.id = i;
    fixture.core->Add(std::move(live).value());
  }
  for (int i = 0; i < 1000 && tokens < 8; ++i) fixture.Step();
  ASSERT_GE(tokens, 8u);
  fixture.Step();
  const size_t tokens_before = tokens;
  const size_t before = allocations;
  for (int i = 0; i < 150; ++i) fixture.Step();
  EXPECT_EQ(allocations - before, 0u);
  EXPECT_EQ(tokens - tokens_before, 8u * 150u);
  fixture.RunAll();
}

// An engine whose draft model is right at a share of the positions, and takes `pass_ns`.
struct DraftRun {
  CoreFixture fixture;
  RequestResult result;
  int64_t took_ns;

  DraftRun(CoreFixture::Drafts drafts, double agreement, int64_t pass_ns)
      : fixture({.num_blocks = 256,
                 .drafts = drafts,
                 .limits = {.max_tokens = 64,
                            .max_sequences = 8,
                            .max_logit_rows = 16,
                            .max_context = 900}},
                {.speculate = drafts != CoreFixture::Drafts::kNone}) {
    fixture.executor->habit = 7;
    fixture.executor->loud_habit = true;
    fixture.executor->after_run = [this] { fixture.clock.Advance(10'000'000); };
    if (fixture.guesser != nullptr) {
      fixture.guesser->habit = 7;
      fixture.guesser->agreement = agreement;
      fixture.guesser->after_run = [this, pass_ns] { fixture.clock.Advance(pass_ns); };
    }
    Request request;
    request.prompt_ids = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    request.params.temperature = 0;
    request.params.max_tokens = 800;
    const int64_t start_ns = fixture.clock.NowNs();
    result = fixture.RunAlone(std::move(request));
    took_ns = fixture.clock.NowNs() - start_ns;
  }
};

class EngineCoreDraftTest : public ::testing::TestWithParam<CoreFixture::Drafts> {};
INSTANTIATE_TEST_SUITE_P(Kinds, EngineCoreDraftTest,
                         ::testing::Values(CoreFixture::Drafts::kLayer,
                                           CoreFixture::Drafts::kModel));

TEST_P(EngineCoreDraftTest, IsAsFastAsItIsRight) {
  const DraftRun plain(CoreFixture::Drafts::kNone, 0, 0);
  const DraftRun right(GetParam(), 1, 500'000);
  const DraftRun wrong(GetParam(), 0, 500'000);
  for (const DraftRun* run : {&right, &wrong}) {
    ASSERT_EQ(run->result.output.size(), plain.result.output.size());
    for (size_t i = 0; i < plain.result.output.size(); ++i) {
      EXPECT_EQ(run->result.output[i].id, plain.result.output[i].id) << i;
    }
  }
  const auto ratio = [&](const DraftRun& run) {
    return static_cast<double>(plain.took_ns) / static_cast<double>(run.took_ns);
  };
  // Three guesses a step: four tokens for 11.5 ms instead of one for 10.
  EXPECT_GT(ratio(right), 3.2);
  EXPECT_GT(right.result.finish.accepted_drafts, 550u);
  EXPECT_EQ(right.result.finish.rejected_drafts, 0u);
  EXPECT_EQ(right.fixture.guesser->num_missing, 0u) << "it read all that it guesses from";
  EXPECT_GE(ratio(wrong), 0.97);
  EXPECT_EQ(wrong.result.finish.accepted_drafts, 0u);
}

// With k guesses a step, each right with probability a, a step has 1 + a + ... + a^k tokens: (1 -
// a^(k + 1)) / (1 - a). It takes as long as one without guesses and k passes, c of a step each, so
// that it is faster by (1 - a^(k + 1)) / ((1 - a) (1 + c k)). Source: Leviathan et al. 2023, Fast
// inference from transformers via speculative decoding, theorem 3.8.
double PredictedSpeedup(double a, double c, size_t k) {
  double tokens = 1, probability = 1;
  for (size_t i = 0; i < k; ++i) tokens += probability *= a;
  return tokens / (1 + c * static_cast<double>(k));
}

// How many guesses pay is found while it decodes, and what was guessed beyond is lost.
TEST_P(EngineCoreDraftTest, IsAsFastAsPredictedWhenHalfRight) {
  const DraftRun plain(CoreFixture::Drafts::kNone, 0, 0);
  // Passes of 5, 10, 20 and 60 % of a step. The last costs more than half a token.
  for (const int64_t pass_ns : {500'000, 1'000'000, 2'000'000, 6'000'000}) {
    SCOPED_TRACE(pass_ns);
    const DraftRun half(GetParam(), 0.5, pass_ns);
    ASSERT_EQ(half.result.output.size(), plain.result.output.size());
    for (size_t i = 0; i < plain.result.output.size(); ++i) {
      EXPECT_EQ(half.result.output[i].id, plain.result.output[i].id) << i;
    }
    double predicted = 1;
    for (size_t k = 1; k <= 3; ++k) {
      predicted = std::max(predicted,
                           PredictedSpeedup(0.5, static_cast<double>(pass_ns) / 10'000'000.0, k));
    }
    const double speedup = static_cast<double>(plain.took_ns) / static_cast<double>(half.took_ns);
    EXPECT_NEAR(speedup / predicted, 1, 0.04);
    EXPECT_GE(speedup, 0.97);
  }
}

TEST_P(EngineCoreDraftTest, ReadsPromptsThatOnlyFillTheCache) {
  CoreFixture fixture({.drafts = GetParam()}, {});
  fixture.guesser->habit = 5;
  Request request;
  for (int32_t i = 0; i < 50; ++i) request.prompt_ids.push_back(i % 40);
  request.params.max_tokens = 1;
  const std::vector<int32_t> prompt = request.prompt_ids;
  fixture.RunAlone(std::move(request));
  // The next turn finds all blocks, with the draft model's rows.
  Request next;
  next.prompt_ids = prompt;
  next.prompt_ids.push_back(3);
  next.params.max_tokens = 12;
  const RequestResult result = fixture.RunAlone(std::move(next));
  EXPECT_EQ(result.finish.cached_tokens, 48u);
  EXPECT_EQ(fixture.guesser->num_missing, 0u);
}

}  // namespace
}  // namespace pelton
