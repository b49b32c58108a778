#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <thread>
#include <type_traits>
#include <vector>

namespace pelton {

// Reference to a callable that outlives the call it is passed to; never allocates.
template <typename Signature>
class FunctionRef;
template <typename R, typename... Args>
class FunctionRef<R(Args...)> {
 public:
  template <typename F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, FunctionRef>)
      FunctionRef(F&& f)  // NOLINT(google-explicit-constructor)
      : object_(const_cast<void*>(static_cast<const void*>(&f))),
        call_([](void* object, Args... args) -> R {
          return (*static_cast<std::remove_reference_t<F>*>(object))(args...);
        }) {}
  R operator()(Args... args) const { return call_(object_, args...); }

 private:
  void* object_;
  R (*call_)(void*, Args...);
};

// A fixed team of threads that runs one job at a time. While a job runs its threads meet at spin
// barriers; between jobs the workers spin for about a millisecond, so that the next step of a busy
// engine starts at once, and then sleep. A waiter at a barrier that has spun for long sleeps, too:
// it leaves the processor to other programs while it has nothing to do, and gets it back at once
// when the barrier opens, as one who sleeps a lot does; one that spins or yields would use up its
// share and then wait behind programs of the lowest priority.
class ThreadPool {
 public:
  // `threads` counts the caller of Run. Requires: threads > 0.
  explicit ThreadPool(size_t threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  size_t size() const { return size_; }

  // Calls job(worker) for every worker in [0, size()), worker 0 on the calling thread, and returns
  // when all are done. One caller at a time. No allocation.
  void Run(FunctionRef<void(size_t)> job);

  // Inside a job: waits until all workers are here.
  void Barrier();

  // Runs body(begin, end) over [0, count), split evenly over the workers in order.
  void ParallelFor(size_t count, FunctionRef<void(size_t, size_t)> body);

 private:
  void Work(size_t worker);

  const size_t size_;
  const FunctionRef<void(size_t)>* job_ = nullptr;
  // Apart from each other, so that a spinning reader does not slow a writer of another field.
  alignas(64) std::atomic<uint32_t> epoch_{0};  // jobs published
  alignas(64) std::atomic<uint32_t> idle_sleepers_{0};
  alignas(64) std::atomic<uint32_t> arrived_{0};  // at the current barrier
  alignas(64) std::atomic<uint32_t> phase_{0};    // barriers passed
  alignas(64) std::atomic<uint32_t> barrier_sleepers_{0};
  std::vector<std::thread> threads_;
};

}  // namespace pelton
