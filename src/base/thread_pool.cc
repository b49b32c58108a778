#include "base/thread_pool.h"

#include "base/check.h"

namespace pelton {
namespace {

// About a tenth of a millisecond of pauses on current processors inside a job, more than its parts
// differ when every worker has a core; and a millisecond between jobs. Then a waiter sleeps.
constexpr int kSpinsAtBarrier = 1 << 12;
constexpr int kSpinsBetweenJobs = 1 << 15;

inline void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Waits until `count` is no longer `seen`.
void SpinThenSleep(const std::atomic<uint32_t>& count, uint32_t seen, int spins,
                   std::atomic<uint32_t>& sleepers) {
  for (; spins > 0; --spins) {
    if (count.load(std::memory_order_acquire) != seen) return;
    Pause();
  }
  while (count.load(std::memory_order_acquire) == seen) {
    sleepers.fetch_add(1, std::memory_order_seq_cst);
    count.wait(seen, std::memory_order_seq_cst);
    sleepers.fetch_sub(1, std::memory_order_seq_cst);
  }
}

// Counts up and wakes who sleeps. Sequentially consistent with the number of sleepers: either one
// sees the new count before it sleeps, or it is counted here and woken.
void Publish(std::atomic<uint32_t>& count, const std::atomic<uint32_t>& sleepers) {
  count.fetch_add(1, std::memory_order_seq_cst);
  if (sleepers.load(std::memory_order_seq_cst) > 0) count.notify_all();
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
  Publish(epoch_, idle_sleepers_);
  for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::Run(FunctionRef<void(size_t)> job) {
  if (size_ == 1) return job(0);
  job_ = &job;
  Publish(epoch_, idle_sleepers_);
  job(0);
  Barrier();
}

void ThreadPool::Work(size_t worker) {
  uint32_t seen = 0;
  for (;;) {
    SpinThenSleep(epoch_, seen, kSpinsBetweenJobs, idle_sleepers_);
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
    Publish(phase_, barrier_sleepers_);
    return;
  }
  SpinThenSleep(phase_, phase, kSpinsAtBarrier, barrier_sleepers_);
}

void ThreadPool::ParallelFor(size_t count, FunctionRef<void(size_t, size_t)> body) {
  Run([&](size_t worker) {
    const size_t begin = count * worker / size_;
    const size_t end = count * (worker + 1) / size_;
    if (begin < end) body(begin, end);
  });
}

}  // namespace pelton
