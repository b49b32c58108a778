#include "runtime/engine/engine.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <thread>
#include <vector>

#include "runtime/engine/engine_fixture.h"
#include "runtime/engine/run_to_completion.h"

namespace pelton {
namespace {

constexpr KvCacheView kGeometry = {.data = nullptr,
                                   .dtype = KvDType::kF32,
                                   .num_blocks = 0,
                                   .layers = 1,
                                   .kv_heads = 1,
                                   .head_dim = 1,
                                   .block_tokens = 4};
constexpr StepLimits kLimits = {
    .max_tokens = 32, .max_sequences = 4, .max_logit_rows = 8, .max_context = 96};
constexpr size_t kVocab = 40;

class EngineTest : public ::testing::Test {
 protected:
  void Make(EngineOptions options, std::function<void()> after_run = nullptr) {
    options.kv_blocks = 128;
    auto engine = Engine::Create(
        options, kGeometry,
        [&](const KvCacheView& cache) -> Result<std::unique_ptr<StepExecutor>> {
          auto executor = std::make_unique<HashingExecutor>(cache, kLimits, kVocab);
          executor->after_run = after_run;
          return std::unique_ptr<StepExecutor>(std::move(executor));
        },
        clock_, metrics_);
    ASSERT_TRUE(engine.ok()) << engine.status().message();
    engine_ = std::move(engine).value();
  }

  static Request Ask(int32_t first, size_t prompt_tokens, uint32_t max_tokens) {
    Request request;
    for (size_t i = 0; i < prompt_tokens; ++i) {
      request.prompt_ids.push_back((first + static_cast<int32_t>(i)) % 40);
    }
    request.params.max_tokens = max_tokens;
    request.params.seed = 7;
    return request;
  }

  MonotonicClock clock_;
  MetricRegistry metrics_;
  std::unique_ptr<Engine> engine_;
};

// Tells a waiting test when a request has ended, and how.
class Promise final : public RequestObserver {
 public:
  explicit Promise(std::promise<FinishReason>& promise) : promise_(promise) {}
  void OnToken(const TokenEvent&) override {}
  void OnFinish(const FinishEvent& event) override { promise_.set_value(event.reason); }

 private:
  std::promise<FinishReason>& promise_;
};

TEST_F(EngineTest, RunsABatchToCompletionInOrder) {
  ASSERT_NO_FATAL_FAILURE(Make({.max_queued = 3}));
  std::vector<Request> requests;
  requests.reserve(20);
  for (int32_t i = 0; i < 20; ++i) requests.push_back(Ask(i, 5 + static_cast<size_t>(i), 10));
  requests[4].prompt_ids[0] = 1000;
  const std::vector<RequestResult> batch = RunToCompletion(*engine_, std::move(requests));
  ASSERT_EQ(batch.size(), 20u);
  EXPECT_EQ(batch[4].status.code(), StatusCode::kInvalidArgument);
  for (int32_t i = 0; i < 20; ++i) {
    if (i == 4) continue;
    std::vector<Request> one;
    one.push_back(Ask(i, 5 + static_cast<size_t>(i), 10));
    const RequestResult alone = RunToCompletion(*engine_, std::move(one))[0];
    EXPECT_EQ(batch[static_cast<size_t>(i)].reason, FinishReason::kLength);
    EXPECT_EQ(OutputIds(batch[static_cast<size_t>(i)]), OutputIds(alone)) << i;
  }
  EXPECT_TRUE(RunToCompletion(*engine_, {}).empty());
}

TEST_F(EngineTest, ManyThreadsSubmitAndCancel) {
  ASSERT_NO_FATAL_FAILURE(Make({}));
  std::vector<Request> one;
  one.push_back(Ask(3, 12, 20));
  const std::vector<int32_t> want = OutputIds(RunToCompletion(*engine_, std::move(one))[0]);
  std::atomic<int> wrong{0}, odd{0};
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 30; ++i) {
        std::promise<FinishReason> promise;
        Request decoy = Ask(i, 20, 60);
        decoy.observer = std::make_unique<Promise>(promise);
        const Result<uint64_t> id = engine_->Submit(std::move(decoy));
        std::vector<Request> mine;
        mine.push_back(Ask(3, 12, 20));
        if (OutputIds(RunToCompletion(*engine_, std::move(mine))[0]) != want) ++wrong;
        for (int repeat = 0; repeat < 3; ++repeat) engine_->Cancel(*id);
        const FinishReason reason = promise.get_future().get();
        if (reason != FinishReason::kCancelled && reason != FinishReason::kLength) ++odd;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(odd, 0);
}

// Holds its request at every few tokens; whoever has the engine resumes it.
class Pausing final : public RequestObserver {
 public:
  Pausing(Engine& engine, std::atomic<uint64_t>& id, std::promise<std::vector<int32_t>>& promise)
      : engine_(engine), id_(id), promise_(promise) {}
  void OnToken(const TokenEvent& event) override {
    ids_.push_back(event.id);
    if (ids_.size() % 3 == 0) engine_.Hold(id_);
  }
  void OnFinish(const FinishEvent&) override { promise_.set_value(ids_); }

