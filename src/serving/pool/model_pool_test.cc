#include "serving/pool/model_pool.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <future>
#include <map>
#include <mutex>
#include <random>

#include "serving/generate/served_model.h"

namespace pelton {
namespace {

constexpr const char* kPath = "tests/data/golden/llama/model-Q4_0.gguf";
constexpr int64_t kMs = 1'000'000;

// Loads a real, tiny model, but says what the test wants about sizes and outcomes, and can be held
// up while it loads.
class TestLoader final : public ModelLoader {
 public:
  Result<MemoryNeed> Need(const PooledModel& model) override {
    const std::lock_guard lock(mutex_);
    return MemoryNeed{.weight_bytes = sizes[model.called.name]};
  }
  Result<LoadedModel> Load(const PooledModel& model, MetricRegistry& metrics,
                           const std::atomic<bool>& cancelled) override {
    {
      std::unique_lock lock(mutex_);
      ++loads_[model.called.name];
      ++loading_;
      changed_.notify_all();
      // Like a load that looks at `cancelled` now and then.
      while (held_ && !cancelled.load()) changed_.wait_for(lock, std::chrono::milliseconds(1));
      --loading_;
      if (cancelled.load()) return Cancelled("the load was cancelled");
      if (!failures_[model.called.name].ok()) return failures_[model.called.name];
    }
    return ModelLoader::Load(model, metrics, cancelled);
  }

  void Hold(bool hold) {
    const std::lock_guard lock(mutex_);
    held_ = hold;
    changed_.notify_all();
  }
  void WaitForLoad() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return loading_ > 0; });
  }
  size_t LoadsOf(const std::string& name) {
    const std::lock_guard lock(mutex_);
    return loads_[name];
  }
  void Fail(const std::string& name, Status status) {
    const std::lock_guard lock(mutex_);
    failures_[name] = std::move(status);
  }

  std::map<std::string, size_t> sizes;  // set before the pool starts

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, size_t> loads_;
  std::map<std::string, Status> failures_;
  size_t loading_ = 0;
  bool held_ = false;
};

struct Outcome {
  OpenedModel model;
  ApiError error;
};

// A pool of models a, b and c, of which each is 40 of 100 bytes.
class ModelPoolTest : public testing::Test {
 protected:
  ModelPoolTest() {
    loader_ = std::make_unique<TestLoader>();
    for (const char* name : {"a", "b", "c"}) {
      loader_->sizes[name] = 40;
      PooledModel model{.called = {.name = name}, .facts = Facts()};
      model.load.threads = 2;
      model.load.context_tokens = 64;
      models_.push_back(std::move(model));
    }
    models_[0].called.aliases = {"first"};
    options_.memory_bytes = 100;
  }

  static std::shared_ptr<const ModelFacts> Facts() {
    static const auto facts = std::make_shared<const ModelFacts>(ReadModelFacts(kPath).value());
    return facts;
  }

  ModelPool& Start() {
    TestLoader* const loader = loader_.get();
    pool_ = std::make_unique<ModelPool>(options_, std::move(models_), std::move(loader_), metrics_);
    test_loader_ = loader;
    return *pool_;
  }

