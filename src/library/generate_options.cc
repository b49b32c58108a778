#include "library/generate_options.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>

#include "serving/generate/output_grammar.h"
#include "serving/openai/constraint_fields.h"
#include "serving/request/chat_messages.h"
#include "serving/request/prompt.h"
#include "serving/request/sampling_fields.h"

namespace pelton::library {
namespace {

Status OfApiError(const ApiError& error) {
  const StatusCode code = error.status == 404   ? StatusCode::kNotFound
                          : error.status == 503 ? StatusCode::kUnavailable
                          : error.status == 500 ? StatusCode::kInternal
                                                : StatusCode::kInvalidArgument;
  return {code, error.message};
}

Result<Json> ParseArgument(const char* name, const char* text) {
  if (text == nullptr) return Json();
  Result<Json> value = ParseJson(text);
  if (!value.ok()) return value.status().WithContext(name);
  return value;
}

// `count` of them at `items`.
template <typename Item>
Status CheckList(std::string_view name, const Item* items, size_t count, size_t most) {
  if (count > most) {
    return InvalidArgument(fmt::format("{}: found {}, expected at most {}", name, count, most));
  }
  if (count > 0 && items == nullptr) {
    return InvalidArgument(fmt::format("{}: found NULL, expected {} of them", name, count));
  }
  return OkStatus();
}

// -1 is `otherwise`.
Status ReadCount(std::string_view name, int64_t found, std::optional<uint32_t> otherwise,
                 std::optional<uint32_t>* out) {
  if (found < -1 || found > std::numeric_limits<uint32_t>::max()) {
    return InvalidArgument(fmt::format("{}: found {}, expected -1 or more", name, found));
  }
  *out = found == -1 ? otherwise : static_cast<uint32_t>(found);
  return OkStatus();
}

Status ReadLists(const pelton_generate_options& given, SamplingParams* params) {
  RETURN_IF_ERROR(CheckList("logit_bias", given.logit_bias, given.num_logit_bias,
                            SamplingParams::kMaxLogitBiases));
  for (size_t i = 0; i < given.num_logit_bias; ++i) {
    params->logit_bias.push_back({given.logit_bias[i].id, given.logit_bias[i].bias});
  }
  RETURN_IF_ERROR(
      CheckList("stop_ids", given.stop_ids, given.num_stop_ids, SamplingParams::kMaxStopIds));
  if (given.num_stop_ids > 0) {
    params->stop_ids.assign(given.stop_ids, given.stop_ids + given.num_stop_ids);
  }
  RETURN_IF_ERROR(CheckList("stop", given.stop, given.num_stop, SamplingParams::kMaxStopStrings));
  for (size_t i = 0; i < given.num_stop; ++i) {
    if (given.stop[i] == nullptr) {
      return InvalidArgument(fmt::format("stop: found NULL at {}, expected a text", i));
    }
    params->stop_strings.emplace_back(given.stop[i]);
  }
  return OkStatus();
}

Result<SamplingParams> ReadParams(const LanguageModel& model,
                                  const pelton_generate_options& given) {
  SamplingParams params = AdvisedParams(model.files.config.sampling, 0.0f);
  const auto override_with = [](float value, float* param) {
    if (!std::isnan(value)) *param = value;
  };
  override_with(given.temperature, &params.temperature);
  override_with(given.top_p, &params.top_p);
  override_with(given.min_p, &params.min_p);
  override_with(given.typical_p, &params.typical_p);
  override_with(given.repetition_penalty, &params.repetition_penalty);
  std::optional<uint32_t> top_k;
  RETURN_IF_ERROR(ReadCount("top_k", given.top_k, params.top_k, &top_k));
  params.top_k = *top_k;
  params.presence_penalty = given.presence_penalty;
  params.frequency_penalty = given.frequency_penalty;
  params.penalty_window = given.penalty_window;
  if (given.has_seed != 0) params.seed = given.seed;
  RETURN_IF_ERROR(ReadCount("max_tokens", given.max_tokens, std::nullopt, &params.max_tokens));
  params.min_tokens = given.min_tokens;
  params.ignore_eos = given.ignore_eos != 0;
  RETURN_IF_ERROR(ReadCount("logprobs", given.logprobs, std::nullopt, &params.logprobs));
  RETURN_IF_ERROR(
      ReadCount("prompt_logprobs", given.prompt_logprobs, std::nullopt, &params.prompt_logprobs));
  RETURN_IF_ERROR(ReadLists(given, &params));
  RETURN_IF_ERROR(params.Validate(model.files.config.vocab));
  return params;
}

Status ReadConstraintFields(const pelton_generate_options& given, GenerationRequest* request) {
  using Kind = GrammarSource::Kind;
  constexpr Kind kKinds[] = {Kind::kJsonObject, Kind::kJsonSchema, Kind::kRegex,
                             Kind::kChoice,     Kind::kEbnf,       Kind::kStructuralTag};
  if (given.constraint == PELTON_ANY_TEXT) return OkStatus();
  if (given.constraint < 0 || given.constraint > PELTON_STRUCTURAL_TAG) {
    return InvalidArgument(fmt::format("constraint: found {}, expected 0 to {}", given.constraint,
                                       int{PELTON_STRUCTURAL_TAG}));
  }
  if (given.constraint_text == nullptr && given.constraint != PELTON_JSON_OBJECT) {
    return InvalidArgument("constraint_text: found NULL, expected what the output must be");
  }
  request->constraint =
      GrammarSource{.kind = kKinds[given.constraint - PELTON_JSON_OBJECT],
                    .text = std::string(TextOf(given.constraint_text, PELTON_WHOLE))};
  request->constraint_field = "constraint_text";
  return OkStatus();
}

// The tools, and which of them the model may call, as OpenAI's interface has them.
Status ReadTools(const LanguageModel& model, const pelton_generate_options& given, ChatPrompt* chat,
                 GenerationRequest* request) {
  const std::string_view choice = given.tool_choice == nullptr ? "auto" : given.tool_choice;
  Json fields = {{"parallel_tool_calls", given.parallel_tool_calls != 0}};
  if (choice == "auto" || choice == "none" || choice == "required") {
    fields["tool_choice"] = choice;
  } else {
    fields["tool_choice"] = {{"type", "function"}, {"function", {{"name", choice}}}};
  }
  ASSIGN_OR_RETURN(const Json tools, ParseArgument("tools_json", given.tools_json));
  if (!tools.is_null() && choice != "none") {
    const std::string problem = AddTools(model, tools, chat, request, choice != "auto");
    if (!problem.empty()) return InvalidArgument(problem);
  }
  FieldReader reader(fields);
  ReadToolChoice(reader, request);
  return reader.status();
}

Status AddMessages(const LanguageModel& model, const pelton_generate_options& given,
                   GenerationRequest* request) {
  ChatPrompt chat;
  ASSIGN_OR_RETURN(chat.messages, ParseArgument("messages_json", given.messages_json));
  ASSIGN_OR_RETURN(chat.kwargs, ParseArgument("template_args_json", given.template_args_json));
  RETURN_IF_ERROR(ReadTools(model, given, &chat, request));
  const std::optional<ApiError> error = AddChat(model, std::move(chat), request);
  return error ? OfApiError(*error) : OkStatus();
}

Status AddPrompt(const LanguageModel& model, const pelton_generate_options& given,
                 GenerationRequest* request) {
  const int prompts = (given.prompt != nullptr ? 1 : 0) + (given.prompt_ids != nullptr ? 1 : 0) +
                      (given.messages_json != nullptr ? 1 : 0);
  if (prompts != 1) {
    return InvalidArgument(fmt::format(
        "prompt, prompt_ids, messages_json: found {} of them, expected exactly one", prompts));
  }
  if (given.messages_json == nullptr) {
    for (const auto& [name, text] : {std::pair{"tools_json", given.tools_json},
                                     std::pair{"template_args_json", given.template_args_json}}) {
      if (text == nullptr) continue;
      return InvalidArgument(fmt::format("{}: expected it only with messages_json", name));
    }
  }
  if (model.tokenizer == nullptr && (given.prompt_ids == nullptr || request->constraint)) {
    return InvalidArgument("the model has no tokenizer; expected prompt_ids, and no constraint");
  }
  if (given.messages_json != nullptr) return AddMessages(model, given, request);
  request->prompt_field = "prompt";
  if (given.prompt_ids != nullptr) {
    RETURN_IF_ERROR(
        CheckList("prompt_ids", given.prompt_ids, given.num_prompt_ids, model.context_tokens));
    request->prompts.emplace_back(given.prompt_ids, given.prompt_ids + given.num_prompt_ids);
  } else {
    request->prompts.push_back(EncodeRaw(model, TextOf(given.prompt, given.prompt_bytes)));
  }
  const std::optional<ApiError> error = CompileOutput(model, request);
  return error ? OfApiError(*error) : OkStatus();
}

}  // namespace

std::string_view TextOf(const char* text, size_t bytes) {
  if (text == nullptr) return {};
  return bytes == PELTON_WHOLE ? std::string_view(text) : std::string_view(text, bytes);
}

Result<GenerationRequest> ReadGenerateOptions(const LanguageModel& model,
                                              const pelton_generate_options& given) {
  GenerationRequest request;
  ASSIGN_OR_RETURN(request.params, ReadParams(model, given));
  const std::string_view service_class =
      given.service_class == nullptr ? "standard" : given.service_class;
  const std::optional<ServiceClass> known = ParseServiceClass(service_class);
  if (!known) {
    return InvalidArgument(
        fmt::format("service_class: found \"{}\", expected realtime, standard, batch or background",
                    service_class.substr(0, 40)));
  }
  request.terms.service_class = *known;
  RETURN_IF_ERROR(ReadConstraintFields(given, &request));
  RETURN_IF_ERROR(AddPrompt(model, given, &request));
  return request;
}

Result<std::string> RenderChat(const LanguageModel& model, const char* messages_json,
                               const char* tools_json, const char* template_args_json,
                               bool add_generation_prompt) {
  ChatPrompt chat{
      .messages = {}, .tools = {}, .kwargs = {}, .add_generation_prompt = add_generation_prompt};
  ASSIGN_OR_RETURN(chat.messages, ParseArgument("messages_json", messages_json));
  ASSIGN_OR_RETURN(chat.tools, ParseArgument("tools_json", tools_json));
  ASSIGN_OR_RETURN(chat.kwargs, ParseArgument("template_args_json", template_args_json));
  if (const MessageProblem problem = NormalizeMessages(&chat.messages); !problem.message.empty()) {
    return InvalidArgument(problem.message);
  }
  if (!chat.tools.is_null()) {
    std::vector<ToolSpec> specs;
    if (const std::string problem = CheckTools(chat.tools, &specs); !problem.empty()) {
      return InvalidArgument(problem);
    }
  }
  return RenderPrompt(model, chat);
}

}  // namespace pelton::library
