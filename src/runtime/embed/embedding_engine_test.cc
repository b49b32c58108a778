#include "runtime/embed/embedding_engine.h"

#include <gtest/gtest.h>

#include <cmath>
#include <condition_variable>
#include <future>
#include <mutex>

namespace pelton {
namespace {

// Gives for a wanted row its token, its position, its type and its sequence's length. Waits before
// each step while it is held.
class EchoExecutor final : public StepExecutor {
 public:
  static constexpr size_t kWidth = 4;

  explicit EchoExecutor(const StepLimits& limits) : limits_(limits) {}

  const StepLimits& limits() const override { return limits_; }
  size_t vocab_size() const override { return kWidth; }
  std::span<float> Run(const StepBatch& batch) override {
    {
      std::unique_lock lock(mutex_);
      waits_ = true;
      changed_.notify_all();
      changed_.wait(lock, [&] { return !held_; });
      waits_ = false;
      sequences_of_steps_.push_back(batch.sequences.size());
    }
    EXPECT_LE(batch.tokens.size(), limits_.max_tokens);
    EXPECT_LE(batch.sequences.size(), limits_.max_sequences);
    EXPECT_EQ(batch.token_types.size(), batch.tokens.size());
    out_.clear();
    for (const int32_t row : batch.logit_rows) {
      const auto r = static_cast<size_t>(row);
      for (const SequenceSpan& span : batch.sequences) {
        if (row < span.first_row || row >= span.first_row + span.count) continue;
        out_.insert(out_.end(),
                    {static_cast<float>(batch.tokens[r]), static_cast<float>(batch.positions[r]),
                     static_cast<float>(batch.token_types[r]), static_cast<float>(span.count)});
      }
    }
    return out_;
  }

  void Hold(bool held) {
    const std::lock_guard lock(mutex_);
    held_ = held;
    changed_.notify_all();
  }
  void AwaitStep() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return waits_; });
  }
  std::vector<size_t> SequencesOfSteps() {
    const std::lock_guard lock(mutex_);
    return sequences_of_steps_;
  }

 private:
  const StepLimits limits_;
  std::vector<float> out_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool held_ = false, waits_ = false;
  std::vector<size_t> sequences_of_steps_;
};

class EmbeddingEngineTest : public ::testing::Test {
 protected:
  EmbeddingEngineTest() {
    auto executor = std::make_unique<EchoExecutor>(StepLimits{10, 3, 10, 8});
    executor_ = executor.get();
    engine_ = std::make_unique<EmbeddingEngine>(
        EmbeddingEngineOptions{
            .max_queued = 3, .vocab_size = 100, .num_token_types = 2, .max_input_tokens = 8},
        std::move(executor), metrics_);
  }

  static EmbeddingRequest Plain(std::vector<EmbeddingInput> inputs, Pooling pooling) {
    EmbeddingRequest request;
    request.inputs = std::move(inputs);
    request.pooling = pooling;
    request.normalize = false;
    return request;
  }
  // Submits; the result comes through the future.
  std::future<EmbeddingResult> Start(EmbeddingRequest request, uint64_t* id = nullptr) {
    auto promise = std::make_shared<std::promise<EmbeddingResult>>();
    std::future<EmbeddingResult> future = promise->get_future();
    request.done = [promise](EmbeddingResult result) { promise->set_value(std::move(result)); };
    const Result<uint64_t> submitted = engine_->Submit(std::move(request));
    EXPECT_TRUE(submitted.ok()) << submitted.status().message();
    if (id != nullptr && submitted.ok()) *id = *submitted;
    return future;
  }

  MetricRegistry metrics_;
  EchoExecutor* executor_ = nullptr;
  std::unique_ptr<EmbeddingEngine> engine_;
};

TEST_F(EmbeddingEngineTest, PoolsEachInputOverManySteps) {
  const std::vector<EmbeddingInput> inputs = {{.ids = {1, 2, 6}, .token_types = {0, 1, 1}},
                                              {.ids = {9}, .token_types = {}},
                                              {.ids = {1, 1, 1, 1, 1, 1, 1, 3}, .token_types = {}},
                                              {.ids = {5, 7}, .token_types = {1, 1}}};
  const EmbeddingResult first = engine_->Run(Plain(inputs, Pooling::kFirst));
  ASSERT_TRUE(first.status.ok());
  EXPECT_EQ(first.tokens, 14u);
  EXPECT_EQ(first.values, (std::vector<float>{1, 0, 0, 3, 9, 0, 0, 1, 1, 0, 0, 8, 5, 0, 1, 2}));
  const EmbeddingResult last = engine_->Run(Plain(inputs, Pooling::kLast));
  EXPECT_EQ(last.values, (std::vector<float>{6, 2, 1, 3, 9, 0, 0, 1, 3, 7, 0, 8, 7, 1, 1, 2}));
  EmbeddingRequest mean = Plain(inputs, Pooling::kMean);
  mean.dimensions = 2;
  const EmbeddingResult means = engine_->Run(std::move(mean));
  EXPECT_EQ(means.width, 2u);
  EXPECT_EQ(means.values, (std::vector<float>{3, 1, 9, 0, 1.25f, 3.5f, 6, 0.5f}));
  EmbeddingRequest normal = Plain({{.ids = {3, 5}, .token_types = {}}}, Pooling::kFirst);
  normal.normalize = true;
  EXPECT_FLOAT_EQ(engine_->Run(std::move(normal)).values[0], 3 / std::sqrt(9.0f + 4.0f));
}

