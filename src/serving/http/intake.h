#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "base/mutex.h"

namespace pelton {

// Threads that read requests (JSON, template, tokens) so that the network's threads only move
// bytes. The queue is bounded in entries and bytes.
class Intake {
 public:
  // Requires: threads > 0.
  Intake(size_t threads, size_t max_entries, size_t max_bytes);
  // Runs what is queued, then ends.
  ~Intake();
  Intake(const Intake&) = delete;
  Intake& operator=(const Intake&) = delete;

  // Queues work over a body of `bytes`; false if the queue is full. Any thread.
  bool Push(size_t bytes, std::function<void()> work);

 private:
  struct Entry {
    size_t bytes;
    std::function<void()> work;
  };
  void Loop();

  const size_t max_entries_;
  const size_t max_bytes_;
  Mutex mutex_;
  CondVar wake_;
  std::deque<Entry> queue_ GUARDED_BY(mutex_);
  size_t bytes_ GUARDED_BY(mutex_) = 0;  // of what is queued and of what runs
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace pelton
