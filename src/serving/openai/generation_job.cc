#include "serving/openai/generation_job.h"

#include <algorithm>
#include <mutex>
#include <utility>
#include <vector>

#include "serving/openai/generation_json.h"
#include "serving/request/prompt.h"

namespace pelton {
namespace {

constexpr const char* kPing = ": ping\n\n";

// One request while it runs. The observers of its choices share it; everything happens under its
// mutex, since the first choices may produce tokens while the last are still being submitted.
class GenerationJob : public std::enable_shared_from_this<GenerationJob> {
 public:
  GenerationJob(const LanguageModel& model, GenerationRequest request,
                std::shared_ptr<HttpResponse> response)
      : model_(model),
        request_(std::move(request)),
        response_(std::move(response)),
        json_(model, request_.chat, request_.model),
        choices_(request_.choices()),
        running_(request_.choices()) {}

  void Start();

  void OnToken(size_t index, const TokenEvent& event);
  void OnFinish(size_t index, const FinishEvent& event);

 private:
  struct Choice {
    ChoiceResult result;
    std::unique_ptr<OutputParser> parser;
    size_t text_bytes = 0;  // so far, for offsets
    bool begun = false;     // its role was sent
  };

  // Whether the token ends the answer and is no part of its text.
  bool EndsAnswer(int32_t id) const {
    const std::vector<int32_t>& stops = request_.params.stop_ids;
    return (!request_.params.ignore_eos && model_.tokenizer->IsEndOfGeneration(id)) ||
           std::find(stops.begin(), stops.end(), id) != stops.end();
  }
  bool NeedsControlTokens() const;
  std::optional<ApiError> Submit(size_t index);
  Request MakeRequest(size_t index);
  // All of these with the mutex held.
  void Begin();
  void Take(size_t index, std::string_view text, bool last, const Json& logprobs);
  void SendDelta(size_t index, const OutputDelta& delta, const Json& logprobs);
  void Send(std::string_view event);
  void Fail(const ApiError& error);
  void FinishAll();
  void CancelAll();

  const LanguageModel& model_;
  const GenerationRequest request_;
  const std::shared_ptr<HttpResponse> response_;
  const GenerationJson json_;

  std::mutex mutex_;
  std::vector<Choice> choices_;
  std::vector<uint64_t> ids_;  // of the engine's requests
  size_t running_;             // choices that have not ended
  Usage usage_;
  bool streaming_ = false;  // the stream began
  bool over_ = false;       // answered, failed or left by the client
};

// Forwards what happens to one choice.
class ChoiceObserver final : public RequestObserver {
 public:
  ChoiceObserver(std::shared_ptr<GenerationJob> job, size_t index)
      : job_(std::move(job)), index_(index) {}
  void OnToken(const TokenEvent& event) override { job_->OnToken(index_, event); }
  void OnFinish(const FinishEvent& event) override { job_->OnFinish(index_, event); }

