#include "null_engine.h"

#include <algorithm>
#include <string>
#include <utility>

namespace pelton {

NullEngine::NullEngine(int32_t token) : token_(token), thread_([this] { Loop(); }) {}

NullEngine::~NullEngine() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  wake_.WakeAll();
  thread_.join();
}

Result<uint64_t> NullEngine::Submit(Request request) {
  uint64_t id = 0;
  {
    const MutexLock lock(mutex_);
    id = next_id_++;
    submitted_.push_back({.id = id, .request = std::move(request)});
  }
  wake_.WakeOne();
  return id;
}

void NullEngine::Cancel(uint64_t id) {
  const MutexLock lock(mutex_);
  cancelled_.push_back(id);
}

void NullEngine::Step(Live& live) {
  std::string text;
  live.request.decoder->Append(token_, text);
  live.request.observer->OnToken({.id = token_, .text = text, .logprob = 0, .top = {}});
  if (++live.tokens < live.request.params.max_tokens.value_or(128)) return;
  live.over = true;
  live.request.observer->OnFinish({.reason = FinishReason::kLength,
                                   .status = OkStatus(),
                                   .text = {},
                                   .prompt_tokens = live.request.prompt_ids.size(),
                                   .output_tokens = live.tokens});
}

void NullEngine::Loop() {
  std::vector<uint64_t> cancelled;
  for (;;) {
    {
      const MutexLock lock(mutex_);
      while (live_.empty() && submitted_.empty() && !stopping_) wake_.Wait(mutex_);
      if (stopping_) return;
      for (Live& live : submitted_) live_.push_back(std::move(live));
      submitted_.clear();
      cancelled = std::exchange(cancelled_, {});
    }
    for (Live& live : live_) {
      if (std::find(cancelled.begin(), cancelled.end(), live.id) != cancelled.end()) {
        live.over = true;
        live.request.observer->OnFinish({.reason = FinishReason::kCancelled,
                                         .status = Cancelled("the client has left"),
                                         .text = {}});
      } else {
        Step(live);
      }
    }
    std::erase_if(live_, [](const Live& live) { return live.over; });
  }
}

}  // namespace pelton
