#include "serving/generate/generation_job.h"

#include <algorithm>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "runtime/schedule/service_class.h"
#include "serving/generate/answer_reader.h"
#include "serving/generate/engine_request.h"
#include "serving/generate/served_model.h"
#include "serving/journal/request_journal.h"
#include "serving/tenant/admission.h"
#include "serving/trace/request_trace.h"

namespace pelton {
namespace {

// What an answer without max_tokens is thought to take until it has ended.
constexpr uint64_t kAssumedTokens = 256;

// How many tokens of an answer are reasoning. Tokens that give no text yet belong to what came
// before them, or to what comes first.
struct ReasoningCount {
  size_t tokens = 0;
  size_t undecided = 0;  // before any text
  bool reasoning = false;
  bool begun = false;

  void Add(const OutputDelta& delta) {
    const bool other = !delta.content.empty() || !delta.calls.empty();
    if (!begun && delta.reasoning.empty() && !other) {
      ++undecided;
      return;
    }
    if (!begun && !delta.reasoning.empty()) tokens = undecided;
    begun = true;
    if (!delta.reasoning.empty() || other) reasoning = !other;
    if (reasoning) ++tokens;
  }
};
// A stream whose client leaves so many bytes unread gets no more tokens until few are left. A step
// adds some hundred bytes for each answer, which are no sign of a slow client; 128 answers come to
// the 64 KiB that a stream may hold.
constexpr size_t kHoldBytes = 16 << 10;
constexpr size_t kHoldBytesPerAnswer = 384;
constexpr size_t kResumeBytes = 4 << 10;

// One request while it runs. The observers of its choices share it; everything happens under its
// mutex, since the first choices may produce tokens while the last are still being submitted.
class GenerationJob : public std::enable_shared_from_this<GenerationJob> {
 public:
  GenerationJob(const LanguageModel& model, GenerationRequest request, const ApiCall& call,
                std::unique_ptr<AnswerWriter> writer)
      : model_(model),
        request_(std::move(request)),
        call_(call),
        paid_(request_.prompts.size()),
        writer_(std::move(writer)),
        reasoning_(request_.choices()),
        running_(request_.choices()) {}

  void Start();

  void OnStart(size_t index, const StartEvent& event);
  void OnToken(size_t index, const TokenEvent& event);
  void OnFinish(size_t index, const FinishEvent& event);

 private:
  // Whether the token ends the answer and is no part of its text.
  bool EndsAnswer(int32_t id) const {
    const std::vector<int32_t>& stops = request_.params.stop_ids;
    return (!request_.params.ignore_eos && model_.tokenizer->IsEndOfGeneration(id)) ||
           std::find(stops.begin(), stops.end(), id) != stops.end();
  }
  uint64_t MostTokens() const;
  std::optional<ApiError> Submit(size_t index);
  Request MakeRequest(size_t index);
  // All of these with the mutex held.
  void TakeToken(size_t index, const TokenEvent& event);
  void TakeEnd(size_t index, const FinishEvent& event);
  void Fail(const ApiError& error);
  void FailForMemory();
  void CancelAll();
  void HoldWhileUnread();

  const LanguageModel& model_;
  const GenerationRequest request_;
  const ApiCall call_;
  std::vector<bool> paid_;  // of the prompts; the engine's thread only

  std::mutex mutex_;
  const std::unique_ptr<AnswerWriter> writer_;
  std::vector<AnswerReader> readers_;      // of the choices that were submitted
  std::vector<ReasoningCount> reasoning_;  // of the choices
  std::vector<uint64_t> ids_;              // of the engine's requests
  size_t running_;                         // choices that have not ended
  GenerationUsage usage_;
  bool held_ = false;  // the engine waits for the client to read
  bool over_ = false;  // answered, failed or left by the client
};

// The parts of a choice's life, and what the request's span says of it.
void TraceChoice(const FinishEvent& event, RequestTrace* trace) {
  const int64_t end = MonotonicClock().NowNs();
  trace->AddPart("queue", end - event.output_ns - event.prompt_ns, event.queue_ns);
  trace->AddPart("prefill", end - event.output_ns, event.prompt_ns,
                 {{"pelton.prompt_tokens", static_cast<int64_t>(event.prompt_tokens)},
                  {"pelton.cached_tokens", static_cast<int64_t>(event.cached_tokens)}});
  trace->AddPart("decode", end, event.output_ns,
                 {{"pelton.output_tokens", static_cast<int64_t>(event.output_tokens)},
                  {"pelton.accepted_drafts", static_cast<int64_t>(event.accepted_drafts)},
                  {"pelton.preemptions", static_cast<int64_t>(event.preemptions)}});
}

// Forwards what happens to one choice, and notes it in the journal.
class ChoiceObserver final : public RequestObserver {
 public:
  ChoiceObserver(std::shared_ptr<GenerationJob> job, size_t index,
                 std::shared_ptr<RequestJournal> journal, JournalEntry entry)
      : job_(std::move(job)),
        index_(index),
        journal_(std::move(journal)),
        note_(journal_->Begin(std::move(entry))) {}
  // A request that the engine refused never finished.
  ~ChoiceObserver() override { journal_->Drop(note_); }

