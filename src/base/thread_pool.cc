#include "base/thread_pool.h"

#include <sched.h>

#include "base/check.h"

namespace pelton {
namespace {

// About a millisecond of pauses on current processors; then a waiter inside a job starts to yield
// and an idle worker sleeps.
constexpr int kSpinsBeforeYield = 1 << 12;
constexpr int kSpinsBeforeSleep = 1 << 15;

inline void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

ThreadPool::ThreadPool(size_t threads) : size_(threads) {
  PELTON_CHECK(threads > 0, "a pool has at least the caller's thread");
  threads_.reserve(threads - 1);
  for (size_t worker = 1; worker < threads; ++worker) {
    threads_.emplace_back([this, worker] { Work(worker); });
  }
}

ThreadPool::~ThreadPool() {
  job_ = nullptr;
  epoch_.fetch_add(1, std::memory_order_seq_cst);
  epoch_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::Run(FunctionRef<void(size_t)> job) {
  if (size_ == 1) return job(0);
  job_ = &job;
  // Sequentially consistent with the sleeper count: either a worker sees the new epoch before it
  // sleeps, or it is counted here and woken.
  epoch_.fetch_add(1, std::memory_order_seq_cst);
  if (sleepers_.load(std::memory_order_seq_cst) > 0) epoch_.notify_all();
  job(0);
  Barrier();
}

void ThreadPool::Work(size_t worker) {
  uint32_t seen = 0;
  for (;;) {
    int spins = 0;
    while (epoch_.load(std::memory_order_acquire) == seen) {
      if (++spins < kSpinsBeforeSleep) {
        Pause();
        continue;
      }
      sleepers_.fetch_add(1, std::memory_order_seq_cst);
      epoch_.wait(seen, std::memory_order_seq_cst);
      sleepers_.fetch_sub(1, std::memory_order_seq_cst);
      spins = 0;
    }
    ++seen;
    if (job_ == nullptr) return;
    (*job_)(worker);
    Barrier();
  }
}

void ThreadPool::Barrier() {
  if (size_ == 1) return;
  const uint32_t phase = phase_.load(std::memory_order_relaxed);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == size_) {
    arrived_.store(0, std::memory_order_relaxed);
    phase_.store(phase + 1, std::memory_order_release);
    return;
  }
  int spins = 0;
  while (phase_.load(std::memory_order_acquire) == phase) {
    if (++spins < kSpinsBeforeYield) {
      Pause();
    } else {
      ::sched_yield();
    }
  }
}

void ThreadPool::ParallelFor(size_t count, FunctionRef<void(size_t, size_t)> body) {
  Run([&](size_t worker) {
    const size_t begin = count * worker / size_;
    const size_t end = count * (worker + 1) / size_;
    if (begin < end) body(begin, end);
  });
}

}  // namespace pelton
