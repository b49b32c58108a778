#include "serving/ollama/ollama_writer.h"

#include <fmt/chrono.h>

#include <chrono>
#include <utility>

#include "base/clock.h"

namespace pelton {
namespace {

Json CallsJson(const AnswerText& text) {
  Json calls = Json::array();
  for (const AnswerText::Call& call : text.calls) {
    // The parsers give arguments that are an object.
    Result<Json> arguments = ParseJson(call.arguments);
    calls.push_back(
        {{"id", call.id},
         {"function",
          {{"name", call.name},
           {"arguments", arguments.ok() ? std::move(arguments).value() : Json::object()}}}});
  }
  return calls;
}

}  // namespace

std::string OllamaTime() {
  const auto now = std::chrono::system_clock::now();
  const auto micros =
      std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch()).count();
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:06}Z",
                     fmt::gmtime(static_cast<time_t>(micros / 1'000'000)), micros % 1'000'000);
}

OllamaWriter::OllamaWriter(const OllamaRequest& request, ApiCall call)
    : chat_(request.chat),
      stream_(request.stream),
      show_thinking_(request.show_thinking),
      model_(request.model),
      call_(std::move(call)) {}

void OllamaWriter::Begin() {
  if (!stream_) return;
  streaming_ = true;
  // No keepalive: clients take every line for an object.
  call_.response->BeginStream(200, {{"Content-Type", "application/x-ndjson"}}, "");
}

Json OllamaWriter::Part(const AnswerText& text) const {
  Json part = {{"model", model_}, {"created_at", OllamaTime()}};
  if (!chat_) {
    part["response"] = text.content;
    if (show_thinking_ && !text.reasoning.empty()) part["thinking"] = text.reasoning;
  } else {
    part["message"] = {{"role", "assistant"}, {"content", text.content}};
    if (show_thinking_ && !text.reasoning.empty()) part["message"]["thinking"] = text.reasoning;
    if (!text.calls.empty()) part["message"]["tool_calls"] = CallsJson(text);
  }
  part["done"] = false;
  return part;
}

void OllamaWriter::Delta(size_t, const OutputDelta& delta, const TokenEvent*) {
  if (!stream_) return text_.Append(delta);
  AnswerText piece;
  piece.content = delta.content;
  piece.reasoning = delta.reasoning;
  // Calls are given whole, each in one delta.
  for (const OutputDelta::Call& call : delta.calls) {
    piece.calls.push_back({call.id, call.name, call.arguments});
  }
  const bool nothing =
      piece.content.empty() && piece.calls.empty() && (piece.reasoning.empty() || !show_thinking_);
  if (!nothing) SendLine(Part(piece));
}

void OllamaWriter::ChoiceEnd(size_t, const FinishEvent& event) {
  end_ = {{"done", true},
          {"done_reason", event.reason == FinishReason::kLength ? "length" : "stop"},
          {"total_duration", MonotonicClock().NowNs() - call_.request->received_ns},
          {"load_duration", 0},
          {"prompt_eval_count", event.prompt_tokens},
          {"prompt_eval_duration", event.prompt_ns},
          {"eval_count", event.output_tokens},
          {"eval_duration", event.output_ns}};
}

void OllamaWriter::End(const GenerationUsage&) {
  Json last = Part(text_);
  last.update(end_);
  if (!stream_) return SendJson(*call_.response, ToText(last));
  SendLine(last);
  call_.response->End();
}

void OllamaWriter::Fail(const ApiError& error) {
  if (!streaming_) return call_.Fail(error);
  call_.response->Write(call_.errors(error) + "\n");
  call_.response->Abort();
}

void OllamaWriter::AnswerLoaded(bool stays) {
  Json answer = Part({});
  answer["done"] = true;
  answer["done_reason"] = stays ? "load" : "unload";
  SendJson(*call_.response, ToText(answer));
}

void OllamaWriter::SendLine(const Json& line) { call_.response->Write(ToText(line) + "\n"); }

}  // namespace pelton
