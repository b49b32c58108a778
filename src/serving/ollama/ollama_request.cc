#include "serving/ollama/ollama_request.h"

#include <fmt/format.h>

#include <algorithm>

#include "serving/generate/output_grammar.h"
#include "serving/request/duration.h"
#include "serving/request/sampling_fields.h"

namespace pelton {
namespace {

constexpr float kDefaultTemperature = 0.8f;  // Ollama's own

void Set(ChatPrompt* chat, const char* name, Json value) {
  if (chat->kwargs.is_null()) chat->kwargs = Json::object();
  chat->kwargs[name] = std::move(value);
}

void ReadOptions(FieldReader& reader, SamplingParams* params, std::optional<uint32_t>* context) {
  const Json* options = reader.Find("options");
  if (options == nullptr) return;
  if (!options->is_object()) return reader.Fail("options", "an object");
  FieldReader inner(*options);
  std::optional<int64_t> predict, seed;
  inner.Whole("num_predict", &predict);
  // -1: without end; -2: until the context is full. Both are what the engine does.
  if (predict && (*predict < -2 || *predict > std::numeric_limits<uint32_t>::max())) {
    inner.Fail("num_predict", "a whole number from -2 on");
  } else if (predict && *predict >= 0) {
    params->max_tokens = static_cast<uint32_t>(*predict);
  }
  inner.Whole("seed", &seed);
  // -1 and other negative numbers: any seed.
  if (seed && *seed >= 0) params->seed = static_cast<uint64_t>(*seed);
  inner.Float("temperature", &params->temperature);
  inner.Whole("top_k", &params->top_k);
  inner.Float("top_p", &params->top_p);
  inner.Float("min_p", &params->min_p);
  inner.Float("typical_p", &params->typical_p);
  inner.Float("repeat_penalty", &params->repetition_penalty);
  inner.Whole("repeat_last_n", &params->penalty_window);
  inner.Float("presence_penalty", &params->presence_penalty);
  inner.Float("frequency_penalty", &params->frequency_penalty);
  inner.Strings("stop", &params->stop_strings);
  inner.Whole("num_ctx", context);
  if (*context && **context == 0) inner.Fail("num_ctx", "1 or more");
  inner.RefuseUnknown();
  reader.Adopt("options", inner);
}

void ReadThink(FieldReader& reader, ChatPrompt* chat, bool* show) {
  const Json* think = reader.Find("think");
  if (think == nullptr) return;
  if (!think->is_boolean() && !think->is_string()) {
    return reader.Fail("think", "true, false or a level");
  }
  *show = think->is_string() || think->get<bool>();
  // The two names under which templates know the switch.
  Set(chat, "enable_thinking", *show);
  Set(chat, "thinking", *show);
  if (think->is_string()) Set(chat, "reasoning_effort", *think);
}

bool IsEmptyText(const Json& value) {
  return value.is_string() && value.get_ref<const std::string&>().empty();
}

// Fields of both that are refused unless they are empty.
void RefuseFilled(FieldReader& reader, const char* name, const char* expected) {
  const Json* value = reader.Find(name);
  if (value == nullptr || IsEmptyText(*value) || *value == Json::array()) return;
  reader.Fail(name, expected);
}

void ReadShared(FieldReader& reader, OllamaRequest* request) {
  reader.String("model", &request->model);
  if (request->model.empty()) reader.Fail("model", "the name of a model");
  request->model = WithoutLatest(std::move(request->model));
  reader.Bool("stream", &request->stream);
  ReadKeepAlive(reader, &request->keep_alive_ns);
  const Json* format = reader.Find("format");
  if (format == nullptr || IsEmptyText(*format)) return;
  GenerationRequest& generation = request->generation;
  generation.constraint_field = "format";
  if (*format == "json") {
    generation.constraint = GrammarSource{.kind = GrammarSource::Kind::kJsonObject, .text = ""};
  } else if (format->is_object()) {
    generation.constraint =
        GrammarSource{.kind = GrammarSource::Kind::kJsonSchema, .text = ToText(*format)};
  } else {
    reader.Fail("format", "\"json\" or a JSON schema");
  }
}

// Messages in OpenAI's form: results name their tool, calls have no ids.
void ReadMessages(FieldReader& reader, const Json& messages, Json* out) {
  *out = Json::array();
  if (!messages.is_array()) return reader.Fail("messages", "a list of messages");
  for (size_t i = 0; i < messages.size() && reader.ok(); ++i) {
    const std::string place = fmt::format("messages[{}]", i);
    if (!messages[i].is_object()) return reader.Refuse(place, place + ": expected an object");
    FieldReader inner(messages[i]);
    std::string role, content, thinking, tool_name, call_id;
    inner.String("role", &role);
    inner.String("content", &content);
    inner.String("thinking", &thinking);
    inner.String("tool_name", &tool_name);
    inner.String("tool_call_id", &call_id);
    RefuseFilled(inner, "images", "no images: the model reads none");
    const Json* calls = inner.Find("tool_calls");
    inner.RefuseUnknown();
    reader.Adopt(place, inner);
    Json message = {{"role", role}, {"content", content}};
    if (!thinking.empty()) message["reasoning_content"] = thinking;
    if (!tool_name.empty()) message["name"] = tool_name;
    if (!call_id.empty()) message["tool_call_id"] = call_id;
    if (calls != nullptr) message["tool_calls"] = *calls;
    out->push_back(std::move(message));
  }
}

// An error of parameters, which have other names here.
ApiError OfOptions(ApiError error) {
  std::string name = error.param;
  if (name == "repetition_penalty") name = "repeat_penalty";
  if (name == "penalty_window") name = "repeat_last_n";
  name = "options." + name;
  error.message.replace(0, error.param.size(), name);
  error.param = std::move(name);
  return error;
}

std::optional<ApiError> CheckContext(const GenerationRequest& generation, uint32_t context) {
  const size_t prompt = generation.prompts[0].size();
  if (prompt < context) return std::nullopt;
  return ApiError{.message = fmt::format("options.num_ctx: found {}, but the prompt has {} tokens "
                                         "and is not cut",
                                         context, prompt),
                  .param = "options.num_ctx",
                  .code = "context_length_exceeded"};
}

}  // namespace

void ReadKeepAlive(FieldReader& reader, std::optional<int64_t>* ns) {
  const Json* value = reader.Find("keep_alive");
  if (value == nullptr) return;
  if (value->is_string()) {
    *ns = ParseDuration(value->get_ref<const std::string&>());
  } else if (value->is_number()) {
    *ns = ParseDuration(ToText(*value));
  }
  if (!*ns) reader.Fail("keep_alive", "a number of seconds or a duration such as \"5m\"");
}

bool OnlyUnloads(std::string_view body) {
  constexpr size_t kMostBytes = 4096;  // such requests are short; others need not be read twice
  if (body.size() > kMostBytes) return false;
  const Result<Json> object = ParseJson(body);
  if (!object.ok() || !object->is_object()) return false;
  FieldReader reader(*object);
  std::optional<int64_t> keep_alive_ns;
  ReadKeepAlive(reader, &keep_alive_ns);
  if (!reader.ok() || keep_alive_ns != 0) return false;
  for (const char* name : {"prompt", "messages"}) {
    const Json* value = reader.Find(name);
    if (value != nullptr && !value->empty() && !IsEmptyText(*value)) return false;
  }
  return true;
}

std::string WithoutLatest(std::string name) {
  constexpr std::string_view kLatest = ":latest";
  if (name.ends_with(kLatest)) name.resize(name.size() - kLatest.size());
  return name;
}

std::optional<ApiError> ReadOllamaRequest(const LanguageModel& model, std::string_view body,
                                          bool chat, OllamaRequest* request) {
  const Result<Json> object = ParseObject(body);
  if (!object.ok()) return ApiErrorOf(object.status());
  GenerationRequest& generation = request->generation;
  request->chat = chat;
  generation.params = AdvisedParams(model.files.config.sampling, kDefaultTemperature);
  FieldReader reader(*object);
  ReadShared(reader, request);
  std::optional<uint32_t> context;
  ReadOptions(reader, &generation.params, &context);
  ChatPrompt prompt;
  ReadThink(reader, &prompt, &request->show_thinking);
  std::string text, system;
  bool raw = false;
  if (chat) {
    const Json* tools = reader.Find("tools");
    if (tools != nullptr) {
      const std::string problem = AddTools(model, *tools, &prompt, &generation);
      if (!problem.empty()) reader.Refuse("tools", problem);
    }
    prompt.messages = Json::array();
    if (const Json* messages = reader.Find("messages")) {
      ReadMessages(reader, *messages, &prompt.messages);
    }
    request->only_load = prompt.messages.empty();
  } else {
    generation.prompt_field = "prompt";
    reader.String("prompt", &text);
    reader.String("system", &system);
    reader.Bool("raw", &raw);
    if (raw && !system.empty()) reader.Fail("system", "nothing in a raw prompt");
    RefuseFilled(reader, "suffix", "nothing: the model has no fill-in-the-middle");
    RefuseFilled(reader, "template", "nothing: the model's own template is used");
    RefuseFilled(reader, "context", "nothing: send the conversation to /api/chat instead");
    RefuseFilled(reader, "images", "no images: the model reads none");
    request->only_load = text.empty();
    prompt.messages = Json::array();
    if (!system.empty()) prompt.messages.push_back({{"role", "system"}, {"content", system}});
    prompt.messages.push_back({{"role", "user"}, {"content", text}});
  }
  reader.RefuseUnknown();
  if (!reader.ok()) return ApiErrorOf(reader.status(), reader.failed_field());
  if (const auto error = CheckParams(model, generation.params)) return OfOptions(*error);
  if (request->only_load) return std::nullopt;
  if (context && *context <= model.context_tokens) {
    generation.prompt_limit = {.tokens = *context, .field = "options.num_ctx"};
  }
  if (raw) {
    if (auto error = AddPrompt(model, text, true, &generation)) return error;
    if (auto error = CompileOutput(model, &generation)) return error;
  } else if (auto error = AddChat(model, std::move(prompt), &generation)) {
    return error;
  }
  if (!context) return std::nullopt;
  if (std::optional<ApiError> error = CheckContext(generation, *context)) return error;
  const uint32_t left = *context - static_cast<uint32_t>(generation.prompts[0].size());
  generation.params.max_tokens = std::min(left, generation.params.max_tokens.value_or(left));
  return std::nullopt;
}

}  // namespace pelton
