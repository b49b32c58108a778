#include "runtime/engine/run_to_completion.h"

#include <utility>

#include "base/mutex.h"

namespace pelton {
namespace {

// How many requests are inside the engine; the caller waits until another one fits, or all ended.
class InFlight {
 public:
  void EnterBelow(size_t limit) {
    const MutexLock lock(mutex_);
    while (count_ >= limit) changed_.Wait(mutex_);
    ++count_;
  }
  void Leave() {
    const MutexLock lock(mutex_);
    --count_;
    // Inside the lock: the waiter may destroy this object as soon as it holds the lock.
    changed_.WakeAll();
  }
  void WaitForNone() {
    const MutexLock lock(mutex_);
    while (count_ > 0) changed_.Wait(mutex_);
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  size_t count_ GUARDED_BY(mutex_) = 0;
};

class Recorder final : public RequestObserver {
 public:
  Recorder(RequestResult& result, InFlight& in_flight, std::unique_ptr<RequestObserver> next)
      : result_(result), in_flight_(in_flight), next_(std::move(next)) {}

  void OnStart(const StartEvent& event) override {
    if (next_) next_->OnStart(event);
  }
  void OnPromptToken(const PromptTokenEvent& event) override {
    result_.prompt.push_back({event.id, event.logprob, {event.top.begin(), event.top.end()}});
    if (next_) next_->OnPromptToken(event);
  }
  void OnToken(const TokenEvent& event) override {
    result_.output.push_back({event.id, event.logprob, {event.top.begin(), event.top.end()}});
    result_.text.append(event.text);
    if (next_) next_->OnToken(event);
  }
  void OnFinish(const FinishEvent& event) override {
    result_.text.append(event.text);
    result_.status = event.status;
    result_.reason = event.reason;
    result_.finish = event;
    result_.finish.text = {};
    if (next_) next_->OnFinish(event);
    in_flight_.Leave();
  }

 private:
  RequestResult& result_;
  InFlight& in_flight_;
  std::unique_ptr<RequestObserver> next_;
};

}  // namespace

std::vector<RequestResult> RunToCompletion(RequestSink& engine, std::vector<Request> requests) {
  std::vector<RequestResult> results(requests.size());
  InFlight in_flight;
  for (size_t i = 0; i < requests.size(); ++i) {
    // Never more than may wait, so that a request is not refused because of its neighbours.
    in_flight.EnterBelow(engine.max_queued());
    Request& request = requests[i];
    request.observer =
        std::make_unique<Recorder>(results[i], in_flight, std::move(request.observer));
    const Result<uint64_t> id = engine.Submit(std::move(request));
    if (!id.ok()) {
      results[i].status = id.status();
      in_flight.Leave();
    }
  }
  in_flight.WaitForNone();
  return results;
}

}  // namespace pelton
