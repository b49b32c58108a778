#include "batch_file.h"

#include <fstream>

#include "line_reader.h"
#include "serving/generate/generation_request.h"
#include "serving/generate/output_grammar.h"
#include "serving/openai/constraint_fields.h"
#include "serving/request/prompt.h"
#include "serving/request/sampling_fields.h"

namespace pelton {
namespace {

Status StatusOf(const std::optional<ApiError>& error) {
  return error ? InvalidArgument(error->message) : OkStatus();
}

// Adds a prompt that is no chat.
Status AddIds(const LanguageModel& model, std::vector<int32_t> ids, GenerationRequest* request) {
  if (request->constraint && model.tokenizer == nullptr) {
    return InvalidArgument("the model has no tokenizer; its answers cannot be constrained");
  }
  request->prompts.push_back(std::move(ids));
  return StatusOf(CompileOutput(model, request));
}

Status AddText(const LanguageModel& model, const RequestDefaults& defaults,
               const std::string& prompt, GenerationRequest* request) {
  if (model.tokenizer == nullptr) return InvalidArgument("the model has no tokenizer; give ids");
  if (defaults.raw || !model.chat.format) {
    return AddIds(model, EncodeRaw(model, prompt), request);
  }
  Json messages = Json::array();
  if (!defaults.system.empty()) {
    messages.push_back({{"role", "system"}, {"content", defaults.system}});
  }
  messages.push_back({{"role", "user"}, {"content", prompt}});
  return StatusOf(AddChat(model, {.messages = std::move(messages)}, request));
}

Status ReadPrompt(const Json& object, const LanguageModel& model, const RequestDefaults& defaults,
                  GenerationRequest* request) {
  const int given =
      object.contains("prompt") + object.contains("messages") + object.contains("prompt_ids");
  if (given != 1) return InvalidArgument("expected one of prompt, messages and prompt_ids");
  if (object.contains("prompt_ids")) {
    const Json& list = object["prompt_ids"];
    if (!list.is_array()) return InvalidArgument("prompt_ids: expected a list of ids");
    std::vector<int32_t> ids;
    for (const Json& id : list) {
      if (!id.is_number_integer() || id < 0 || id >= model.files.config.vocab) {
        return InvalidArgument("prompt_ids: found " + id.dump().substr(0, 40) + ", expected 0 to " +
                               std::to_string(model.files.config.vocab - 1));
      }
      ids.push_back(id.get<int32_t>());
    }
    return AddIds(model, std::move(ids), request);
  }
  if (object.contains("messages")) {
    if (model.tokenizer == nullptr) return InvalidArgument("the model has no tokenizer; give ids");
    return StatusOf(AddChat(model, {.messages = object["messages"]}, request));
  }
  if (!object["prompt"].is_string()) return InvalidArgument("prompt: expected a string");
  return AddText(model, defaults, object["prompt"].get<std::string>(), request);
}

GenerationRequest Begin(const RequestDefaults& defaults) {
  GenerationRequest request;
  request.params = defaults.params;
  request.constraint = defaults.constraint;
  request.constraint_field = "the command's option";
  return request;
}

PromptRequest Ready(GenerationRequest request) {
  return {.prompt_ids = std::move(request.prompts.back()),
          .params = std::move(request.params),
          .grammar = std::move(request.grammar)};
}

Json LogprobJson(const TokenRecord& record) {
  Json top = Json::array();
  for (const TokenLogprob& token : record.top) {
    top.push_back({{"id", token.id}, {"logprob", token.logprob}});
  }
  return {{"id", record.id}, {"logprob", record.logprob}, {"top", std::move(top)}};
}

}  // namespace

Result<PromptRequest> RequestOf(const LanguageModel& model, const RequestDefaults& defaults,
                                const std::string& prompt) {
  GenerationRequest request = Begin(defaults);
  RETURN_IF_ERROR(AddText(model, defaults, prompt, &request));
  return Ready(std::move(request));
}

Result<PromptRequest> RequestOf(const LanguageModel& model, const RequestDefaults& defaults,
                                std::vector<int32_t> prompt_ids) {
  GenerationRequest request = Begin(defaults);
  RETURN_IF_ERROR(AddIds(model, std::move(prompt_ids), &request));
  return Ready(std::move(request));
}

Result<std::vector<PromptRequest>> ReadRequests(const std::string& path, const LanguageModel& model,
                                                const RequestDefaults& defaults) {
  std::ifstream file(path);
  if (!file) return NotFound(path + ": cannot be read");
  std::vector<PromptRequest> requests;
  const Status status = ForEachLine(file, [&](const std::string& line) -> Status {
    ASSIGN_OR_RETURN(const Json object, ParseObject(line));
    GenerationRequest request = Begin(defaults);
    FieldReader reader(object);
    ReadSamplingFields(reader, &request.params);
    reader.Whole("logprobs", &request.params.logprobs);
    reader.Whole("prompt_logprobs", &request.params.prompt_logprobs);
    for (const char* name : {"prompt", "messages", "prompt_ids"}) reader.Find(name);
    ReadConstraint(reader, &request);
    reader.RefuseUnknown();
    RETURN_IF_ERROR(reader.status());
    RETURN_IF_ERROR(request.params.Validate(model.files.config.vocab));
    RETURN_IF_ERROR(ReadPrompt(object, model, defaults, &request));
    requests.push_back(Ready(std::move(request)));
    return OkStatus();
  });
  if (!status.ok()) return status.WithContext(path);
  return requests;
}

Request EngineRequest(const LanguageModel& model, const PromptRequest& request) {
  Request asked;
  asked.prompt_ids = request.prompt_ids;
  asked.params = request.params;
  asked.decoder = MakeTextDecoder(model);
  if (request.grammar) asked.constraint = MakeConstraint(request.grammar, *model.tokenizer);
  return asked;
}

std::vector<RequestResult> RunRequests(const LanguageModel& model,
                                       const std::vector<PromptRequest>& requests) {
  std::vector<Request> submitted;
  submitted.reserve(requests.size());
  for (const PromptRequest& request : requests) {
    submitted.push_back(EngineRequest(model, request));
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
