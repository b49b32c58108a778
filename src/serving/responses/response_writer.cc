#include "serving/responses/response_writer.h"

#include <fmt/format.h>

#include <chrono>
#include <utility>

#include "serving/api/unique_id.h"
#include "serving/openai/logprob_json.h"
#include "serving/tenant/admission.h"

namespace pelton {
namespace {

int64_t UnixSeconds() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::seconds>(now).count();
}

Json UsageJson(const GenerationUsage& usage) {
  return {
      {"input_tokens", usage.prompt_tokens},
      {"input_tokens_details", {{"cached_tokens", usage.cached_tokens}, {"cache_write_tokens", 0}}},
      {"output_tokens", usage.completion_tokens},
      {"output_tokens_details", {{"reasoning_tokens", usage.reasoning_tokens}}},
      {"total_tokens", usage.prompt_tokens + usage.completion_tokens}};
}

// The codes of errors that a response may state.
const char* CodeOf(const ApiError& error) {
  if (error.status == 429) return "rate_limit_exceeded";
  return error.status < 500 ? "invalid_prompt" : "server_error";
}

}  // namespace

ResponseWriter::ResponseWriter(const Tokenizer* tokenizer, const ResponseForm& form, ApiCall call,
                               std::shared_ptr<ResponseStore> store,
                               std::shared_ptr<LocalExchange> run)
    : tokenizer_(tokenizer),
      id_(UniqueId("resp_")),
      created_(UnixSeconds()),
      model_name_(form.model),
      stream_(form.stream),
      store_asked_(form.store),
      previous_id_(form.previous_id),
      settings_(ToText(form.settings)),
      input_(form.store ? ToText(form.items) : std::string()),
      tenant_(call.admission->tenant().identity()),
      call_(std::move(call)),
      store_(std::move(store)),
      run_(std::move(run)),
      background_(form.background) {}

std::string ResponseWriter::Body(std::string_view status, const Json& error,
                                 const Json& usage) const {
  Json head = {{"id", id_},
               {"object", "response"},
               {"created_at", created_},
               {"status", status},
               {"completed_at", status == "completed" ? Json(UnixSeconds()) : Json()},
               {"error", error},
               {"incomplete_details",
                status == "incomplete" ? Json{{"reason", "max_output_tokens"}} : Json()},
               {"model", model_name_},
               {"usage", usage},
               {"output", output_}};
  std::string text = ToText(head);
  text.back() = ',';
  return text.append(settings_, 1);
}

void ResponseWriter::Begin() {
  begun_ = true;
  if (background_) {
    std::string body = Body("in_progress", nullptr, nullptr);
    store_->Put(tenant_, {.id = id_,
                          .previous_id = previous_id_,
                          .body = body,
                          .input = std::exchange(input_, ""),
                          .item_ids = {},
                          .background = true,
                          .cancel = [run = std::weak_ptr(run_)] {
                            if (const auto exchange = run.lock()) exchange->Leave();
                          }});
    return SendJson(*call_.response, std::move(body));
  }
  if (!stream_) return;
  call_.response->BeginStream(
      200, {{"Content-Type", "text/event-stream; charset=utf-8"}, {"Cache-Control", "no-cache"}},
      ": ping\n\n");
  const std::string body = Body("in_progress", nullptr, nullptr);
  EmitResponse("response.created", body);
  EmitResponse("response.in_progress", body);
}

// What the open item holds beside its own members.
Json ResponseWriter::Part() const {
  if (open_ == Item::kReasoning) return {{"type", "reasoning_text"}, {"text", text_}};
  return {{"type", "output_text"},
          {"text", text_},
          {"annotations", Json::array()},
          {"logprobs", logprobs_}};
}

void ResponseWriter::Open(Item kind, Json item) {
  Close("completed");
  open_ = kind;
  item_ = std::move(item);
  Emit("response.output_item.added", {{"item", item_}});
  if (kind != Item::kCall) {
    Emit("response.content_part.added",
         {{"item_id", item_["id"]}, {"content_index", 0}, {"part", Part()}});
  }
}

void ResponseWriter::Append(std::string_view text) {
  text_ += text;
  Json logprobs = Json::array();
  if (open_ == Item::kMessage) {
    logprobs = std::exchange(undecided_logprobs_, Json::array());
    for (const Json& entry : logprobs) logprobs_.push_back(entry);
  }
  if (!stream_) return;
  Json fields = {{"item_id", item_["id"]}, {"delta", text}};
  if (open_ == Item::kCall) return Emit("response.function_call_arguments.delta", fields);
  fields["content_index"] = 0;
  if (open_ == Item::kReasoning) return Emit("response.reasoning_text.delta", fields);
  fields["logprobs"] = std::move(logprobs);
  Emit("response.output_text.delta", fields);
}