  void OnStart(const StartEvent& event) override {
    journal_->Started(note_);
    job_->OnStart(index_, event);
  }
  void OnToken(const TokenEvent& event) override {
    if (!std::exchange(has_token_, true)) journal_->FirstToken(note_);
    job_->OnToken(index_, event);
  }
  void OnFinish(const FinishEvent& event) override {
    journal_->End(note_, event);
    job_->OnFinish(index_, event);
  }

 private:
  const std::shared_ptr<GenerationJob> job_;
  const size_t index_;
  const std::shared_ptr<RequestJournal> journal_;
  const uint64_t note_;  // its name in the journal
  bool has_token_ = false;
};

// What the request may use, as far as it says.
uint64_t GenerationJob::MostTokens() const {
  uint64_t tokens =
      request_.choices() * uint64_t{request_.params.max_tokens.value_or(kAssumedTokens)};
  for (const std::vector<int32_t>& prompt : request_.prompts) tokens += prompt.size();
  return tokens;
}

Request GenerationJob::MakeRequest(size_t index) {
  Request request = EngineRequest(model_, request_, index);
  const Tenant& tenant = call_.admission->tenant();
  const TenantLimits limits = tenant.limits();
  request.cache_salt = tenant.salt();
  request.tenant = tenant.name();
  request.tenant_weight = limits.weight;
  request.service_class =
      std::max(request.service_class,
               ParseServiceClass(limits.service_class).value_or(ServiceClass::kStandard));
  if (call_.admission->background()) request.service_class = ServiceClass::kBackground;
  request.observer = std::make_unique<ChoiceObserver>(
      shared_from_this(), index, call_.journal,
      JournalEntry{.request_id = call_.request->id,
                   .choice = index,
                   .path = call_.request->path,
                   .model = call_.model == nullptr ? "" : call_.model->name(),
                   .tenant = tenant.name(),
                   .service_class = request.service_class,
                   .prompt_tokens = request.prompt_ids.size()});
  return request;
}

std::optional<ApiError> GenerationJob::Submit(size_t index) {
  Result<AnswerReader> reader = AnswerReader::Create(request_);
  if (!reader.ok()) return ApiErrorOf(reader.status(), "tools");
  readers_.push_back(std::move(reader).value());
  const Result<uint64_t> id = model_.engine->Submit(MakeRequest(index));
  if (!id.ok()) {
    ApiError error = ApiErrorOf(id.status(), request_.prompt_field);
    error.retry_after = model_.engine->RetryAfterSeconds(request_.terms.service_class);
    if (request_.prompts[index / request_.n].size() >= model_.context_tokens) {
      error.code = "context_length_exceeded";
    }
    return error;
  }
  ids_.push_back(*id);
  return std::nullopt;
}

void GenerationJob::Start() {
  call_.response->OnClose([job = weak_from_this()] {
    const std::shared_ptr<GenerationJob> self = job.lock();
    if (self == nullptr) return;
    const std::lock_guard lock(self->mutex_);
    self->over_ = true;
    self->CancelAll();
  });
  const std::lock_guard lock(mutex_);
  if (over_) return;
  try {
    if (call_.trace != nullptr) {
      const int64_t now = MonotonicClock().NowNs();
      call_.trace->AddPart("read", now, now - call_.request->received_ns);
      call_.trace->Set("gen_ai.request.model", call_.model->name());
    }
    if (const auto error = call_.admission->Reserve(MostTokens())) return Fail(*error);
    ids_.reserve(request_.choices());  // what was submitted is known, whatever happens
    for (size_t i = 0; i < request_.choices(); ++i) {
      if (const std::optional<ApiError> error = Submit(i)) return Fail(*error);
    }
    writer_->Begin();
  } catch (const std::bad_alloc&) {
    FailForMemory();
  }
}

// However many answers it gets, a prompt is paid for once.
void GenerationJob::OnStart(size_t index, const StartEvent& event) {
  const size_t prompt = index / request_.n;
  if (paid_[prompt]) return;
  paid_[prompt] = true;
  call_.admission->UsePrompt(event.prompt_tokens, event.cached_tokens);
}

// What a token takes of memory may not be there: that ends this request, and no other.
void GenerationJob::OnToken(size_t index, const TokenEvent& event) {
  call_.admission->UseOutput(1);  // also what comes after the client has left
  const std::lock_guard lock(mutex_);
  if (over_) return;
  try {
    TakeToken(index, event);
  } catch (const std::bad_alloc&) {
    FailForMemory();
  }
}

void GenerationJob::TakeToken(size_t index, const TokenEvent& event) {
  const bool wanted = request_.params.logprobs && !EndsAnswer(event.id);
  const OutputDelta delta = readers_[index].Read(event.text, false);
  reasoning_[index].Add(delta);
  writer_->Delta(index, delta, wanted ? &event : nullptr);
  HoldWhileUnread();
}

void GenerationJob::HoldWhileUnread() {
  const size_t most = kHoldBytes + kHoldBytesPerAnswer * request_.choices();
  if (held_ || call_.response->buffered() < most) return;
  held_ = true;
  for (const uint64_t id : ids_) model_.engine->Hold(id);
  call_.response->OnDrained(kResumeBytes, [job = weak_from_this()] {
    const std::shared_ptr<GenerationJob> self = job.lock();
    if (self == nullptr) return;
    const std::lock_guard lock(self->mutex_);
    self->held_ = false;
    for (const uint64_t id : self->ids_) self->model_.engine->Resume(id);
  });
}

void GenerationJob::OnFinish(size_t index, const FinishEvent& event) {
  const std::lock_guard lock(mutex_);
  --running_;
  try {
    if (call_.trace != nullptr) TraceChoice(event, call_.trace.get());
    if (!over_) TakeEnd(index, event);
  } catch (const std::bad_alloc&) {
    if (!over_) FailForMemory();
  }
}

void GenerationJob::TakeEnd(size_t index, const FinishEvent& event) {
  if (!event.status.ok()) {
    ApiError error = ApiErrorOf(event.status);
    if (event.reason == FinishReason::kError) error.code = "generation_failed";
    return Fail(error);
  }
  writer_->Delta(index, readers_[index].Read(event.text, true), nullptr);
  writer_->ChoiceEnd(index, event);
  usage_.completion_tokens += event.output_tokens;
  usage_.reasoning_tokens += reasoning_[index].tokens;
  usage_.accepted_drafts += event.accepted_drafts;
  usage_.rejected_drafts += event.rejected_drafts;
  if (index % request_.n == 0) {
    usage_.prompt_tokens += event.prompt_tokens;
    usage_.cached_tokens += event.cached_tokens;
  }
  if (running_ > 0) return;
  over_ = true;
  if (call_.trace != nullptr) {
    call_.trace->Set("gen_ai.usage.input_tokens", static_cast<int64_t>(usage_.prompt_tokens));
    call_.trace->Set("gen_ai.usage.output_tokens", static_cast<int64_t>(usage_.completion_tokens));
  }
  writer_->End(usage_);
}

void GenerationJob::Fail(const ApiError& error) {
  over_ = true;
  CancelAll();
  writer_->Fail(error);
}

void GenerationJob::FailForMemory() {
  try {
    Fail(OutOfMemory());
  } catch (const std::bad_alloc&) {
    call_.response->Abort();
  }
}

void GenerationJob::CancelAll() {
  for (const uint64_t id : ids_) model_.engine->Cancel(id);
}

}  // namespace

void StartGeneration(const LanguageModel& model, GenerationRequest request, const ApiCall& call,
                     std::unique_ptr<AnswerWriter> writer) {
  std::make_shared<GenerationJob>(model, std::move(request), call, std::move(writer))->Start();
}

}  // namespace pelton
