#include "serving/anthropic/messages_request.h"

#include <limits>

#include "serving/anthropic/message_blocks.h"
#include "serving/request/sampling_fields.h"

namespace pelton {
namespace {

constexpr float kDefaultTemperature = 1.0f;  // Anthropic's own

void Set(ChatPrompt* chat, const char* name, Json value) {
  if (chat->kwargs.is_null()) chat->kwargs = Json::object();
  chat->kwargs[name] = std::move(value);
}

// Reads which tools may be called, and whether one must be.
void ReadToolChoice(FieldReader& reader, bool* use_tools, ToolChoice* out) {
  const Json* choice = reader.Find("tool_choice");
  if (choice == nullptr) return;
  if (!choice->is_object()) return reader.Fail("tool_choice", "an object");
  FieldReader inner(*choice);
  std::string type;
  inner.String("type", &type);
  if (type == "any") {
    out->kind = ToolChoice::Kind::kRequired;
  } else if (type == "tool") {
    out->kind = ToolChoice::Kind::kNamed;
    inner.String("name", &out->name);
    if (out->name.empty()) inner.Fail("name", "the name of a tool");
  } else if (type != "auto" && type != "none") {
    inner.Fail("type", "\"auto\", \"any\", \"tool\" or \"none\"");
  }
  bool serial = false;
  inner.Bool("disable_parallel_tool_use", &serial);
  out->parallel = !serial;
  inner.RefuseUnknown();
  reader.Adopt("tool_choice", inner);
  *use_tools = type != "none";
}

void ReadThinking(FieldReader& reader, ChatPrompt* chat, GenerationRequest* generation,
                  bool* show) {
  const Json* thinking = reader.Find("thinking");
  if (thinking == nullptr) return;
  if (!thinking->is_object()) return reader.Fail("thinking", "an object");
  FieldReader inner(*thinking);
  std::string type, display = "summarized";
  uint32_t budget = 1024;
  inner.String("type", &type);
  if (type != "enabled" && type != "disabled" && type != "adaptive") {
    inner.Fail("type", "\"enabled\", \"disabled\" or \"adaptive\"");
  }
  inner.Whole("budget_tokens", &budget);
  if (budget < 1024) inner.Fail("budget_tokens", "1024 or more");
  if (inner.Has("budget_tokens")) generation->thinking_budget = budget;
  inner.String("display", &display);
  if (display != "summarized" && display != "omitted") {
    inner.Fail("display", "\"summarized\" or \"omitted\"");
  }
  inner.RefuseUnknown();
  reader.Adopt("thinking", inner);
  // The two names under which templates know the switch.
  const bool enabled = type != "disabled";
  Set(chat, "enable_thinking", enabled);
  Set(chat, "thinking", enabled);
  *show = enabled && display != "omitted";
}

void ReadFormat(FieldReader& reader, const Json& format, GenerationRequest* generation) {
  if (!format.is_object()) return reader.Fail("format", "an object");
  FieldReader inner(format);
  std::string type;
  inner.String("type", &type);
  if (type != "json_schema") inner.Fail("type", "\"json_schema\"");
  const Json* schema = inner.Find("schema");
  if (schema == nullptr || !schema->is_object()) {
    inner.Fail("schema", "a JSON schema");
  } else {
    generation->constraint =
        GrammarSource{.kind = GrammarSource::Kind::kJsonSchema, .text = ToText(*schema)};
    generation->constraint_field = "output_config.format";
  }
  inner.RefuseUnknown();
  reader.Adopt("format", inner);
}

void ReadOutputConfig(FieldReader& reader, ChatPrompt* chat, GenerationRequest* generation) {
  const Json* config = reader.Find("output_config");
  if (config == nullptr) return;
  if (!config->is_object()) return reader.Fail("output_config", "an object");
  FieldReader inner(*config);
  std::string effort;
  inner.String("effort", &effort);
  if (!effort.empty()) Set(chat, "reasoning_effort", effort);
  if (const Json* format = inner.Find("format")) ReadFormat(inner, *format, generation);
  inner.RefuseUnknown();
  reader.Adopt("output_config", inner);
}

// Fields that change nothing here.
void ReadInformation(FieldReader& reader) {
  if (const Json* metadata = reader.Find("metadata")) {
    if (!metadata->is_object()) return reader.Fail("metadata", "an object");
    FieldReader inner(*metadata);
    std::string user;
    inner.String("user_id", &user);
    inner.RefuseUnknown();
    reader.Adopt("metadata", inner);
  }
  std::string tier = "auto";
  reader.String("service_tier", &tier);
  if (tier != "auto" && tier != "standard_only") {
    reader.Fail("service_tier", "\"auto\" or \"standard_only\"");
  }
}

void ReadSampling(FieldReader& reader, SamplingParams* params) {
  reader.Float("temperature", &params->temperature);
  reader.Float("top_p", &params->top_p);
  reader.Whole("top_k", &params->top_k);
  reader.Strings("stop_sequences", &params->stop_strings);
  reader.Whole("max_tokens", &params->max_tokens);
  if (!reader.Has("max_tokens")) reader.Fail("max_tokens", "a whole number");
}

// Parameters that have another name here.
ApiError Renamed(ApiError error) {
  if (error.param != "stop") return error;
  error.message.replace(0, error.param.size(), "stop_sequences");
  error.param = "stop_sequences";
  return error;
}

}  // namespace

std::optional<ApiError> ReadMessagesRequest(const LanguageModel& model, std::string_view body,
                                            bool counting, MessagesRequest* request) {
  const Result<Json> object = ParseObject(body);
  if (!object.ok()) return ApiErrorOf(object.status());
  GenerationRequest& generation = request->generation;
  generation.call_id_prefix = "toolu_";
  generation.params = AdvisedParams(model.files.config.sampling, kDefaultTemperature);
  FieldReader reader(*object);
  reader.String("model", &request->model);
  if (counting) {
    generation.prompt_limit = {.tokens = std::numeric_limits<size_t>::max()};
  } else {
    reader.Bool("stream", &request->stream);
    ReadSampling(reader, &generation.params);
    ReadInformation(reader);
  }
  std::string speed = "standard";
  reader.String("speed", &speed);
  if (speed != "standard") reader.Fail("speed", "\"standard\"");
  const Json* control = reader.Find("cache_control");
  if (control != nullptr && !control->is_object()) reader.Fail("cache_control", "an object");
  ChatPrompt chat;
  bool use_tools = true;
  ReadToolChoice(reader, &use_tools, &generation.tool_choice);
  ReadThinking(reader, &chat, &generation, &request->show_thinking);
  ReadOutputConfig(reader, &chat, &generation);
  const Json* tools = reader.Find("tools");
  if (tools != nullptr && use_tools) {
    Json functions;
    ReadAnthropicTools(reader, *tools, &functions);
    if (!reader.ok()) return ApiErrorOf(reader.status(), reader.failed_field());
    const bool forced = generation.tool_choice.kind != ToolChoice::Kind::kAuto;
    const std::string problem = AddTools(model, functions, &chat, &generation, forced);
    if (!problem.empty()) reader.Refuse("tools", problem);
  }
  if (const std::string problem = ToolChoiceProblem(generation); !problem.empty()) {
    reader.Refuse("tool_choice", problem);
  }
  const Json* system = reader.Find("system");
  const Json* messages = reader.Find("messages");
  if (messages == nullptr) {
    reader.Fail("messages", "a list of messages");
  } else {
    ReadMessageBlocks(reader, system, *messages, &chat.messages);
  }
  reader.RefuseUnknown();
  if (!reader.ok()) return ApiErrorOf(reader.status(), reader.failed_field());
  if (const auto error = CheckParams(model, generation.params)) return Renamed(*error);
  return AddChat(model, std::move(chat), &generation);
}

}  // namespace pelton
