#include "batch_file.h"

#include <fstream>

#include "line_reader.h"
#include "serving/request/prompt.h"
#include "serving/request/sampling_fields.h"

namespace pelton {
namespace {

Status ReadPrompt(const Json& object, const LanguageModel& model, const std::string& system,
                  bool raw, std::vector<int32_t>* ids) {
  const int given =
      object.contains("prompt") + object.contains("messages") + object.contains("prompt_ids");
  if (given != 1) return InvalidArgument("expected one of prompt, messages and prompt_ids");
  if (object.contains("prompt_ids")) {
    const Json& list = object["prompt_ids"];
    if (!list.is_array()) return InvalidArgument("prompt_ids: expected a list of ids");
    for (const Json& id : list) {
      if (!id.is_number_integer() || id < 0 || id >= model.files.config.vocab) {
        return InvalidArgument("prompt_ids: found " + id.dump().substr(0, 40) + ", expected 0 to " +
                               std::to_string(model.files.config.vocab - 1));
      }
      ids->push_back(id.get<int32_t>());
    }
    return OkStatus();
  }
  if (model.tokenizer == nullptr) {
    return InvalidArgument("the model has no tokenizer; give prompt_ids");
  }
  if (object.contains("messages")) {
    ASSIGN_OR_RETURN(*ids, EncodeChat(model, {.messages = object["messages"]}));
    return OkStatus();
  }
  if (!object["prompt"].is_string()) return InvalidArgument("prompt: expected a string");
  const auto prompt = object["prompt"].get<std::string>();
  if (raw || !model.chat_template) {
    *ids = EncodeRaw(model, prompt);
    return OkStatus();
  }
  ASSIGN_OR_RETURN(*ids, EncodeChat(model, {.messages = OneQuestion(system, prompt)}));
  return OkStatus();
}

Json LogprobJson(const TokenRecord& record) {
  Json top = Json::array();
  for (const TokenLogprob& token : record.top) {
    top.push_back({{"id", token.id}, {"logprob", token.logprob}});
  }
  return {{"id", record.id}, {"logprob", record.logprob}, {"top", std::move(top)}};
}

}  // namespace

Json OneQuestion(const std::string& system, const std::string& prompt) {
  Json messages = Json::array();
  if (!system.empty()) messages.push_back({{"role", "system"}, {"content", system}});
  messages.push_back({{"role", "user"}, {"content", prompt}});
  return messages;
}

Result<std::vector<PromptRequest>> ReadRequests(const std::string& path, const LanguageModel& model,
                                                const SamplingParams& defaults,
                                                const std::string& system, bool raw) {
  std::ifstream file(path);
  if (!file) return NotFound(path + ": cannot be read");
  std::vector<PromptRequest> requests;
  const Status status = ForEachLine(file, [&](const std::string& line) -> Status {
    ASSIGN_OR_RETURN(const Json object, ParseJson(line));
    if (!object.is_object()) return InvalidArgument("expected a JSON object");
    PromptRequest request{.params = defaults};
    FieldReader reader(object);
    ReadSamplingFields(reader, &request.params);
    reader.Whole("logprobs", &request.params.logprobs);
    reader.Whole("prompt_logprobs", &request.params.prompt_logprobs);
    for (const char* name : {"prompt", "messages", "prompt_ids"}) reader.Find(name);
    reader.RefuseUnknown();
    RETURN_IF_ERROR(reader.status());
    RETURN_IF_ERROR(request.params.Validate(model.files.config.vocab));
    RETURN_IF_ERROR(ReadPrompt(object, model, system, raw, &request.prompt_ids));
    requests.push_back(std::move(request));
    return OkStatus();
  });
  if (!status.ok()) return status.WithContext(path);
  return requests;
}

std::vector<RequestResult> RunRequests(const LanguageModel& model,
                                       const std::vector<PromptRequest>& requests) {
  std::vector<Request> submitted;
  for (const PromptRequest& request : requests) {
    Request& r = submitted.emplace_back();
    r.prompt_ids = request.prompt_ids;
    r.params = request.params;
    r.decoder = MakeTextDecoder(model);
  }
  return RunToCompletion(*model.engine, std::move(submitted));
}

Json ResultJson(const PromptRequest& request, const RequestResult& result) {
  Json out;
  out["prompt_ids"] = request.prompt_ids;
  Json ids = Json::array(), logprobs = Json::array(), prompt_logprobs = Json::array();
  for (const TokenRecord& record : result.output) {
    ids.push_back(record.id);
    if (request.params.logprobs) logprobs.push_back(LogprobJson(record));
  }
  for (const TokenRecord& record : result.prompt) prompt_logprobs.push_back(LogprobJson(record));
  out["ids"] = std::move(ids);
  out["text"] = result.text;
  out["finish_reason"] = FinishReasonName(result.reason);
  if (!result.status.ok()) out["error"] = result.status.message();
  if (request.params.logprobs) out["logprobs"] = std::move(logprobs);
  if (request.params.prompt_logprobs) out["prompt_logprobs"] = std::move(prompt_logprobs);
  const FinishEvent& finish = result.finish;
  out["timings"] = {{"prompt_tokens", finish.prompt_tokens},
                    {"cached_tokens", finish.cached_tokens},
                    {"prompt_s", static_cast<double>(finish.prompt_ns) * 1e-9},
                    {"output_tokens", finish.output_tokens},
                    {"output_s", static_cast<double>(finish.output_ns) * 1e-9}};
  return out;
}

}  // namespace pelton