 private:
  Engine& engine_;
  std::atomic<uint64_t>& id_;
  std::promise<std::vector<int32_t>>& promise_;
  std::vector<int32_t> ids_;
};

TEST_F(EngineTest, RequestsAreHeldAndResumedByOtherThreads) {
  ASSERT_NO_FATAL_FAILURE(Make({}));
  std::vector<Request> one;
  one.push_back(Ask(3, 12, 40));
  const std::vector<int32_t> want = OutputIds(RunToCompletion(*engine_, std::move(one))[0]);
  std::atomic<uint64_t> id{0};
  std::promise<std::vector<int32_t>> promise;
  Request request = Ask(3, 12, 40);
  request.observer = std::make_unique<Pausing>(*engine_, id, promise);
  id = engine_->Submit(std::move(request)).value();
  std::future<std::vector<int32_t>> got = promise.get_future();
  while (got.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready) {
    engine_->Resume(id);
  }
  EXPECT_EQ(got.get(), want);
}

TEST_F(EngineTest, WhatIsHeldEndsWithTheEngine) {
  ASSERT_NO_FATAL_FAILURE(Make({}));
  std::promise<FinishReason> promise;
  Request request = Ask(1, 10, 80);
  request.observer = std::make_unique<Promise>(promise);
  engine_->Hold(engine_->Submit(std::move(request)).value());
  engine_.reset();
  EXPECT_NE(promise.get_future().get(), FinishReason::kError);
}

TEST_F(EngineTest, RefusesWhatDoesNotFitTheQueueAndRecovers) {
  std::promise<void> release;
  std::shared_future<void> released = release.get_future().share();
  ASSERT_NO_FATAL_FAILURE(
      Make({.max_sequences = 1, .max_queued = 2}, [released] { released.wait(); }));
  std::promise<FinishReason> promises[3];
  for (auto& promise : promises) {
    Request request = Ask(1, 4, 2);
    request.observer = std::make_unique<Promise>(promise);
    EXPECT_TRUE(engine_->Submit(std::move(request)).ok());
  }
  std::promise<FinishReason> never;
  Request refused = Ask(1, 4, 2);
  refused.observer = std::make_unique<Promise>(never);
  const Status status = engine_->Submit(std::move(refused)).status();
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  EXPECT_NE(status.message().find("max_queued = 2"), std::string::npos) << status.message();
  release.set_value();
  for (auto& promise : promises) EXPECT_EQ(promise.get_future().get(), FinishReason::kLength);
  std::vector<Request> one;
  one.push_back(Ask(1, 4, 2));
  EXPECT_EQ(RunToCompletion(*engine_, std::move(one))[0].reason, FinishReason::kLength);
}

TEST_F(EngineTest, StoppingEndsEveryRequestOnce) {
  std::promise<FinishReason> promises[8];
  ASSERT_NO_FATAL_FAILURE(Make({}));
  for (auto& promise : promises) {
    Request request = Ask(1, 40, 50);
    request.observer = std::make_unique<Promise>(promise);
    ASSERT_TRUE(engine_->Submit(std::move(request)).ok());
  }
  engine_.reset();
  for (auto& promise : promises) {
    const FinishReason reason = promise.get_future().get();
    EXPECT_TRUE(reason == FinishReason::kCancelled || reason == FinishReason::kLength);
  }
}

TEST_F(EngineTest, AnObserverMaySubmitAndCancel) {
  ASSERT_NO_FATAL_FAILURE(Make({}));
  std::promise<FinishReason> last;
  class Chain final : public RequestObserver {
   public:
    Chain(Engine& engine, std::promise<FinishReason>& last, int left)
        : engine_(engine), last_(last), left_(left) {}
    void OnToken(const TokenEvent&) override {}
    void OnFinish(const FinishEvent& event) override {
      if (left_ == 0) return last_.set_value(event.reason);
      Request next = Ask(left_, 5, 3);
      next.observer = std::make_unique<Chain>(engine_, last_, left_ - 1);
      const Result<uint64_t> id = engine_.Submit(std::move(next));
      if (left_ == 1) engine_.Cancel(*id);
    }

   private:
    Engine& engine_;
    std::promise<FinishReason>& last_;
    int left_;
  };
  Request first = Ask(9, 5, 3);
  first.observer = std::make_unique<Chain>(*engine_, last, 5);
  ASSERT_TRUE(engine_->Submit(std::move(first)).ok());
  EXPECT_EQ(last.get_future().get(), FinishReason::kCancelled);
}

TEST_F(EngineTest, WithoutASeedRequestsDifferAndTheEnginesSeedDecidesHow) {
  const auto run = [&](uint64_t engine_seed) {
    EXPECT_NO_FATAL_FAILURE(Make({.seed = engine_seed}));
    std::vector<Request> requests;
    for (int i = 0; i < 2; ++i) {
      requests.push_back(Ask(1, 5, 20));
      requests.back().params.seed.reset();
    }
    const auto results = RunToCompletion(*engine_, std::move(requests));
    return std::vector{OutputIds(results[0]), OutputIds(results[1])};
  };
  const auto first = run(1);
  EXPECT_NE(first[0], first[1]);
  EXPECT_EQ(run(1), first);
  EXPECT_NE(run(2), first);
}

TEST(EngineOptions, AreCheckedAgainstThePlan) {
  const auto resolve = [](EngineOptions options) {
    if (options.kv_blocks == 0) options.kv_blocks = 10;
    return ResolveEngineOptions(options, kLimits, kVocab);
  };
  const EngineOptions defaults = resolve({}).value();
  EXPECT_EQ(defaults.max_sequences, 4u);
  EXPECT_EQ(defaults.max_step_tokens, 32u);
  const struct {
    EngineOptions options;
    const char* name;
  } cases[] = {
      {{.max_sequences = 5}, "max_sequences is 5"},
      {{.max_step_tokens = 33}, "max_step_tokens is 33"},
      {{.max_step_tokens = 3}, "max_step_tokens is 3"},
      {{.kv_blocks = size_t{1} << 40}, "kv_blocks is 1099511627776"},
      {{.max_queued = 0}, "max_queued is 0"},
      {{.eos_ids = {40}}, "eos_ids holds token id 40"},
      {{.eos_ids = {-1}}, "eos_ids holds token id -1"},
      {{.eos_ids = std::vector<int32_t>(257, 1)}, "eos_ids (their number) is 257"},
  };
  for (const auto& [options, name] : cases) {
    const Status status = resolve(options).status();
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << name;
    EXPECT_EQ(status.message().rfind(name, 0), 0u) << status.message();
  }
  MonotonicClock clock;
  MetricRegistry metrics;
  const auto refused = Engine::Create(
      {.kv_blocks = size_t{1} << 30}, kGeometry,
      [](const KvCacheView&) -> Result<std::unique_ptr<StepExecutor>> {
        return Internal("not reached");
      },
      clock, metrics);
  EXPECT_EQ(refused.status().code(), StatusCode::kInvalidArgument) << refused.status().message();
}

}  // namespace
}  // namespace pelton
