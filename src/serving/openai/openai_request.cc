#include "serving/openai/openai_request.h"

#include <fmt/format.h>

#include <algorithm>

#include "serving/generate/output_grammar.h"
#include "serving/generate/reasoning_marks.h"
#include "serving/openai/constraint_fields.h"
#include "serving/request/prompt.h"
#include "serving/request/sampling_fields.h"

namespace pelton {
namespace {

// Randomness where neither the request nor the model's authors say anything: OpenAI's own.
constexpr float kDefaultTemperature = 1.0f;
constexpr uint32_t kDefaultCompletionTokens = 16;

std::optional<ApiError> ErrorOf(const FieldReader& reader) {
  if (reader.ok()) return std::nullopt;
  return ApiErrorOf(reader.status(), reader.failed_field());
}

// Fields that clients send about themselves and that change nothing here.
void ReadInformation(FieldReader& reader) {
  for (const char* name : {"user", "safety_identifier", "prompt_cache_key"}) {
    std::string ignored;
    reader.String(name, &ignored);
  }
  const Json* metadata = reader.Find("metadata");
  if (metadata != nullptr && !metadata->is_object()) reader.Fail("metadata", "an object");
  bool store = false;
  reader.Bool("store", &store);
  if (store) reader.Fail("store", "false: answers are not stored");
}

// What both interfaces share.
void ReadShared(FieldReader& reader, OpenAiRequest* request) {
  OpenAiForm& form = request->form;
  uint32_t& n = request->generation.n;
  reader.String("model", &form.model);
  ReadSamplingFields(reader, &request->generation.params);
  reader.Whole("n", &n);
  if (n < 1 || n > kMaxChoices) reader.Fail("n", fmt::format("1 to {}", kMaxChoices));
  reader.Bool("stream", &form.stream);
  if (const Json* options = reader.Find("stream_options")) {
    if (!options->is_object()) return reader.Fail("stream_options", "an object");
    if (!form.stream) return reader.Fail("stream_options", "it only with \"stream\": true");
    FieldReader inner(*options);
    inner.Bool("include_usage", &form.include_usage);
    bool obfuscation = false;
    inner.Bool("include_obfuscation", &obfuscation);
    inner.RefuseUnknown();
    reader.Adopt("stream_options", inner);
  }
  ReadTermsFields(reader, &request->generation.terms);
  ReadInformation(reader);
}

std::optional<ApiError> CheckFields(const LanguageModel& model, const Json& object,
                                    OpenAiRequest* request) {
  std::optional<ApiError> error = CheckParams(model, request->generation.params);
  if (error && error->param == "stop_ids" && object.contains("stop_token_ids")) {
    error->param = "stop_token_ids";
  }
  request->form.n = request->generation.n;
  return error;
}

// Ids of a prompt that is given as such.
bool ReadIds(const Json& list, size_t vocab, std::vector<int32_t>* ids) {
  for (const Json& id : list) {
    if (!id.is_number_integer() || id < 0 || id >= vocab) return false;
    ids->push_back(id.get<int32_t>());
  }
  return !ids->empty();
}

// `prompt`: a text, a list of texts, token ids, or a list of lists of token ids. The refusal of a
// text that is too long.
std::optional<ApiError> ReadPrompts(const LanguageModel& model, FieldReader& reader, bool echo,
                                    OpenAiRequest* request) {
  std::vector<std::vector<int32_t>>& prompts = request->generation.prompts;
  std::vector<std::string>& echoed = request->form.echo;
  const auto add_text = [&](const Json& text) {
    if (echo) echoed.push_back(text.get<std::string>());
    return AddPrompt(model, text.get_ref<const std::string&>(), true, &request->generation);
  };
  const auto add_ids = [&](const Json& list) {
    std::vector<int32_t> ids;
    if (!ReadIds(list, model.files.config.vocab, &ids)) return false;
    if (echo) echoed.push_back(model.tokenizer->Decode(ids));
    prompts.push_back(std::move(ids));
    return true;
  };
  const auto fail = [&](const std::string& expected) {
    reader.Fail("prompt", expected);
    return std::nullopt;
  };
  const std::string expected =
      fmt::format("a text, a list of texts, a list of ids from 0 to {}, or a list of such lists",
                  model.files.config.vocab - 1);
  const Json* prompt = reader.Find("prompt");
  if (prompt == nullptr) return fail(expected);
  if (prompt->is_string()) return add_text(*prompt);
  if (!prompt->is_array() || prompt->empty()) return fail(expected);
  if (prompt->size() > kMaxChoices && !(*prompt)[0].is_number()) {
    return fail(fmt::format("at most {} prompts", kMaxChoices));
  }
  if ((*prompt)[0].is_number()) {
    if (!add_ids(*prompt)) return fail(expected);
    return std::nullopt;
  }
  for (const Json& one : *prompt) {
    if (one.is_string()) {
      if (std::optional<ApiError> error = add_text(one)) return error;
    } else if (!one.is_array() || !add_ids(one)) {
      return fail(expected);
    }
  }
  return std::nullopt;
}

void ReadTools(const LanguageModel& model, FieldReader& reader, ChatPrompt* chat,
               GenerationRequest* request) {
  const Json* tools = reader.Find("tools");
  const Json* choice = reader.Find("tool_choice");
  if (tools != nullptr && (choice == nullptr || *choice != "none")) {
    const bool forced = choice != nullptr && *choice != "auto";
    if (const std::string problem = AddTools(model, *tools, chat, request, forced);
        !problem.empty()) {
      return reader.Refuse("tools", problem);
    }
  }
  ReadToolChoice(reader, request);
}

void ReadTemplateOptions(FieldReader& reader, ChatPrompt* chat) {
  if (const Json* kwargs = reader.Find("chat_template_kwargs")) {
    if (!kwargs->is_object()) return reader.Fail("chat_template_kwargs", "an object");
    chat->kwargs = *kwargs;
  }
  std::string effort;
  reader.String("reasoning_effort", &effort);
  if (effort.empty()) return;
  if (chat->kwargs.is_null()) chat->kwargs = Json::object();
  chat->kwargs["reasoning_effort"] = effort;
}

void ReadChatLogprobs(FieldReader& reader, SamplingParams* params) {
  bool wanted = false;
  std::optional<uint32_t> top;
  reader.Bool("logprobs", &wanted);
  reader.Whole("top_logprobs", &top);
  if (top && !wanted) return reader.Fail("top_logprobs", "it only with \"logprobs\": true");
  if (top && *top > 20) return reader.Fail("top_logprobs", "0 to 20");
  if (wanted) params->logprobs = top.value_or(0);
}

}  // namespace

std::optional<ApiError> ReadChatRequest(const LanguageModel& model, std::string_view body,
                                        OpenAiRequest* request) {
  const Result<Json> object = ParseObject(body);
  if (!object.ok()) return ApiErrorOf(object.status());
  GenerationRequest& generation = request->generation;
  request->form.chat = true;
  generation.params = AdvisedParams(model.files.config.sampling, kDefaultTemperature);
  FieldReader reader(*object);
  ReadShared(reader, request);
  reader.Whole("max_completion_tokens", &generation.params.max_tokens);
  reader.Whole("thinking_budget", &generation.thinking_budget);
  ReadChatLogprobs(reader, &generation.params);
  ReadConstraint(reader, &generation);
  ChatPrompt chat;
  ReadTools(model, reader, &chat, &generation);
  ReadTemplateOptions(reader, &chat);
  if (const Json* messages = reader.Find("messages")) {
    chat.messages = *messages;
  } else {
    reader.Fail("messages", "a list of messages");
  }
  reader.RefuseUnknown();
  if (std::optional<ApiError> error = ErrorOf(reader)) return error;
  if (std::optional<ApiError> error = CheckFields(model, *object, request)) return error;
  request->form.choices = generation.n;
  if (std::optional<ApiError> error = AddChat(model, std::move(chat), &generation)) return error;
  if (generation.thinking_budget && !ReasoningMarksOf(model, *generation.format)) {
    return ApiError{.message = "thinking_budget: the model's chat template knows no reasoning",
                    .param = "thinking_budget"};
  }
  return std::nullopt;
}

std::optional<ApiError> ReadCompletionRequest(const LanguageModel& model, std::string_view body,
                                              OpenAiRequest* request) {
  const Result<Json> object = ParseObject(body);
  if (!object.ok()) return ApiErrorOf(object.status());
  GenerationRequest& generation = request->generation;
  request->form.chat = false;
  generation.prompt_field = "prompt";
  generation.params = AdvisedParams(model.files.config.sampling, kDefaultTemperature);
  generation.params.max_tokens = kDefaultCompletionTokens;
  FieldReader reader(*object);
  ReadShared(reader, request);
  reader.Whole("logprobs", &generation.params.logprobs);
  bool echo = false;
  reader.Bool("echo", &echo);
  if (echo && generation.params.logprobs) {
    reader.Fail("echo", "false with logprobs: those of the prompt are not supported yet");
  }
  uint32_t best_of = generation.n;
  reader.Whole("best_of", &best_of);
  if (best_of != generation.n) {
    reader.Fail("best_of", "the number n: a choice is not supported yet");
  }
  std::string suffix;
  reader.String("suffix", &suffix);
  if (!suffix.empty()) reader.Fail("suffix", "nothing: the model has no fill-in-the-middle");
  ReadConstraint(reader, &generation);
  std::optional<ApiError> too_long;
  if (reader.ok()) too_long = ReadPrompts(model, reader, echo, request);
  request->form.choices = generation.choices();
  if (request->form.choices > kMaxChoices) {
    reader.Fail("n", fmt::format("at most {} answers in all", kMaxChoices));
  }
  reader.RefuseUnknown();
  if (std::optional<ApiError> error = ErrorOf(reader)) return error;
  if (std::optional<ApiError> error = CheckFields(model, *object, request)) return error;
  if (too_long) return too_long;
  return CompileOutput(model, &generation);
}

}  // namespace pelton