void ResponseWriter::Close(const char* status) {
  if (open_ == Item::kNone) return;
  item_["status"] = status;
  const Json part = Part();
  Json fields = {{"item_id", item_["id"]}};
  if (open_ == Item::kCall) {
    item_["arguments"] = text_;
    fields["name"] = item_["name"];
    fields["arguments"] = text_;
    Emit("response.function_call_arguments.done", fields);
  } else {
    item_["content"] = Json::array({part});
    fields["content_index"] = 0;
    Json whole = fields;
    whole["text"] = text_;
    fields["part"] = part;
    if (open_ == Item::kMessage) whole["logprobs"] = logprobs_;
    Emit(open_ == Item::kMessage ? "response.output_text.done" : "response.reasoning_text.done",
         whole);
    Emit("response.content_part.done", fields);
  }
  Emit("response.output_item.done", {{"item", item_}});
  item_ids_.push_back(item_["id"]);
  output_.push_back(std::exchange(item_, nullptr));
  open_ = Item::kNone;
  text_.clear();
  logprobs_ = Json::array();
}

void ResponseWriter::Delta(size_t, const OutputDelta& delta, const TokenEvent* token) {
  if (token != nullptr) undecided_logprobs_.push_back(LogprobJson(*tokenizer_, *token));
  if (!delta.reasoning.empty()) {
    undecided_logprobs_ = Json::array();
    if (open_ != Item::kReasoning) {
      Open(Item::kReasoning, {{"id", UniqueId("rs_")},
                              {"type", "reasoning"},
                              {"status", "in_progress"},
                              {"summary", Json::array()},
                              {"content", Json::array()}});
    }
    Append(delta.reasoning);
  }
  if (!delta.content.empty()) {
    if (open_ != Item::kMessage) {
      Open(Item::kMessage, {{"id", UniqueId("msg_")},
                            {"type", "message"},
                            {"status", "in_progress"},
                            {"role", "assistant"},
                            {"content", Json::array()}});
    }
    Append(delta.content);
  }
  for (const OutputDelta::Call& call : delta.calls) {
    undecided_logprobs_ = Json::array();
    if (!call.name.empty()) {
      Open(Item::kCall, {{"id", UniqueId("fc_")},
                         {"type", "function_call"},
                         {"status", "in_progress"},
                         {"call_id", call.id},
                         {"name", call.name},
                         {"arguments", ""}});
    }
    if (!call.arguments.empty()) Append(call.arguments);
  }
}

void ResponseWriter::ChoiceEnd(size_t, const FinishEvent& event) {
  cut_ = event.reason == FinishReason::kLength;
  // Clients look for a message, if it be an empty one.
  if (open_ == Item::kNone && output_.empty()) {
    Open(Item::kMessage, {{"id", UniqueId("msg_")},
                          {"type", "message"},
                          {"status", "in_progress"},
                          {"role", "assistant"},
                          {"content", Json::array()}});
  }
  Close(cut_ ? "incomplete" : "completed");
}

void ResponseWriter::Keep(std::string body) {
  if (background_) {
    store_->Finish(tenant_, id_, std::move(body), std::move(item_ids_));
  } else if (store_asked_) {
    store_->Put(tenant_, {.id = id_,
                          .previous_id = previous_id_,
                          .body = std::move(body),
                          .input = std::move(input_),
                          .item_ids = std::move(item_ids_),
                          .background = false,
                          .cancel = nullptr});
  }
}

void ResponseWriter::End(const GenerationUsage& usage) {
  const char* const status = cut_ ? "incomplete" : "completed";
  std::string body = Body(status, nullptr, UsageJson(usage));
  // Before the client hears of it, so that it can ask for it at once.
  Keep(body);
  if (background_) return;
  if (!stream_) return SendJson(*call_.response, std::move(body));
  EmitResponse(cut_ ? "response.incomplete" : "response.completed", body);
  call_.response->End();
}

void ResponseWriter::Fail(const ApiError& error) {
  if (!begun_) return call_.Fail(error);
  if (!stream_ && !background_) return call_.Fail(error);
  Close("incomplete");
  const std::string body =
      Body("failed", {{"code", CodeOf(error)}, {"message", error.message}}, nullptr);
  Keep(body);
  if (background_) return;
  EmitResponse("response.failed", body);
  call_.response->End();
}

void ResponseWriter::Emit(const char* type, const Json& fields) {
  if (!stream_) return;
  Json event = {{"type", type}, {"sequence_number", sequence_++}, {"output_index", output_.size()}};
  event.update(fields);
  Send(type, ToText(event));
}

void ResponseWriter::EmitResponse(const char* type, const std::string& body) {
  Send(type, fmt::format(R"({{"type":"{}","sequence_number":{},"response":{}}})", type, sequence_++,
                         body));
}

void ResponseWriter::Send(std::string_view type, std::string_view event) {
  call_.response->Write(fmt::format("event: {}\ndata: {}\n\n", type, event));
}

}  // namespace pelton
