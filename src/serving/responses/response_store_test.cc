#include "serving/responses/response_store.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace pelton {
namespace {

StoredResponse Response(const std::string& id, const std::string& previous = "",
                        size_t padding = 0) {
  return {.id = id,
          .previous_id = previous,
          .body = R"({"output":[{"id":"out-)" + id + R"("}],"pad":")" + std::string(padding, 'x') +
                  "\"}",
          .input = R"([{"id":"in-)" + id + "\"}]",
          .item_ids = {"out-" + id},
          .background = false,
          .cancel = nullptr};
}

TEST(ResponseStore, IsOfOneTenant) {
  MetricRegistry metrics;
  ResponseStore store({}, metrics);
  store.Put("alice", Response("a"));
  ASSERT_NE(store.Find("alice", "a"), nullptr);
  EXPECT_EQ(store.Find("bob", "a"), nullptr);
  EXPECT_EQ(store.FindItem("alice", "out-a")->id, "a");
  EXPECT_EQ(store.FindItem("bob", "out-a"), nullptr);
  Json items;
  EXPECT_FALSE(store.Conversation("alice", "a", &items));
  EXPECT_EQ(store.Conversation("bob", "a", &items)->status, 404);
  EXPECT_FALSE(store.Erase("bob", "a"));
  EXPECT_TRUE(store.Erase("alice", "a"));
  EXPECT_FALSE(store.Erase("alice", "a"));
  EXPECT_EQ(store.FindItem("alice", "out-a"), nullptr);
  EXPECT_EQ(store.bytes(), 0u);
}

TEST(ResponseStore, LetsTheLeastUsedGo) {
  MetricRegistry metrics;
  ResponseStore store({.max_responses = 2}, metrics);
  store.Put("t", Response("a"));
  store.Put("t", Response("b"));
  EXPECT_NE(store.Find("t", "a"), nullptr);
  store.Put("t", Response("c"));
  EXPECT_NE(store.Find("t", "a"), nullptr);
  EXPECT_EQ(store.Find("t", "b"), nullptr);
  EXPECT_EQ(metrics.AddCounter("pelton_response_store_evicted_total", "", "").value(), 1u);
}

TEST(ResponseStore, OneTenantDoesNotPushOutAnother) {
  MetricRegistry metrics;
  ResponseStore store({.max_bytes = 20'000}, metrics);
  store.Put("quiet", Response("q"));
  for (int i = 0; i < 50; ++i) store.Put("loud", Response("l" + std::to_string(i), "", 3000));
  EXPECT_NE(store.Find("quiet", "q"), nullptr);
  EXPECT_NE(store.Find("loud", "l49"), nullptr);
  EXPECT_LE(store.bytes(), 20'000u);
  // What is larger than everything that may be kept is not.
  store.Put("huge", Response("h", "", 30'000));
  EXPECT_EQ(store.Find("huge", "h"), nullptr);
  EXPECT_NE(store.Find("quiet", "q"), nullptr);
}

TEST(ResponseStore, KnowsConversations) {
  MetricRegistry metrics;
  ResponseStore store({}, metrics);
  store.Put("t", Response("a"));
  store.Put("t", Response("b", "a"));
  Json items;
  ASSERT_FALSE(store.Conversation("t", "b", &items));
  std::string ids;
  for (const Json& item : items) ids += item["id"].get<std::string>() + " ";
  EXPECT_EQ(ids, "in-a out-a in-b out-b ");
  store.Erase("t", "a");
  const std::optional<ApiError> error = store.Conversation("t", "b", &items);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->status, 404);
  EXPECT_EQ(error->param, "previous_response_id");
  EXPECT_NE(error->message.find("\"a\""), std::string::npos);
}

TEST(ResponseStore, EndsWhatRuns) {
  MetricRegistry metrics;
  ResponseStore store({}, metrics);
  int cancelled = 0;
  StoredResponse running = Response("r");
  running.cancel = [&] { ++cancelled; };
  store.Put("t", running);
  Json items;
  EXPECT_EQ(store.Conversation("t", "r", &items)->status, 400);
  EXPECT_TRUE(store.Finish("t", "r", R"({"output":[]})", {}));
  EXPECT_FALSE(store.Finish("t", "r", "{}", {}));
  EXPECT_EQ(store.Find("t", "r")->body, R"({"output":[]})");
  EXPECT_TRUE(store.Erase("t", "r"));
  EXPECT_EQ(cancelled, 0);
  store.Put("t", running);
  EXPECT_TRUE(store.Erase("t", "r"));
  EXPECT_EQ(cancelled, 1);
  EXPECT_FALSE(store.Finish("t", "r", "{}", {}));
}

TEST(ResponseStore, KeepsItsLimitsUnderThreads) {
  MetricRegistry metrics;
  ResponseStore store({.max_bytes = 50'000, .max_responses = 20}, metrics);
  std::atomic<bool> over{false};
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      const std::string tenant = "t" + std::to_string(t % 3);
      for (int i = 0; i < 300; ++i) {
        const std::string id = std::to_string(t) + "-" + std::to_string(i);
        store.Put(tenant, Response(id, i > 0 ? std::to_string(t) + "-" + std::to_string(i - 1) : "",
                                   static_cast<size_t>(i) * 10));
        Json items;
        (void)store.Conversation(tenant, id, &items);
        if (i % 7 == 0) store.Erase(tenant, id);
        if (store.bytes() > 50'000) over = true;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(over);
  const auto count = metrics.AddGauge("pelton_response_store_responses", "", "").value();
  EXPECT_LE(count, 20);
}

}  // namespace
}  // namespace pelton
