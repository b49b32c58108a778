#include "serving/journal/request_journal.h"

#include <gtest/gtest.h>

#include <thread>

namespace pelton {
namespace {

constexpr int64_t kMs = 1'000'000;

JournalEntry Asked(std::string id, std::string tenant = "") {
  return {.request_id = std::move(id),
          .path = "/v1/completions",
          .model = "m",
          .tenant = std::move(tenant),
          .prompt_tokens = 5};
}

TEST(RequestJournal, TellsTheParts) {
  ManualClock clock;
  RequestJournal journal(clock);
  const uint64_t name = journal.Begin(Asked("a"));
  clock.Advance(3 * kMs);
  JournalEntry entry = journal.Read("", 9).at(0);
  EXPECT_EQ(entry.queue_ns, 3 * kMs);
  EXPECT_EQ(entry.prompt_ns, 0);
  EXPECT_EQ(entry.output_ns, 0);
  EXPECT_GT(entry.began_unix_ns, 0);
  journal.Started(name);
  clock.Advance(4 * kMs);
  entry = journal.Read("", 9).at(0);
  EXPECT_EQ(entry.queue_ns, 3 * kMs);
  EXPECT_EQ(entry.prompt_ns, 4 * kMs);
  journal.FirstToken(name);
  clock.Advance(5 * kMs);
  entry = journal.Read("", 9).at(0);
  EXPECT_EQ(entry.prompt_ns, 4 * kMs);
  EXPECT_EQ(entry.output_ns, 5 * kMs);
  EXPECT_FALSE(entry.reason.has_value());
  FinishEvent event{.reason = FinishReason::kLength};
  event.queue_ns = 1;
  event.prompt_ns = 2;
  event.output_ns = 3;
  event.prompt_tokens = 5;
  event.cached_tokens = 4;
  event.output_tokens = 7;
  event.preemptions = 1;
  journal.End(name, event);
  clock.Advance(kMs);
  entry = journal.Read("", 9).at(0);
  EXPECT_EQ(entry.reason, FinishReason::kLength);
  EXPECT_EQ(entry.queue_ns, 1);
  EXPECT_EQ(entry.prompt_ns, 2);
  EXPECT_EQ(entry.output_ns, 3);
  EXPECT_EQ(entry.cached_tokens, 4u);
  EXPECT_EQ(entry.output_tokens, 7u);
  EXPECT_EQ(entry.preemptions, 1u);
  journal.End(name, event);
  journal.FirstToken(name);
  EXPECT_EQ(journal.Read("", 9).size(), 1u);
}

TEST(RequestJournal, ShowsATenantOnlyItsOwn) {
  ManualClock clock;
  RequestJournal journal(clock);
  const uint64_t mine = journal.Begin(Asked("mine", "anna"));
  journal.Begin(Asked("other", "ben"));
  journal.End(mine, {.reason = FinishReason::kStop});
  journal.Begin(Asked("later", "anna"));
  const std::vector<JournalEntry> seen = journal.Read("anna", 9);
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_EQ(seen[0].request_id, "later");
  EXPECT_EQ(seen[1].request_id, "mine");
  EXPECT_TRUE(journal.Read("", 9).empty());
  EXPECT_EQ(journal.Read("anna", 1).at(0).request_id, "later");
}

TEST(RequestJournal, RemembersABoundedNumberOfBoundedTexts) {
  ManualClock clock;
  RequestJournal journal(clock);
  for (size_t i = 0; i < RequestJournal::kMostEnded + 20; ++i) {
    JournalEntry entry = Asked(std::to_string(i));
    entry.path = std::string(199, 'a') + "é" + std::string(9000, 'b');
    journal.End(journal.Begin(std::move(entry)), {.reason = FinishReason::kStop});
  }
  journal.Drop(journal.Begin(Asked("refused")));
  const std::vector<JournalEntry> all = journal.Read("", 100'000);
  ASSERT_EQ(all.size(), RequestJournal::kMostEnded);
  EXPECT_EQ(all.front().request_id, std::to_string(RequestJournal::kMostEnded + 19));
  EXPECT_EQ(all.front().path, std::string(199, 'a'));
}

TEST(RequestJournal, IsUsedByManyThreads) {
  MonotonicClock clock;
  RequestJournal journal(clock);
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) {
        const uint64_t name = journal.Begin(Asked("x"));
        journal.Started(name);
        journal.FirstToken(name);
        if (i % 50 == 0) {
          EXPECT_FALSE(journal.Read("", 3).empty());
        }
        journal.End(name, {.reason = FinishReason::kStop});
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(journal.Read("", 100'000).size(), RequestJournal::kMostEnded);
}

}  // namespace
}  // namespace pelton
