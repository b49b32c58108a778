#include "library/event_queue.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <utility>

namespace pelton::library {
namespace {

using SteadyClock = std::chrono::steady_clock;

// Longer waits count as no limit; as milliseconds on the clock they would overflow.
constexpr int64_t kLongestWaitMs = int64_t{1} << 40;

int32_t ReasonOf(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return PELTON_FINISH_STOP;
    case FinishReason::kLength:
      return PELTON_FINISH_LENGTH;
    case FinishReason::kCancelled:
      return PELTON_FINISH_CANCELLED;
    case FinishReason::kDeadline:
      return PELTON_FINISH_DEADLINE;
    case FinishReason::kError:
      return PELTON_FINISH_ERROR;
  }
  return PELTON_FINISH_ERROR;
}

}  // namespace

Event::Event(const PromptTokenEvent& event) {
  SetDelta({});
  view_.kind = PELTON_EVENT_PROMPT_TOKEN;
  view_.id = event.id;
  view_.logprob = event.logprob;
  view_.position = event.position;
  SetTop(event.top);
}

Event::Event(const TokenEvent& event, OutputDelta delta) {
  SetDelta(std::move(delta));
  view_.kind = PELTON_EVENT_TOKEN;
  view_.id = event.id;
  view_.logprob = event.logprob;
  SetTop(event.top);
}

Event::Event(const FinishEvent& event, OutputDelta delta) : message_(event.status.message()) {
  SetDelta(std::move(delta));
  view_.kind = PELTON_EVENT_FINISH;
  view_.id = event.stop_id;
  view_.finish_reason = ReasonOf(event.reason);
  view_.status = static_cast<pelton_code>(event.status.code());
  view_.stop_index = event.stop_string;
  view_.prompt_tokens = event.prompt_tokens;
  view_.cached_tokens = event.cached_tokens;
  view_.output_tokens = event.output_tokens;
  view_.queue_ns = event.queue_ns;
  view_.prompt_ns = event.prompt_ns;
  view_.output_ns = event.output_ns;
}

void Event::SetTop(std::span<const TokenLogprob> top) {
  for (const TokenLogprob& token : top) top_.push_back({token.id, token.logprob});
  view_.top = top_.data();
  view_.num_top = top_.size();
}

void Event::SetDelta(OutputDelta delta) {
  delta_ = std::move(delta);
  for (const OutputDelta::Call& call : delta_.calls) {
    calls_.push_back({call.index, call.id.c_str(), call.name.c_str(), call.arguments.c_str()});
  }
  view_.struct_size = sizeof view_;
  view_.text = delta_.content.c_str();
  view_.text_bytes = delta_.content.size();
  view_.reasoning = delta_.reasoning.c_str();
  view_.reasoning_bytes = delta_.reasoning.size();
  view_.calls = calls_.data();
  view_.num_calls = calls_.size();
  view_.message = message_.c_str();
  view_.stop_index = -1;
}

EventQueue::~EventQueue() {
  if (fd_ >= 0) ::close(fd_);
}

void EventQueue::Put(std::unique_ptr<Event> event) {
  const MutexLock lock(mutex_);
  finished_ |= event->view().kind == PELTON_EVENT_FINISH;
  if (!abandoned_) events_.push_back(std::move(event));
  Signal();
  changed_.WakeAll();
}

Result<std::unique_ptr<Event>> EventQueue::Take(int64_t timeout_ms) {
  const bool bounded = timeout_ms >= 0 && timeout_ms < kLongestWaitMs;
  const SteadyClock::time_point end =
      SteadyClock::now() + std::chrono::milliseconds(bounded ? timeout_ms : 0);
  const MutexLock lock(mutex_);
  while (!Ready()) {
    if (!bounded) {
      changed_.Wait(mutex_);
      continue;
    }
    const int64_t left_ns =
        std::chrono::duration_cast<std::chrono::nanoseconds>(end - SteadyClock::now()).count();
    if (left_ns <= 0) break;
    changed_.WaitFor(mutex_, left_ns);
  }
  if (events_.empty()) {
    if (finished_) return NotFound("the request has ended; there are no more events");
    return Status(StatusCode::kDeadlineExceeded, "no event came in time");
  }
  std::unique_ptr<Event> event = std::move(events_.front());
  events_.pop_front();
  Signal();
  return event;
}

Result<int> EventQueue::Descriptor() {
  const MutexLock lock(mutex_);
  if (fd_ < 0) {
    fd_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd_ < 0) return ResourceExhausted("no descriptor is left for the request's events");
    Signal();
  }
  return fd_;
}

void EventQueue::Abandon() {
  const MutexLock lock(mutex_);
  abandoned_ = true;
  events_.clear();
}

// Brings the descriptor in line with Ready.
void EventQueue::Signal() {
  if (fd_ < 0 || Ready() == signalled_) return;
  signalled_ = !signalled_;
  uint64_t count = 1;
  // Neither can fail: the counter is 0 or 1, as signalled_ says.
  const ssize_t moved =
      signalled_ ? ::write(fd_, &count, sizeof count) : ::read(fd_, &count, sizeof count);
  PELTON_CHECK(moved == sizeof count, "an event's counter is 0 or 1");
}

}  // namespace pelton::library
