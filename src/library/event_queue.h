#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/status.h"
#include "pelton.h"
#include "runtime/engine/request.h"
#include "text/parsers/output_parser.h"

namespace pelton::library {

// One event and all that it points to. Does not move.
class Event {
 public:
  explicit Event(const PromptTokenEvent& event);
  Event(const TokenEvent& event, OutputDelta delta);
  Event(const FinishEvent& event, OutputDelta delta);
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  const pelton_event& view() const { return view_; }

 private:
  void SetTop(std::span<const TokenLogprob> top);
  void SetDelta(OutputDelta delta);

  OutputDelta delta_;
  std::string message_;
  std::vector<pelton_call_delta> calls_;
  std::vector<pelton_token_logprob> top_;
  pelton_event view_{};
};

// The events of one request between the engine's thread, which puts them in, and the caller's, who
// takes them out. It grows with the output as long as nobody takes any. Any thread.
class EventQueue {
 public:
  EventQueue() = default;
  ~EventQueue();
  EventQueue(const EventQueue&) = delete;
  EventQueue& operator=(const EventQueue&) = delete;

  void Put(std::unique_ptr<Event> event);

  // The next event, once it is there; DeadlineExceeded if it is not within `timeout_ms` (below 0:
  // any time), NotFound after the finish.
  Result<std::unique_ptr<Event>> Take(int64_t timeout_ms);

  // A descriptor that is readable as long as Take would not wait; the queue's own.
  // ResourceExhausted if the process has no more descriptors.
  Result<int> Descriptor();

  // Nobody will take events any more.
  void Abandon();

  bool finished() {  // the finish was put in
    const MutexLock lock(mutex_);
    return finished_;
  }

 private:
  bool Ready() const REQUIRES_LOCK(mutex_) { return !events_.empty() || finished_; }
  void Signal() REQUIRES_LOCK(mutex_);

  Mutex mutex_;
  CondVar changed_;
  std::deque<std::unique_ptr<Event>> events_ GUARDED_BY(mutex_);
  bool finished_ GUARDED_BY(mutex_) = false;
  bool abandoned_ GUARDED_BY(mutex_) = false;
  int fd_ GUARDED_BY(mutex_) = -1;  // an eventfd: above 0 if Ready
  bool signalled_ GUARDED_BY(mutex_) = false;
};

}  // namespace pelton::library
