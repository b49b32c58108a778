#include "library/generation.h"

#include <optional>

#include "library/generate_options.h"
#include "serving/generate/answer_reader.h"
#include "serving/generate/engine_request.h"

namespace pelton::library {
namespace {

// Puts what happens to a request into its queue.
class QueueObserver final : public RequestObserver {
 public:
  QueueObserver(AnswerReader reader, std::shared_ptr<EventQueue> events)
      : reader_(std::move(reader)), events_(std::move(events)) {}

  void OnPromptToken(const PromptTokenEvent& event) override {
    events_->Put(std::make_unique<Event>(event));
  }
  void OnToken(const TokenEvent& event) override {
    events_->Put(std::make_unique<Event>(event, reader_.Read(event.text, false)));
  }
  void OnFinish(const FinishEvent& event) override {
    events_->Put(std::make_unique<Event>(event, reader_.Read(event.text, true)));
  }

 private:
  AnswerReader reader_;
  const std::shared_ptr<EventQueue> events_;
};

// The right to take events out, for as long as it lives, unless another call has it.
class ReadingTurn {
 public:
  explicit ReadingTurn(std::atomic<bool>& reading)
      : reading_(reading), taken_(!reading.exchange(true)) {}
  ~ReadingTurn() {
    if (taken_) reading_ = false;
  }
  ReadingTurn(const ReadingTurn&) = delete;
  ReadingTurn& operator=(const ReadingTurn&) = delete;

  bool taken() const { return taken_; }

 private:
  std::atomic<bool>& reading_;
  const bool taken_;
};

}  // namespace

Result<std::shared_ptr<Generation>> Generation::Start(std::shared_ptr<LoadedModel> model,
                                                      const pelton_generate_options& options) {
  const LanguageModel& language = *model->language;
  ASSIGN_OR_RETURN(const GenerationRequest request, ReadGenerateOptions(language, options));
  ASSIGN_OR_RETURN(AnswerReader reader, AnswerReader::Create(request));
  auto events = std::make_shared<EventQueue>();
  Request asked = EngineRequest(language, request, 0);
  asked.cache_salt = TextOf(options.cache_salt, PELTON_WHOLE);
  asked.observer = std::make_unique<QueueObserver>(std::move(reader), events);
  ASSIGN_OR_RETURN(const uint64_t id, language.engine->Submit(std::move(asked)));
  return std::shared_ptr<Generation>(new Generation(std::move(model), std::move(events), id));
}

Generation::~Generation() {
  events_->Abandon();
  if (!events_->finished()) Cancel();
}

Status Generation::Next(int64_t timeout_ms, const pelton_event** event) {
  const ReadingTurn turn(reading_);
  if (!turn.taken()) return InvalidArgument("request: its events are being read by another call");
  ASSIGN_OR_RETURN(current_, events_->Take(timeout_ms));
  *event = &current_->view();
  return OkStatus();
}

Status Generation::Follow(pelton_callback callback, void* user, pelton_request* handle) {
  const ReadingTurn turn(reading_);
  if (!turn.taken()) return InvalidArgument("request: its events are being read by another call");
  bool stopped = false;
  while (true) {
    ASSIGN_OR_RETURN(const std::unique_ptr<Event> event, events_->Take(-1));
    const pelton_event& view = event->view();
    if (callback != nullptr && !stopped && callback(user, handle, &view) != 0) {
      stopped = true;
      Cancel();
    }
    if (view.kind != PELTON_EVENT_FINISH) continue;
    if (stopped) return Cancelled("the callback ended the request");
    return {static_cast<StatusCode>(view.status), view.message};
  }
}

}  // namespace pelton::library
