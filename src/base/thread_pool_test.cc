#include "base/thread_pool.h"

#include <gtest/gtest.h>

#include <chrono>
#include <numeric>

namespace pelton {
namespace {

TEST(ThreadPoolTest, RunsEveryWorkerOnce) {
  for (size_t threads : {1, 2, 3, 5}) {
    ThreadPool pool(threads);
    for (int job = 0; job < 200; ++job) {
      std::vector<int> calls(threads);
      pool.Run([&](size_t worker) { ++calls[worker]; });
      EXPECT_EQ(calls, std::vector<int>(threads, 1));
    }
  }
}

TEST(ThreadPoolTest, BarrierSeparatesPhases) {
  ThreadPool pool(3);
  constexpr int kPhases = 500;
  std::vector<int> progress(3);
  std::atomic<int> violations{0};
  pool.Run([&](size_t worker) {
    for (int phase = 1; phase <= kPhases; ++phase) {
      progress[worker] = phase;
      pool.Barrier();
      for (int other : progress) violations += other != phase;
      pool.Barrier();
    }
  });
  EXPECT_EQ(violations, 0);
}

TEST(ThreadPoolTest, ParallelForCoversTheRangeOnce) {
  ThreadPool pool(4);
  for (size_t count : {0, 1, 3, 4, 1001}) {
    std::vector<int> hits(count);
    pool.ParallelFor(count, [&](size_t begin, size_t end) {
      for (size_t i = begin; i < end; ++i) ++hits[i];
    });
    EXPECT_EQ(std::accumulate(hits.begin(), hits.end(), size_t{0}), count);
  }
}

TEST(ThreadPoolTest, WakesWorkersThatWentToSleep) {
  ThreadPool pool(3);
  for (int round = 0; round < 3; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    std::atomic<int> calls{0};
    pool.Run([&](size_t) { ++calls; });
    EXPECT_EQ(calls, 3);
  }
}

}  // namespace
}  // namespace pelton