 private:
  const std::shared_ptr<GenerationJob> job_;
  const size_t index_;
};

// Whether the text must show control tokens because the markup that the parser reads, and takes out
// again, may be made of them.
bool GenerationJob::NeedsControlTokens() const {
  if (!request_.chat) return false;
  if (!request_.tools.empty()) return true;
  const auto is_control = [&](std::string_view marker) {
    const std::optional<int32_t> id = model_.tokenizer->TokenId(marker);
    return id && model_.tokenizer->IsSpecial(*id);
  };
  return is_control("<think>") || is_control("[THINK]") || is_control("<|channel|>");
}

Request GenerationJob::MakeRequest(size_t index) {
  Request request;
  request.prompt_ids = request_.prompts[index / request_.n];
  request.params = request_.params;
  // Answers to one prompt must differ, and be the same each time that a seed is given.
  if (request.params.seed) *request.params.seed += index;
  request.decoder = MakeTextDecoder(model_, !NeedsControlTokens());
  request.observer = std::make_unique<ChoiceObserver>(shared_from_this(), index);
  return request;
}

std::optional<ApiError> GenerationJob::Submit(size_t index) {
  if (request_.chat) {
    Result<std::unique_ptr<OutputParser>> parser =
        MakeOutputParser(request_.parser_family, request_.tools, request_.reasoning_open);
    if (!parser.ok()) return ApiErrorOf(parser.status(), "tools");
    choices_[index].parser = std::move(parser).value();
  }
  const Result<uint64_t> id = model_.engine->Submit(MakeRequest(index));
  if (!id.ok()) {
    ApiError error = ApiErrorOf(id.status(), request_.chat ? "messages" : "prompt");
    if (request_.prompts[index / request_.n].size() >= model_.context_tokens) {
      error.code = "context_length_exceeded";
    }
    return error;
  }
  ids_.push_back(*id);
  return std::nullopt;
}

void GenerationJob::Start() {
  {
    const std::lock_guard lock(mutex_);
    for (size_t i = 0; i < choices_.size(); ++i) {
      if (const std::optional<ApiError> error = Submit(i)) {
        Fail(*error);
        return;
      }
    }
    if (request_.stream) Begin();
  }
  response_->OnClose([job = weak_from_this()] {
    const std::shared_ptr<GenerationJob> self = job.lock();
    if (self == nullptr) return;
    const std::lock_guard lock(self->mutex_);
    self->over_ = true;
    self->CancelAll();
  });
}

void GenerationJob::Begin() {
  if (streaming_ || over_) return;
  streaming_ = true;
  response_->BeginStream(
      200, {{"Content-Type", "text/event-stream; charset=utf-8"}, {"Cache-Control", "no-cache"}},
      kPing);
}

void GenerationJob::OnToken(size_t index, const TokenEvent& event) {
  const std::lock_guard lock(mutex_);
  if (over_) return;
  Choice& choice = choices_[index];
  Json logprobs;
  if (request_.params.logprobs && !EndsAnswer(event.id)) {
    const size_t offset = choice.text_bytes;
    json_.AddLogprob(event, offset, request_.stream ? &logprobs : &choice.result.logprobs);
  }
  choice.text_bytes += event.text.size();
  Take(index, event.text, false, logprobs);
}

void GenerationJob::Take(size_t index, std::string_view text, bool last, const Json& logprobs) {
  Choice& choice = choices_[index];
  OutputDelta delta;
  if (request_.echo && !choice.begun) {
    delta.content = request_.prompt_texts[index / request_.n];
  }
  if (choice.parser != nullptr) {
    choice.parser->Feed(text, &delta);
    if (last) choice.parser->Finish(&delta);
  } else {
    delta.content += text;
  }
  ChoiceResult& result = choice.result;
  for (const OutputDelta::Call& call : delta.calls) {
    if (call.index >= result.calls.size()) {
      result.calls.push_back({call.id.empty() ? UniqueId("call_") : call.id, call.name, ""});
    }
    result.calls[call.index].arguments += call.arguments;
  }
  if (request_.stream) return SendDelta(index, delta, logprobs);
  choice.begun = true;
  result.content += delta.content;
  result.reasoning += delta.reasoning;
}

void GenerationJob::SendDelta(size_t index, const OutputDelta& delta, const Json& logprobs) {
  Begin();
  Choice& choice = choices_[index];
  Json object = Json::object();
  if (!std::exchange(choice.begun, true)) {
    object["role"] = "assistant";
    object["content"] = delta.content;
  } else if (!delta.content.empty()) {
    object["content"] = delta.content;
  }
  if (!delta.reasoning.empty()) object["reasoning_content"] = delta.reasoning;
  for (const OutputDelta::Call& call : delta.calls) {
    Json out = {{"index", call.index}};
    if (!call.name.empty()) {
      out["id"] = choice.result.calls[call.index].id;
      out["type"] = "function";
      out["function"]["name"] = call.name;
    }
    out["function"]["arguments"] = call.arguments;
    object["tool_calls"].push_back(std::move(out));
  }
  if (object.empty() && logprobs.is_null()) return;
  Send(json_.Chunk(index, object, delta.content, logprobs, ""));
}

void GenerationJob::Send(std::string_view event) {
  std::string bytes = "data: ";
  bytes += event;
  bytes += "\n\n";
  if (response_->Write(bytes)) return;
  over_ = true;
  CancelAll();
}

void GenerationJob::OnFinish(size_t index, const FinishEvent& event) {
  const std::lock_guard lock(mutex_);
  --running_;
  if (over_) return;
  if (!event.status.ok()) {
    ApiError error = ApiErrorOf(event.status);
    if (event.reason == FinishReason::kError) error.code = "generation_failed";
    return Fail(error);
  }
  Take(index, event.text, true, Json());
  if (over_) return;
  Choice& choice = choices_[index];
  choice.result.finish_reason = FinishReasonName(event.reason);
  if (event.reason == FinishReason::kStop && !choice.result.calls.empty()) {
    choice.result.finish_reason = "tool_calls";
  }
  usage_.completion_tokens += event.output_tokens;
  // A prompt counts once, however many answers it gets.
  if (index % request_.n == 0) {
    usage_.prompt_tokens += event.prompt_tokens;
    usage_.cached_tokens += event.cached_tokens;
  }
  if (request_.stream) {
    Send(json_.Chunk(index, Json::object(), "", Json(), choice.result.finish_reason));
  }
  if (running_ == 0 && !over_) FinishAll();
}

void GenerationJob::FinishAll() {
  if (!request_.stream) {
    over_ = true;
    std::vector<ChoiceResult> results;
    results.reserve(choices_.size());
    for (Choice& choice : choices_) results.push_back(std::move(choice.result));
    return SendJson(*response_, json_.Whole(results, usage_));
  }
  if (request_.include_usage) Send(json_.UsageChunk(usage_));
  if (!over_) Send("[DONE]");
  over_ = true;
  response_->End();
}

void GenerationJob::Fail(const ApiError& error) {
  over_ = true;
  CancelAll();
  if (!streaming_) return SendError(*response_, error);
  // After the 200: an event that says so, then no proper end, so that nobody takes it for success.
  response_->Write("data: " + ErrorBody(error) + "\n\n");
  response_->Abort();
}

void GenerationJob::CancelAll() {
  for (const uint64_t id : ids_) model_.engine->Cancel(id);
}

}  // namespace

void StartGeneration(const LanguageModel& model, GenerationRequest request,
                     std::shared_ptr<HttpResponse> response) {
  std::make_shared<GenerationJob>(model, std::move(request), std::move(response))->Start();
}

}  // namespace pelton
