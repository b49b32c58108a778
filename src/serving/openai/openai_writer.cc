#include "serving/openai/openai_writer.h"

#include <utility>

namespace pelton {

OpenAiWriter::OpenAiWriter(const LanguageModel& model, OpenAiForm form, ApiCall call)
    : form_(std::move(form)),
      call_(std::move(call)),
      json_(model, form_.chat, form_.model),
      choices_(form_.choices) {}

void OpenAiWriter::Begin() {
  if (!form_.stream) return;
  streaming_ = true;
  call_.response->BeginStream(
      200, {{"Content-Type", "text/event-stream; charset=utf-8"}, {"Cache-Control", "no-cache"}},
      ": ping\n\n");
}

void OpenAiWriter::Delta(size_t index, const OutputDelta& delta, const TokenEvent* token) {
  Choice& choice = choices_[index];
  choice.called |= !delta.calls.empty();
  Json logprobs;
  if (token != nullptr) {
    json_.AddLogprob(*token, choice.text_bytes, form_.stream ? &logprobs : &choice.result.logprobs);
    choice.text_bytes += token->text.size();
  }
  const bool first = !std::exchange(choice.begun, true);
  if (!first || form_.echo.empty()) return Put(index, first, delta, logprobs);
  OutputDelta with_echo = delta;
  with_echo.content.insert(0, form_.echo[index / form_.n]);
  Put(index, first, with_echo, logprobs);
}

void OpenAiWriter::Put(size_t index, bool first, const OutputDelta& delta, const Json& logprobs) {
  if (!form_.stream) return choices_[index].result.text.Append(delta);
  Json object = Json::object();
  if (first) object["role"] = "assistant";
  if (first || !delta.content.empty()) object["content"] = delta.content;
  if (!delta.reasoning.empty()) object["reasoning_content"] = delta.reasoning;
  for (const OutputDelta::Call& call : delta.calls) {
    Json out = {{"index", call.index}};
    if (!call.name.empty()) {
      out["id"] = call.id;
      out["type"] = "function";
      out["function"]["name"] = call.name;
    }
    out["function"]["arguments"] = call.arguments;
    object["tool_calls"].push_back(std::move(out));
  }
  if (object.empty() && logprobs.is_null()) return;
  Send(json_.Chunk(index, object, delta.content, logprobs, ""));
}

void OpenAiWriter::ChoiceEnd(size_t index, const FinishEvent& event) {
  Choice& choice = choices_[index];
  std::string_view reason = FinishReasonName(event.reason);
  if (event.reason == FinishReason::kStop && choice.called) reason = "tool_calls";
  if (form_.stream) return Send(json_.Chunk(index, Json::object(), "", Json(), reason));
  choice.result.finish_reason = reason;
}

void OpenAiWriter::End(const GenerationUsage& usage) {
  if (!form_.stream) {
    std::vector<ChoiceResult> results;
    results.reserve(choices_.size());
    for (Choice& choice : choices_) results.push_back(std::move(choice.result));
    return SendJson(*call_.response, json_.Whole(results, usage));
  }
  if (form_.include_usage) Send(json_.UsageChunk(usage));
  Send("[DONE]");
  call_.response->End();
}

void OpenAiWriter::Fail(const ApiError& error) {
  if (!streaming_) return call_.Fail(error);
  // After the 200: an event that says so, then no proper end, so that nobody takes it for success.
  Send(call_.errors(error));
  call_.response->Abort();
}

void OpenAiWriter::Send(std::string_view event) {
  std::string bytes = "data: ";
  bytes += event;
  bytes += "\n\n";
  call_.response->Write(bytes);
}

}  // namespace pelton
