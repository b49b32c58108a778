#include "serving/http/intake.h"

#include <utility>

namespace pelton {

Intake::Intake(size_t threads, size_t max_entries, size_t max_bytes)
    : max_entries_(max_entries), max_bytes_(max_bytes) {
  for (size_t i = 0; i < threads; ++i) {
    threads_.emplace_back([this] { Loop(); });
  }
}

Intake::~Intake() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  wake_.WakeAll();
  for (std::thread& thread : threads_) thread.join();
}

bool Intake::Push(size_t bytes, std::function<void()> work) {
  {
    const MutexLock lock(mutex_);
    if (stopping_ || queue_.size() >= max_entries_ || bytes > max_bytes_ - bytes_) return false;
    queue_.push_back({bytes, std::move(work)});
    bytes_ += bytes;
  }
  wake_.WakeOne();
  return true;
}

void Intake::Loop() {
  while (true) {
    Entry entry;
    {
      MutexLock lock(mutex_);
      while (queue_.empty() && !stopping_) wake_.Wait(mutex_);
      if (queue_.empty()) return;
      entry = std::move(queue_.front());
      queue_.pop_front();
    }
    entry.work();
    entry.work = nullptr;
    const MutexLock lock(mutex_);
    bytes_ -= entry.bytes;
  }
}

}  // namespace pelton
