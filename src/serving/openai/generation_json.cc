#include "serving/openai/generation_json.h"

#include <fmt/format.h>

#include <chrono>
#include <iterator>

#include "serving/api/unique_id.h"
#include "serving/openai/logprob_json.h"

namespace pelton {
namespace {

Json UsageJson(const GenerationUsage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.completion_tokens},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
          {"prompt_tokens_details", {{"cached_tokens", usage.cached_tokens}}},
          {"completion_tokens_details",
           {{"reasoning_tokens", usage.reasoning_tokens},
            {"accepted_prediction_tokens", usage.accepted_drafts},
            {"rejected_prediction_tokens", usage.rejected_drafts}}},
          {"prompt_cache_hit_tokens", usage.cached_tokens},
          {"prompt_cache_miss_tokens", usage.prompt_tokens - usage.cached_tokens}};
}

int64_t UnixSeconds() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::seconds>(now).count();
}

Json Text(const std::string& text) { return text.empty() ? Json() : Json(text); }

}  // namespace

GenerationJson::GenerationJson(const LanguageModel& model, bool chat, std::string_view model_name)
    : model_(model),
      chat_(chat),
      id_(UniqueId(chat ? "chatcmpl-" : "cmpl-")),
      created_(UnixSeconds()),
      model_name_(model_name) {
  chunk_head_ = ToText(Head(chat_ ? "chat.completion.chunk" : "text_completion"));
  chunk_head_.pop_back();
  chunk_head_ += ",\"choices\":[{\"index\":";
}

Json GenerationJson::Head(std::string_view object) const {
  return {{"id", id_}, {"object", object}, {"created", created_}, {"model", model_name_}};
}

std::string GenerationJson::Chunk(size_t index, const Json& delta, std::string_view text,
                                  const Json& logprobs, std::string_view finish_reason) const {
  std::string chunk = chunk_head_;
  fmt::format_to(std::back_inserter(chunk), "{},", index);
  if (chat_) {
    chunk += "\"delta\":" + ToText(delta);
  } else {
    chunk += "\"text\":" + ToText(text);
  }
  chunk += ",\"logprobs\":" + ToText(logprobs) + ",\"finish_reason\":";
  chunk += finish_reason.empty() ? "null" : ToText(finish_reason);
  chunk += "}]}";
  return chunk;
}

std::string GenerationJson::UsageChunk(const GenerationUsage& usage) const {
  Json chunk = Head(chat_ ? "chat.completion.chunk" : "text_completion");
  chunk["choices"] = Json::array();
  chunk["usage"] = UsageJson(usage);
  return ToText(chunk);
}

std::string GenerationJson::Whole(const std::vector<ChoiceResult>& choices,
                                  const GenerationUsage& usage) const {
  Json answer = Head(chat_ ? "chat.completion" : "text_completion");
  Json list = Json::array();
  for (size_t i = 0; i < choices.size(); ++i) {
    const ChoiceResult& choice = choices[i];
    const AnswerText& text = choice.text;
    Json out = {{"index", i}};
    if (chat_) {
      Json message = {{"role", "assistant"},
                      {"content", text.calls.empty() ? Json(text.content) : Text(text.content)},
                      {"refusal", nullptr}};
      if (!text.reasoning.empty()) message["reasoning_content"] = text.reasoning;
      for (const AnswerText::Call& call : text.calls) {
        message["tool_calls"].push_back(
            {{"id", call.id},
             {"type", "function"},
             {"function", {{"name", call.name}, {"arguments", call.arguments}}}});
      }
      out["message"] = std::move(message);
    } else {
      out["text"] = text.content;
    }
    out["logprobs"] = choice.logprobs;
    out["finish_reason"] = choice.finish_reason;
    list.push_back(std::move(out));
  }
  answer["choices"] = std::move(list);
  answer["usage"] = UsageJson(usage);
  return ToText(answer);
}

void GenerationJson::AddLogprob(const TokenEvent& event, size_t offset, Json* logprobs) const {
  if (logprobs->is_null()) {
    *logprobs = chat_ ? Json{{"content", Json::array()}, {"refusal", nullptr}}
                      : Json{{"text_offset", Json::array()},
                             {"token_logprobs", Json::array()},
                             {"tokens", Json::array()},
                             {"top_logprobs", Json::array()}};
  }
  if (chat_) {
    (*logprobs)["content"].push_back(LogprobJson(*model_.tokenizer, event));
    return;
  }
  Json top = Json::object();
  for (const TokenLogprob& one : event.top) {
    // Several tokens may have one text; the list is best first.
    const std::string piece = TokenText(model_.tokenizer->Piece(one.id));
    if (!top.contains(piece)) top[piece] = one.logprob;
  }
  (*logprobs)["text_offset"].push_back(offset);
  (*logprobs)["token_logprobs"].push_back(event.logprob);
  (*logprobs)["tokens"].push_back(TokenText(model_.tokenizer->Piece(event.id)));
  (*logprobs)["top_logprobs"].push_back(std::move(top));
}

}  // namespace pelton
