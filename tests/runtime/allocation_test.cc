// A steady decode step makes no heap allocation, from the engine's loop down to the kernels.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <new>
#include <optional>
#include <string>

#include "golden_case.h"
#include "model_engine.h"

namespace {

std::atomic<size_t> allocations{0};

void* Counted(std::size_t size, std::size_t alignment) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  void* memory =
      alignment <= alignof(std::max_align_t)
          ? std::malloc(size)
          : std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
  if (memory == nullptr) std::abort();
  return memory;
}

}  // namespace

void* operator new(std::size_t size) { return Counted(size, 1); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return Counted(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

namespace pelton {
namespace {

// Notes the number of allocations so far at each token, without making one.
class CountingObserver final : public RequestObserver {
 public:
  struct Shared {
    std::mutex mutex;
    std::condition_variable done;
    bool ended = false;
    std::array<size_t, 128> at_token = {};
    size_t tokens = 0;
  };
  explicit CountingObserver(Shared* shared) : shared_(shared) {}
  void OnToken(const TokenEvent&) override {
    if (shared_->tokens < shared_->at_token.size()) {
      shared_->at_token[shared_->tokens++] = allocations.load(std::memory_order_relaxed);
    }
  }
  void OnFinish(const FinishEvent&) override {
    const std::lock_guard lock(shared_->mutex);
    shared_->ended = true;
    shared_->done.notify_all();
  }

 private:
  Shared* shared_;
};

void ExpectNoAllocations(const ModelEngineOptions& options) {
  ModelEngine model(options);
  CountingObserver::Shared shared;
  Request request;
  request.prompt_ids = {5, 6, 7, 8, 9};
  request.params.temperature = 0.7f;
  request.params.top_k = 20;
  request.params.top_p = 0.9f;
  request.params.repetition_penalty = 1.1f;
  request.params.logprobs = 3;
  request.params.max_tokens = 100;
  request.params.ignore_eos = true;
  request.observer = std::make_unique<CountingObserver>(&shared);
  ASSERT_TRUE(model.engine().Submit(std::move(request)).ok());
  std::unique_lock lock(shared.mutex);
  shared.done.wait(lock, [&] { return shared.ended; });
  ASSERT_EQ(shared.tokens, 100u);
  // The first steps warm up; from the tenth token to the last, across several new cache blocks,
  // nothing is allocated.
  EXPECT_EQ(shared.at_token[99] - shared.at_token[9], 0u);
  EXPECT_GT(shared.at_token[0], 0u) << "the counter counts";
}

TEST(AllocationTest, SteadyDecodeStepsAllocateNothing) {
  ExpectNoAllocations({.path = "tests/data/golden/llama/model-Q4_0.gguf", .threads = 2});
}

TEST(AllocationTest, StepsWithADraftModelAllocateNothing) {
  const std::optional<std::string> full = golden::FullSet();
  if (!full) GTEST_SKIP() << "the full set of golden models is not here";
  ExpectNoAllocations({.path = *full + "/models/deepseek-v3-mtp", .threads = 2, .mtp = true});
}

}  // namespace
}  // namespace pelton
