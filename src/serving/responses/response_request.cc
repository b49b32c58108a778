#include "serving/responses/response_request.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "serving/model/long_text.h"
#include "serving/request/prompt.h"
#include "serving/request/sampling_fields.h"
#include "serving/responses/response_items.h"

namespace pelton {
namespace {

constexpr float kDefaultTemperature = 1.0f;  // OpenAI's own

// Replaces references to items by the stored items.
std::optional<ApiError> Resolve(const std::string& tenant, ResponseStore& store, Json* items) {
  for (size_t i = 0; i < items->size(); ++i) {
    Json& item = (*items)[i];
    if (item["type"] != "item_reference") continue;
    const std::string id = item["id"];
    const auto response = store.FindItem(tenant, id);
    bool found = false;
    if (response != nullptr) {
      Json body = Json::parse(response->body, nullptr, false);
      for (Json& stored : body["output"]) {
        if (stored["id"] != id) continue;
        item = std::move(stored);
        found = true;
        break;
      }
    }
    if (found) continue;
    const std::string place = fmt::format("input[{}].id", i);
    return ApiError{.status = 404,
                    .message = fmt::format("{}: no item \"{}\" is stored", place, id.substr(0, 80)),
                    .param = place,
                    .code = "item_not_found"};
  }
  return std::nullopt;
}

// Drops the oldest turns, as few as will do, so that the prompt leaves room for the answer: as much
// as it may take, but no more than half of the context. Turns begin at the user's messages; system
// messages at the begin and the last turn stay. What does not fit even so is left to be refused.
void Truncate(const LanguageModel& model, const SamplingParams& params, ChatPrompt* chat) {
  const size_t half = model.context_tokens / 2;
  const size_t room = std::clamp<size_t>(params.max_tokens.value_or(half / 2), 1, half);
  const Json all = chat->messages;
  size_t head = 0;
  while (head < all.size() && all[head]["role"] == "system") ++head;
  std::vector<size_t> cuts = {head};
  for (size_t i = head + 1; i < all.size(); ++i) {
    if (all[i]["role"] == "user") cuts.push_back(i);
  }
  const auto cut_at = [&](size_t begin) {
    chat->messages = Json::array();
    for (size_t i = 0; i < all.size(); ++i) {
      if (i < head || i >= begin) chat->messages.push_back(all[i]);
    }
  };
  const auto fits = [&](size_t begin) {
    cut_at(begin);
    const Result<std::string> text = RenderPrompt(model, *chat);
    // What the template refuses is for the last look to say.
    if (!text.ok()) return true;
    if (MinTokensOfLongText(*model.tokenizer, *text) + room > model.context_tokens) return false;
    const std::vector<int32_t> ids =
        model.tokenizer->Encode(*text, {.parse_special = true, .add_special = false});
    return ids.size() + room <= model.context_tokens;
  };
  const auto first = std::ranges::partition_point(cuts, [&](size_t cut) { return !fits(cut); });
  cut_at(first == cuts.end() ? cuts.back() : *first);
}

// Parameters that have another name here.
ApiError Renamed(ApiError error, const Json& object) {
  if (error.param != "max_tokens" || object.contains("max_tokens")) return error;
  error.message.replace(0, error.param.size(), "max_output_tokens");
  error.param = "max_output_tokens";
  return error;
}

}  // namespace

std::optional<ApiError> ReadResponseRequest(const LanguageModel& model, std::string_view body,
                                            const std::string& tenant, ResponseStore& store,
                                            ResponseRequest* request) {
  const Result<Json> object = ParseObject(body);
  if (!object.ok()) return ApiErrorOf(object.status());
  ResponseFields fields;
  fields.generation.terms = request->generation.terms;
  fields.generation.prompt_field = "input";
  fields.generation.prompt_limit = request->generation.prompt_limit;
  fields.generation.params = AdvisedParams(model.files.config.sampling, kDefaultTemperature);
  FieldReader reader(*object);
  ReadResponseFields(reader, &fields);
  ResponseForm& form = fields.form;
  if (!store.enabled()) {
    if (form.store && (form.store_asked || form.background)) {
      reader.Refuse(form.store_asked ? "store" : "background",
                    "this server stores no responses (--response-store-mb 0)");
    }
    form.store = false;
  }
  form.settings["store"] = form.store;
  GenerationRequest& generation = fields.generation;
  ChatPrompt chat;
  chat.kwargs = std::move(fields.kwargs);
  const bool forced = generation.tool_choice.kind != ToolChoice::Kind::kAuto;
  if (reader.ok() && !fields.tools.is_null()) {
    const std::string problem = AddTools(model, fields.tools, &chat, &generation, forced);
    if (!problem.empty()) reader.Refuse("tools", problem);
  }
  if (const std::string problem = ToolChoiceProblem(generation); !problem.empty()) {
    reader.Refuse("tool_choice", problem);
  }
  reader.RefuseUnknown();
  if (!reader.ok()) return ApiErrorOf(reader.status(), reader.failed_field());
  if (const auto error = CheckParams(model, generation.params)) return Renamed(*error, *object);
  if (auto error = Resolve(tenant, store, &form.items)) return error;
  Json items = Json::array();
  if (!form.previous_id.empty()) {
    if (auto error = store.Conversation(tenant, form.previous_id, &items)) return error;
  }
  for (const Json& item : form.items) items.push_back(item);
  chat.messages = MessagesOfItems(fields.instructions, items);
  if (chat.messages.size() > kMaxItems) {
    return ApiError{.message = fmt::format("input: with what it goes on from, found {} messages, "
                                           "expected at most {}",
                                           chat.messages.size(), kMaxItems),
                    .param = "input"};
  }
  if (fields.truncate && model.chat.format) Truncate(model, generation.params, &chat);
  if (auto error = AddChat(model, std::move(chat), &generation)) return error;
  request->form = std::move(form);
  request->generation = std::move(generation);
  return std::nullopt;
}

}  // namespace pelton
