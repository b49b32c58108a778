#include "serving/anthropic/messages_writer.h"

#include <utility>

#include "serving/api/unique_id.h"

namespace pelton {
namespace {

constexpr const char* kPing = "event: ping\ndata: {\"type\":\"ping\"}\n\n";

Json UsageJson(const GenerationUsage& usage) {
  return {{"input_tokens", usage.prompt_tokens - usage.cached_tokens},
          {"cache_creation_input_tokens", 0},
          {"cache_read_input_tokens", usage.cached_tokens},
          {"output_tokens", usage.completion_tokens}};
}

}  // namespace

MessagesWriter::MessagesWriter(const MessagesRequest& request, ApiCall call)
    : stream_(request.stream),
      show_thinking_(request.show_thinking),
      model_(request.model),
      id_(UniqueId("msg_")),
      stop_sequences_(request.generation.params.stop_strings),
      max_tokens_(request.generation.params.max_tokens),
      prompt_tokens_(request.generation.prompts[0].size()),
      call_(std::move(call)) {}

Json MessagesWriter::Message() const {
  return {{"id", id_},
          {"type", "message"},
          {"role", "assistant"},
          {"model", model_},
          {"content", Json::array()},
          {"stop_reason", nullptr},
          {"stop_sequence", nullptr}};
}

void MessagesWriter::Begin() {
  if (!stream_) return;
  streaming_ = true;
  call_.response->BeginStream(
      200, {{"Content-Type", "text/event-stream; charset=utf-8"}, {"Cache-Control", "no-cache"}},
      kPing);
  Json message = Message();
  // How much of the prompt is cached shows when it runs; message_delta has the final figures.
  message["usage"] = UsageJson({.prompt_tokens = prompt_tokens_});
  Send({{"type", "message_start"}, {"message", std::move(message)}});
  call_.response->Write(kPing);
}

void MessagesWriter::Open(Block type, Json block) {
  Close();
  open_ = type;
  if (stream_) {
    Send({{"type", "content_block_start"},
          {"index", content_.size()},
          {"content_block", std::move(block)}});
    content_.push_back(nullptr);
  } else {
    content_.push_back(std::move(block));
  }
}

void MessagesWriter::Append(std::string_view text) {
  if (!stream_) {
    text_ += text;
    return;
  }
  Json delta;
  switch (open_) {
    case Block::kThinking:
      delta = {{"type", "thinking_delta"}, {"thinking", text}};
      break;
    case Block::kText:
      delta = {{"type", "text_delta"}, {"text", text}};
      break;
    case Block::kToolUse:
      delta = {{"type", "input_json_delta"}, {"partial_json", text}};
      break;
    case Block::kNone:
      return;
  }
  Send({{"type", "content_block_delta"},
        {"index", content_.size() - 1},
        {"delta", std::move(delta)}});
}

void MessagesWriter::Close() {
  const Block open = std::exchange(open_, Block::kNone);
  if (open == Block::kNone) return;
  if (stream_) {
    return Send({{"type", "content_block_stop"}, {"index", content_.size() - 1}});
  }
  Json& block = content_.back();
  std::string text = std::exchange(text_, "");
  if (open == Block::kToolUse) {
    // The parsers give arguments that are an object.
    Result<Json> input = ParseJson(text);
    block["input"] = input.ok() ? std::move(input).value() : Json::object();
  } else {
    block[open == Block::kText ? "text" : "thinking"] = std::move(text);
  }
}

void MessagesWriter::Delta(size_t, const OutputDelta& delta, const TokenEvent*) {
  if (!delta.reasoning.empty() && show_thinking_) {
    if (open_ != Block::kThinking) {
      Open(Block::kThinking, {{"type", "thinking"}, {"thinking", ""}, {"signature", ""}});
    }
    Append(delta.reasoning);
  }
  if (!delta.content.empty()) {
    if (open_ != Block::kText) Open(Block::kText, {{"type", "text"}, {"text", ""}});
    Append(delta.content);
  }
  for (const OutputDelta::Call& call : delta.calls) {
    if (!call.name.empty()) {
      called_ = true;
      Open(Block::kToolUse,
           {{"type", "tool_use"}, {"id", call.id}, {"name", call.name}, {"input", Json::object()}});
    }
    Append(call.arguments);
  }
}

void MessagesWriter::ChoiceEnd(size_t, const FinishEvent& event) {
  Close();
  if (event.reason == FinishReason::kLength) {
    const bool of_request = max_tokens_ && event.output_tokens >= *max_tokens_;
    stop_reason_ = of_request ? "max_tokens" : "model_context_window_exceeded";
  } else if (event.stop_string >= 0) {
    stop_reason_ = "stop_sequence";
    stop_sequence_ = stop_sequences_[static_cast<size_t>(event.stop_string)];
  } else {
    stop_reason_ = called_ ? "tool_use" : "end_turn";
  }
}

void MessagesWriter::End(const GenerationUsage& usage) {
  if (!stream_) {
    Json message = Message();
    message["content"] = std::move(content_);
    message["stop_reason"] = stop_reason_;
    message["stop_sequence"] = stop_sequence_;
    message["usage"] = UsageJson(usage);
    return SendJson(*call_.response, ToText(message));
  }
  Send({{"type", "message_delta"},
        {"delta", {{"stop_reason", stop_reason_}, {"stop_sequence", stop_sequence_}}},
        {"usage", UsageJson(usage)}});
  Send({{"type", "message_stop"}});
  call_.response->End();
}

void MessagesWriter::Fail(const ApiError& error) {
  if (!streaming_) return call_.Fail(error);
  call_.response->Write("event: error\ndata: " + call_.errors(error) + "\n\n");
  call_.response->Abort();
}

void MessagesWriter::Send(const Json& event) {
  std::string bytes = "event: ";
  bytes += event["type"].get_ref<const std::string&>();
  bytes += "\ndata: ";
  bytes += ToText(event);
  bytes += "\n\n";
  call_.response->Write(bytes);
}

}  // namespace pelton