  std::future<Outcome> Open(const std::string& name, uint64_t* ticket = nullptr, size_t bytes = 0) {
    auto promise = std::make_shared<std::promise<Outcome>>();
    std::future<Outcome> future = promise->get_future();
    const uint64_t got = pool_->Open(name, bytes, [promise](OpenedModel model, const ApiError& e) {
      promise->set_value({std::move(model), e});
    });
    if (ticket != nullptr) *ticket = got;
    return future;
  }
  OpenedModel Get(const std::string& name) {
    Outcome outcome = Open(name).get();
    EXPECT_FALSE(outcome.model.empty()) << outcome.error.message;
    return std::move(outcome.model);
  }
  bool IsLoaded(const std::string& name) {
    for (const ListedModel& each : pool_->List()) {
      if (each.called.name == name) return !each.opened.empty();
    }
    return false;
  }
  void WaitUntilGone(const std::string& name) {
    for (int i = 0; i < 60'000 && IsLoaded(name); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    EXPECT_FALSE(IsLoaded(name));
  }

  MetricRegistry metrics_;
  ModelPoolOptions options_;
  std::vector<PooledModel> models_;
  std::unique_ptr<TestLoader> loader_;
  std::unique_ptr<ModelPool> pool_;
  TestLoader* test_loader_ = nullptr;  // the pool's
};

TEST_F(ModelPoolTest, NamesAndAliasesLeadToModels) {
  ModelPool& pool = Start();
  ApiError error;
  EXPECT_EQ(pool.Resolve("", ModelKind::kLanguage, &error), "a");
  EXPECT_EQ(pool.Resolve("b", ModelKind::kLanguage, &error), "b");
  EXPECT_EQ(pool.Resolve("first", ModelKind::kLanguage, &error), "a");
  EXPECT_EQ(pool.Resolve("c:latest", ModelKind::kLanguage, &error), "c");
  EXPECT_EQ(pool.Resolve("d", ModelKind::kLanguage, &error), "");
  EXPECT_EQ(error.status, 404);
  EXPECT_EQ(error.param, "model");
  EXPECT_EQ(pool.Resolve("", ModelKind::kEncoder, &error), "");
  EXPECT_EQ(error.code, "model_not_found");
}

TEST_F(ModelPoolTest, TheFirstRequestLoadsAndTheOthersWaitForIt) {
  Start();
  EXPECT_FALSE(IsLoaded("a"));
  test_loader_->Hold(true);
  std::vector<std::future<Outcome>> waiting;
  waiting.reserve(6);
  for (int i = 0; i < 5; ++i) waiting.push_back(Open("a"));
  test_loader_->WaitForLoad();
  waiting.push_back(Open("a"));
  test_loader_->Hold(false);
  for (std::future<Outcome>& each : waiting) {
    const Outcome outcome = each.get();
    ASSERT_NE(outcome.model.language, nullptr) << outcome.error.message;
    EXPECT_EQ(outcome.model.language->name(), "a");
    EXPECT_EQ(outcome.model.language->model.context_tokens, 64u);
  }
  uint64_t ticket = 7;
  Open("a", &ticket).get();
  EXPECT_EQ(ticket, 0u) << "what is there needs no wait";
  EXPECT_EQ(test_loader_->LoadsOf("a"), 1u);
}

TEST_F(ModelPoolTest, IdleModelsGoAndUsedOnesStay) {
  for (PooledModel& model : models_) model.keep_alive_ns = 20 * kMs;
  Start();
  {
    const OpenedModel used = Get("a");
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    EXPECT_TRUE(IsLoaded("a"));
  }
  WaitUntilGone("a");
  EXPECT_NE(Get("a").language, nullptr);
  EXPECT_EQ(test_loader_->LoadsOf("a"), 2u);
}

TEST_F(ModelPoolTest, ListingIsNoUse) {
  models_[0].keep_alive_ns = 50 * kMs;
  Start();
  Get("a");
  WaitUntilGone("a");  // lists all the time
}

TEST_F(ModelPoolTest, KeepAliveMayBeChanged) {
  Start();
  Get("a");
  pool_->KeepAlive("a", 0);
  WaitUntilGone("a");
  pool_->KeepAlive("a", -1);
  Get("a");
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_TRUE(IsLoaded("a"));
}

TEST_F(ModelPoolTest, PinnedModelsStay) {
  models_[0].pinned = true;
  models_[0].keep_alive_ns = 0;
  Start();
  Get("a");
  Get("b");
  Get("c");  // for which b has to go
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_TRUE(IsLoaded("a"));
  EXPECT_FALSE(IsLoaded("b"));
  EXPECT_TRUE(IsLoaded("c"));
}

TEST_F(ModelPoolTest, WhatWasUsedLongestAgoMakesRoom) {
  Start();
  // The pool's thread may hold a share a little longer than the one who waited for the load.
  for (const char* name : {"a", "b", "a", "c"}) {
    Get(name);
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  EXPECT_TRUE(IsLoaded("a"));
  EXPECT_FALSE(IsLoaded("b"));
}

TEST_F(ModelPoolTest, WithoutRoomTheRefusalSaysTheNumbers) {
  loader_->sizes["a"] = size_t{40} << 20;
  loader_->sizes["b"] = size_t{40} << 20;
  loader_->sizes["c"] = size_t{70} << 20;
  options_.memory_bytes = size_t{100} << 20;
  Start();
  const OpenedModel a = Get("a");
  Get("b");
  const Outcome outcome = Open("c").get();
  EXPECT_TRUE(outcome.model.empty());
  EXPECT_EQ(outcome.error.status, 503);
  EXPECT_EQ(outcome.error.code, "out_of_memory");
  for (const char* part : {"\"c\" needs 70 MiB", "100 MiB", "\"a\" 40 MiB (in use)"}) {
    EXPECT_NE(outcome.error.message.find(part), std::string::npos) << outcome.error.message;
  }
  EXPECT_TRUE(IsLoaded("b")) << "nothing goes in vain";
}

TEST_F(ModelPoolTest, AFailureIsToldAndTriedAgainLater) {
  options_.first_retry_ns = 30 * kMs;
  Start();
  test_loader_->Fail("a", DataLoss("/srv/secret/a.gguf: is damaged"));
  test_loader_->Hold(true);
  std::future<Outcome> first = Open("a"), second = Open("a");
  test_loader_->WaitForLoad();
  test_loader_->Hold(false);
  for (std::future<Outcome>* each : {&first, &second}) {
    const Outcome outcome = each->get();
    EXPECT_TRUE(outcome.model.empty());
    EXPECT_EQ(outcome.error.status, 503);
    EXPECT_EQ(outcome.error.code, "model_load_failed");
    EXPECT_EQ(outcome.error.message.find("secret"), std::string::npos);
  }
  EXPECT_EQ(test_loader_->LoadsOf("a"), 1u);
  // It may be mended by now, but that is not looked at with every request.
  for (int i = 0; i < 20; ++i) Open("a").get();
  EXPECT_LT(test_loader_->LoadsOf("a"), 20u);
  test_loader_->Fail("a", OkStatus());
  for (int i = 0; i < 60'000 && Open("a").get().model.empty(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_TRUE(IsLoaded("a"));
}

TEST_F(ModelPoolTest, WaitsAreBoundedAndMayBeGivenUp) {
  options_.max_waiting = 2;
  options_.max_waiting_bytes = 100;
  options_.max_wait_ns = 3000 * kMs;
  Start();
  test_loader_->Hold(true);
  uint64_t ticket = 0;
  std::future<Outcome> given_up = Open("a", &ticket, 60);
  EXPECT_NE(ticket, 0u);
  EXPECT_EQ(Open("a", nullptr, 60).get().error.status, 503) << "more bytes than may wait";
  std::future<Outcome> late = Open("b", nullptr, 10);
  EXPECT_EQ(Open("b").get().error.status, 503) << "more requests than may wait";
  pool_->Leave(ticket);
  pool_->Leave(ticket);
  EXPECT_THROW(given_up.get(), std::future_error) << "its callback goes without a call";
  const Outcome outcome = late.get();  // while nothing moves
  EXPECT_TRUE(outcome.model.empty());
  EXPECT_NE(outcome.error.message.find("in time"), std::string::npos);
  test_loader_->Hold(false);
  EXPECT_NE(Get("a").language, nullptr);
}

TEST_F(ModelPoolTest, ClosingEndsWaitsAndALoad) {
  Start();
  test_loader_->Hold(true);
  std::future<Outcome> loading = Open("a");
  test_loader_->WaitForLoad();
  std::future<Outcome> waiting = Open("b");
  pool_->Close();
  EXPECT_EQ(loading.get().error.status, 503);
  EXPECT_EQ(waiting.get().error.status, 503);
  EXPECT_EQ(Open("a").get().error.status, 503);
}

// Whatever a request does when its model's engine ends it.
class HoldingObserver final : public RequestObserver {
 public:
  HoldingObserver(OpenedModel model, std::atomic<size_t>& ended)
      : model_(std::move(model)), ended_(ended) {}
  void OnToken(const TokenEvent&) override {}
  void OnFinish(const FinishEvent&) override { ended_.fetch_add(1); }

 private:
  const OpenedModel model_;  // as a job holds it; given back on the engine's thread
  std::atomic<size_t>& ended_;
};

// Submits a request that holds a share of its model until it has ended.
bool Submit(const OpenedModel& opened, std::atomic<size_t>& ended, uint32_t tokens) {
  Request request;
  request.prompt_ids = {1, 2, 3};
  request.params.max_tokens = tokens;
  request.params.ignore_eos = true;
  request.observer = std::make_unique<HoldingObserver>(opened, ended);
  return opened.language->model.engine->Submit(std::move(request)).ok();
}

TEST_F(ModelPoolTest, RequestsThatRunPinTheirModel) {
  for (PooledModel& model : models_) model.keep_alive_ns = 0;
  Start();
  std::atomic<size_t> ended{0};
  ASSERT_TRUE(Submit(Get("a"), ended, 40));
  WaitUntilGone("a");
  EXPECT_EQ(ended.load(), 1u);
}

TEST_F(ModelPoolTest, StopEndsWhatRuns) {
  Start();
  std::atomic<size_t> ended{0};
  for (int i = 0; i < 8; ++i) ASSERT_TRUE(Submit(Get("a"), ended, 60));
  pool_->Stop();
  EXPECT_EQ(ended.load(), 8u);
  pool_->Stop();
}

// Loads, unloads, evictions, requests and clients that leave, all at once, and then the end at any
// moment of it: each pool must go, whichever thread lets the last share go.
TEST_F(ModelPoolTest, ManyPoolsComeAndGo) {
  for (int round = 0; round < 60; ++round) {
    ModelPoolOptions options{.memory_bytes = 100, .first_retry_ns = kMs};
    auto loader = std::make_unique<TestLoader>();
    std::vector<PooledModel> models;
    for (const char* name : {"a", "b", "c"}) {
      loader->sizes[name] = 40;
      models.push_back({.called = {.name = name}, .facts = Facts(), .keep_alive_ns = kMs});
      models.back().load.threads = 2;
      models.back().load.context_tokens = 64;
    }
    std::atomic<size_t> ended{0}, submitted{0};
    std::atomic<bool> over{false};
    ModelPool pool(options, std::move(models), std::move(loader), metrics_);
    std::vector<std::thread> clients;
    clients.reserve(3);
    for (unsigned c = 0; c < 3; ++c) {
      clients.emplace_back([&, c] {
        std::mt19937 random(c + 10 * static_cast<unsigned>(round));
        while (!over.load()) {
          const std::string name(1, static_cast<char>('a' + random() % 3));
          const uint64_t ticket =
              pool.Open(name, 0, [&](const OpenedModel& model, const ApiError&) {
                if (model.empty()) return;
                submitted += Submit(model, ended, 5) ? 1 : 0;
              });
          if (random() % 4 == 0) pool.Leave(ticket);
          if (random() % 8 == 0) pool.KeepAlive(name, random() % 2 == 0 ? 0 : kMs);
          if (random() % 8 == 0) pool.List();
          std::this_thread::sleep_for(std::chrono::microseconds(random() % 2000));
        }
      });
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5 + round % 20));
    if (round % 2 == 0) pool.Close();
    over.store(true);
    for (std::thread& client : clients) client.join();
    pool.Stop();
    EXPECT_EQ(ended.load(), submitted.load());
  }
}

TEST_F(ModelPoolTest, ASharePastTheEndIsGivenBackInPeace) {
  Start();
  OpenedModel opened = Get("a");
  pool_.reset();
  opened = {};
}

TEST(ShareMemoryTest, SeveralModelsShareHalfForTheirCaches) {
  const auto facts = std::make_shared<const ModelFacts>();
  const auto encoder = std::make_shared<const ModelFacts>(ModelFacts{.encoder = true});
  std::vector<PooledModel> models(3);
  models[0].facts = models[1].facts = facts;
  models[2].facts = encoder;
  ShareMemory(1000, &models);
  EXPECT_EQ(models[0].load.memory_bytes, 1000u);
  EXPECT_EQ(models[1].load.most_kv_bytes, 250u);
  std::vector<PooledModel> one(1);
  one[0].facts = facts;
  ShareMemory(1000, &one);
  EXPECT_EQ(one[0].load.most_kv_bytes, 0u) << "half of what is there, or the whole context";
}

TEST(MemoryNeedTest, IsWhatALoadTakes) {
  PooledModel model{.facts = std::make_shared<const ModelFacts>(ReadModelFacts(kPath).value())};
  model.load.threads = 1;
  model.load.context_tokens = 128;
  model.load.memory_bytes = size_t{1} << 30;
  ModelLoader loader;
  const Result<MemoryNeed> need = loader.Need(model);
  ASSERT_TRUE(need.ok()) << need.status().message();
  MetricRegistry metrics;
  const std::atomic<bool> cancelled{false};
  const Result<LoadedModel> loaded = loader.Load(model, metrics, cancelled);
  ASSERT_TRUE(loaded.ok()) << loaded.status().message();
  const MemoryUse& use = loaded->language->memory;
  EXPECT_EQ(need->kv_bytes, use.kv_bytes);
  EXPECT_GE(need->arena_bytes + (size_t{2} << 20), use.arena_bytes);
  EXPECT_GE(need->weight_bytes + (size_t{2} << 20), use.packed_weight_bytes);
  EXPECT_GT(need->weight_bytes, 0u);
  EXPECT_EQ(loaded->language->context_tokens, 128u);
}

TEST(MemoryNeedTest, ACancelledLoadEnds) {
  PooledModel model{.facts = std::make_shared<const ModelFacts>(ReadModelFacts(kPath).value())};
  ModelLoader loader;
  MetricRegistry metrics;
  const std::atomic<bool> cancelled{true};
  const Result<LoadedModel> loaded = loader.Load(model, metrics, cancelled);
  EXPECT_EQ(loaded.status().code(), StatusCode::kCancelled);
}

}  // namespace
}  // namespace pelton
