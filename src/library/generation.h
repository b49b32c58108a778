#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

#include "base/status.h"
#include "library/event_queue.h"
#include "library/loaded_model.h"
#include "pelton.h"

namespace pelton::library {

// A request that a caller started. Keeps its model in memory. Any thread.
class Generation {
 public:
  // The errors of ReadGenerateOptions and of the engine. Requires: a language model.
  static Result<std::shared_ptr<Generation>> Start(std::shared_ptr<LoadedModel> model,
                                                   const pelton_generate_options& options);

  // Ends it if it runs.
  ~Generation();
  Generation(const Generation&) = delete;
  Generation& operator=(const Generation&) = delete;

  // As EventQueue::Take; the event is valid until the next call. InvalidArgument while another
  // call, or Follow, reads the events.
  Status Next(int64_t timeout_ms, const pelton_event** event);

  // Tells the callback of every event to come, as pelton_generate says; the status of the finish.
  Status Follow(pelton_callback callback, void* user, pelton_request* handle);

  Result<int> Descriptor() { return events_->Descriptor(); }
  void Cancel() { model_->language->engine->Cancel(engine_id_); }

  const LoadedModel& model() const { return *model_; }

 private:
  Generation(std::shared_ptr<LoadedModel> model, std::shared_ptr<EventQueue> events,
             uint64_t engine_id)
      : model_(std::move(model)), events_(std::move(events)), engine_id_(engine_id) {}

  // Shared with the caller's handle and with the model's other requests.
  const std::shared_ptr<LoadedModel> model_;
  // Shared with the engine's observer, which must not keep the model: it would be destroyed on its
  // own engine's thread.
  const std::shared_ptr<EventQueue> events_;
  const uint64_t engine_id_;
  std::atomic<bool> reading_ = false;
  std::unique_ptr<Event> current_;  // of the call that set reading_, which keeps what Next gave
};

}  // namespace pelton::library
