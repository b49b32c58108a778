#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

#if defined(__clang__)
#define PELTON_ANNOTATION(x) __attribute__((x))
#else
#define PELTON_ANNOTATION(x)
#endif

// Clang's thread-safety analysis: which mutex guards a member, and what a function needs or takes.
#define GUARDED_BY(mutex) PELTON_ANNOTATION(guarded_by(mutex))
#define REQUIRES_LOCK(...) PELTON_ANNOTATION(requires_capability(__VA_ARGS__))
#define EXCLUDES_LOCK(...) PELTON_ANNOTATION(locks_excluded(__VA_ARGS__))

namespace pelton {

// A std::mutex that the analysis understands: libstdc++'s own carries no annotations.
class PELTON_ANNOTATION(capability("mutex")) Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void Lock() PELTON_ANNOTATION(acquire_capability()) { mutex_.lock(); }
  void Unlock() PELTON_ANNOTATION(release_capability()) { mutex_.unlock(); }

 private:
  friend class CondVar;
  std::mutex mutex_;
};

// Holds a mutex for its own lifetime.
class PELTON_ANNOTATION(scoped_lockable) MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) PELTON_ANNOTATION(acquire_capability(mutex)) : mutex_(mutex) {
    mutex_.Lock();
  }
  ~MutexLock() PELTON_ANNOTATION(release_capability()) { mutex_.Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

class CondVar {
 public:
  // Releases `mutex`, sleeps until woken (spurious wakes happen) and takes it again.
  void Wait(Mutex& mutex) REQUIRES_LOCK(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    condition_.wait(lock);
    lock.release();
  }
  // As Wait, but wakes by itself after `ns`.
  void WaitFor(Mutex& mutex, int64_t ns) REQUIRES_LOCK(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    condition_.wait_for(lock, std::chrono::nanoseconds(ns));
    lock.release();
  }
  void WakeOne() { condition_.notify_one(); }
  void WakeAll() { condition_.notify_all(); }

 private:
  std::condition_variable condition_;
};

}  // namespace pelton