TEST_F(EmbeddingEngineTest, RequestsTakeTurns) {
  executor_->Hold(true);
  const EmbeddingInput one = {.ids = {1, 2}, .token_types = {}};
  auto held = Start(Plain({one}, Pooling::kMean));
  executor_->AwaitStep();
  auto big = Start(Plain(std::vector<EmbeddingInput>(7, one), Pooling::kMean));
  auto small = Start(Plain({one}, Pooling::kMean));
  executor_->Hold(false);
  EXPECT_TRUE(held.get().status.ok());
  EXPECT_TRUE(small.get().status.ok());
  EXPECT_TRUE(big.get().status.ok());
  // Three sequences fit a step; the small request is in the first after the held one.
  EXPECT_EQ(executor_->SequencesOfSteps(), (std::vector<size_t>{1, 3, 3, 2}));
}

TEST_F(EmbeddingEngineTest, TellsWhatIsComputed) {
  std::vector<size_t> computed;
  EmbeddingRequest request = Plain(
      {{.ids = {1, 2, 6}, .token_types = {}}, {.ids = {9}, .token_types = {}}}, Pooling::kMean);
  request.computed = [&](size_t tokens) { computed.push_back(tokens); };
  EXPECT_EQ(engine_->Run(std::move(request)).tokens, 4u);
  EXPECT_EQ(computed, (std::vector<size_t>{3, 1}));
}

TEST_F(EmbeddingEngineTest, CancelledAndStoppedRequestsEndOnce) {
  executor_->Hold(true);
  const EmbeddingInput one = {.ids = {1}, .token_types = {}};
  auto held = Start(Plain({one}, Pooling::kMean));
  executor_->AwaitStep();
  uint64_t id = 0;
  auto cancelled = Start(Plain({one}, Pooling::kMean), &id);
  auto finished = Start(Plain({one}, Pooling::kMean));
  EmbeddingRequest refused = Plain({one}, Pooling::kMean);
  refused.done = [](const EmbeddingResult&) { ADD_FAILURE() << "a refused request has no result"; };
  EXPECT_EQ(engine_->Submit(std::move(refused)).status().code(), StatusCode::kUnavailable);
  engine_->Cancel(id);
  engine_->Cancel(id);
  executor_->Hold(false);
  EXPECT_TRUE(held.get().status.ok());
  const EmbeddingResult result = cancelled.get();
  EXPECT_EQ(result.status.code(), StatusCode::kCancelled);
  EXPECT_TRUE(result.values.empty());
  EXPECT_EQ(result.tokens, 0u);
  EXPECT_TRUE(finished.get().status.ok());
  engine_->Cancel(id);

  executor_->Hold(true);
  auto running = Start(Plain({one}, Pooling::kMean));
  executor_->AwaitStep();
  auto waiting = Start(Plain({one}, Pooling::kMean));
  std::thread releaser([&] { executor_->Hold(false); });
  engine_.reset();
  releaser.join();
  running.get();
  waiting.get();
}

TEST_F(EmbeddingEngineTest, RefusesWhatTheModelCannotRead) {
  const auto refuse = [&](EmbeddingRequest request) {
    const EmbeddingResult result = engine_->Run(std::move(request));
    EXPECT_EQ(result.status.code(), StatusCode::kInvalidArgument);
    return std::string(result.status.message());
  };
  EXPECT_EQ(refuse(Plain({}, Pooling::kMean)), "found no input, expected at least one");
  EXPECT_EQ(refuse(Plain({{.ids = {1}, .token_types = {}}, {.ids = {}, .token_types = {}}},
                         Pooling::kMean)),
            "input 1: found 0 tokens, expected 1 to 8");
  EXPECT_EQ(refuse(Plain({{.ids = {100}, .token_types = {}}}, Pooling::kMean)),
            "input 0: found token 100, expected an id below 100");
  EXPECT_EQ(refuse(Plain({{.ids = {1}, .token_types = {2}}}, Pooling::kMean)),
            "input 0: found token type 2, expected one below 2");
  EXPECT_EQ(refuse(Plain({{.ids = {1, 1}, .token_types = {1}}}, Pooling::kMean)),
            "input 0: found 1 token types, expected 2");
  EmbeddingRequest wide = Plain({{.ids = {1}, .token_types = {}}}, Pooling::kMean);
  wide.dimensions = 5;
  EXPECT_EQ(refuse(std::move(wide)), "dimensions: found 5, expected at most 4, the model's");
}

}  // namespace
}  // namespace pelton
