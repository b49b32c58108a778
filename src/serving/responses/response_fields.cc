#include "serving/responses/response_fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "serving/openai/constraint_fields.h"
#include "serving/request/metadata_field.h"
#include "serving/request/sampling_fields.h"
#include "serving/responses/response_items.h"

namespace pelton {
namespace {

// Reads the fields of one request, and repeats in `settings` what the response has to state.
class FieldsReader {
 public:
  FieldsReader(FieldReader& reader, ResponseFields* fields)
      : reader_(reader), fields_(fields), settings_(fields->form.settings) {}

  void Read() {
    settings_ = Json::object();
    ResponseForm& form = fields_->form;
    reader_.String("model", &form.model);
    reader_.Bool("stream", &form.stream);
    reader_.Bool("background", &form.background);
    form.store_asked = reader_.Has("store");
    reader_.Bool("store", &form.store);
    if (form.background && form.stream) {
      reader_.Fail("background", "false with \"stream\": true");
    }
    if (form.background && !form.store) reader_.Fail("background", "false without \"store\"");
    settings_["background"] = form.background;
    ReadInput();
    ReadSampling();
    ReadText();
    ReadTools();
    ReadReasoning();
    ReadInclude();
    ReadInformation();
    RefuseUnsupported();
  }

 private:
  void ReadInput() {
    reader_.String("instructions", &fields_->instructions);
    settings_["instructions"] =
        fields_->instructions.empty() ? Json() : Json(fields_->instructions);
    std::string& previous = fields_->form.previous_id;
    reader_.String("previous_response_id", &previous);
    settings_["previous_response_id"] = previous.empty() ? Json() : Json(previous);
    fields_->form.items = Json::array();
    const Json* input = reader_.Find("input");
    if (input != nullptr) {
      ReadInputItems(reader_, *input, &fields_->form.items);
    } else {
      reader_.Fail("input", "a text or a list of items");
    }
    std::string truncation = "disabled";
    reader_.String("truncation", &truncation);
    if (truncation != "disabled" && truncation != "auto") {
      reader_.Fail("truncation", "\"auto\" or \"disabled\"");
    }
    fields_->truncate = truncation == "auto";
    settings_["truncation"] = truncation;
  }

  void ReadSampling() {
    SamplingParams& params = fields_->generation.params;
    ReadSamplingFields(reader_, &params);
    reader_.Whole("max_output_tokens", &params.max_tokens);
    // Numbers are repeated as the client wrote them.
    const auto state = [&](const char* name, double otherwise) {
      const Json* value = reader_.Find(name);
      settings_[name] = value == nullptr ? Json(otherwise) : *value;
    };
    state("temperature", params.temperature);
    state("top_p", params.top_p);
    settings_["max_output_tokens"] = params.max_tokens ? Json(*params.max_tokens) : Json();
    // Of calls to the server's own tools, of which there are none.
    std::optional<uint32_t> most;
    reader_.Whole("max_tool_calls", &most);
    settings_["max_tool_calls"] = most ? Json(*most) : Json();
    ReadTermsFields(reader_, &fields_->generation.terms);
    std::string tier = "default";
    reader_.String("service_tier", &tier);
    settings_["service_tier"] = tier == "auto" ? "default" : tier;
    if (const Json* options = reader_.Find("stream_options")) ReadStreamOptions(*options);
  }

  void ReadStreamOptions(const Json& options) {
    if (!options.is_object()) return reader_.Fail("stream_options", "an object");
    if (!fields_->form.stream) {
      return reader_.Fail("stream_options", "it only with \"stream\": true");
    }
    FieldReader inner(options);
    bool obfuscation = false;
    inner.Bool("include_obfuscation", &obfuscation);
    if (obfuscation) inner.Fail("include_obfuscation", "false: it is not supported");
    inner.RefuseUnknown();
    reader_.Adopt("stream_options", inner);
  }

  // What the output must be, in the interface's own way or in those of chats.
  void ReadText() {
    ReadConstraint(reader_, &fields_->generation);
    Json format = {{"type", "text"}};
    if (const Json* text = reader_.Find("text")) {
      if (!text->is_object()) return reader_.Fail("text", "an object");
      FieldReader inner(*text);
      std::string verbosity = "medium";
      inner.String("verbosity", &verbosity);
      if (verbosity != "medium") inner.Fail("verbosity", "\"medium\": others are not supported");
      if (const Json* given = inner.Find("format")) {
        ReadFormat(inner, *given);
        format = *given;
      }
      inner.RefuseUnknown();
      reader_.Adopt("text", inner);
    }
    settings_["text"] = {{"format", std::move(format)}, {"verbosity", "medium"}};
  }

  void ReadFormat(FieldReader& outer, const Json& format) {
    if (!format.is_object()) return outer.Fail("format", "an object");
    FieldReader inner(format);
    std::string type;
    inner.String("type", &type);
    GrammarSource source;
    if (type == "json_object") {
      source.kind = GrammarSource::Kind::kJsonObject;
    } else if (type == "json_schema") {
      source.kind = GrammarSource::Kind::kJsonSchema;
      std::string name, description;
      inner.String("name", &name);
      if (name.empty()) inner.Fail("name", "a name");
      inner.String("description", &description);
      bool strict = true;  // a schema is always kept to
      inner.Bool("strict", &strict);
      const Json* schema = inner.Find("schema");
      if (schema == nullptr || !schema->is_object()) {
        inner.Fail("schema", "a JSON schema");
      } else {
        source.text = ToText(*schema);
      }
    } else if (type != "text") {
      inner.Fail("type", "text, json_object or json_schema");
    }
    inner.RefuseUnknown();
    outer.Adopt("format", inner);
    if (type == "text") return;
    GenerationRequest& generation = fields_->generation;
    if (generation.constraint) {
      return outer.Refuse("format", fmt::format("{} is given, too; expected at most one",
                                                generation.constraint_field));
    }
    generation.constraint = std::move(source);
    generation.constraint_field = "text.format";
  }

  // Brings a tool into the form of chats; false, and a failure, if it cannot be.
  bool ReadTool(const Json& tool, const std::string& place, Json* stated, Json* chat) {
    if (!tool.is_object()) {
      reader_.Refuse(place, place + ": expected an object");
      return false;
    }
    FieldReader inner(tool);
    std::string type, name, description;
    inner.String("type", &type);
    if (type != "function") {
      inner.Fail("type", "\"function\": this server has no tools of its own");
    }
    inner.String("name", &name);
    if (name.empty()) inner.Fail("name", "a name");
    inner.String("description", &description);
    const Json* parameters = inner.Find("parameters");
    if (parameters != nullptr && !parameters->is_object()) {
      inner.Fail("parameters", "a JSON schema");
    }
    bool strict = false, deferred = false;
    inner.Bool("strict", &strict);
    inner.Bool("defer_loading", &deferred);
    if (deferred) inner.Fail("defer_loading", "false: it is not supported");
    const Json* callers = inner.Find("allowed_callers");
    if (callers != nullptr && *callers != Json::array({"direct"})) {
      inner.Fail("allowed_callers", "[\"direct\"]");
    }
    if (inner.Has("output_schema")) inner.Fail("output_schema", "nothing: it is not supported");
    inner.RefuseUnknown();
    reader_.Adopt(place, inner);
    if (!reader_.ok()) return false;
    Json function = {{"name", name}};
    if (!description.empty()) function["description"] = description;
    if (parameters != nullptr) function["parameters"] = *parameters;
    if (strict) function["strict"] = true;
    *stated = {{"type", "function"},
               {"name", name},
               {"description", description.empty() ? Json() : Json(description)},
               {"parameters", parameters == nullptr ? Json() : *parameters},
               {"strict", strict}};
    *chat = {{"type", "function"}, {"function", std::move(function)}};
    return true;
  }

  void ReadTools() {
    ToolChoice& choice = fields_->generation.tool_choice;
    reader_.Bool("parallel_tool_calls", &choice.parallel);
    settings_["parallel_tool_calls"] = choice.parallel;
    Json stated = Json::array();
    Json chat = Json::array();
    if (const Json* tools = reader_.Find("tools")) {
      if (!tools->is_array()) return reader_.Fail("tools", "a list of tools");
      for (size_t i = 0; i < tools->size(); ++i) {
        Json one, function;
        if (!ReadTool((*tools)[i], fmt::format("tools[{}]", i), &one, &function)) return;
        stated.push_back(std::move(one));
        chat.push_back(std::move(function));
      }
    }
    settings_["tools"] = std::move(stated);
    settings_["tool_choice"] = "auto";
    bool none = false;
    if (const Json* value = reader_.Find("tool_choice")) {
      settings_["tool_choice"] = *value;
      none = *value == "none";
      if (!none) ReadToolChoice(*value, &chat);
    }
    if (!none && !chat.empty()) fields_->tools = std::move(chat);
  }

  void ReadToolChoice(const Json& value, Json* tools) {
    ToolChoice& choice = fields_->generation.tool_choice;
    if (value == "auto") return;
    if (value == "required") {
      choice.kind = ToolChoice::Kind::kRequired;
      return;
    }
    constexpr const char* kExpected =
        "\"auto\", \"none\", \"required\", {\"type\":\"function\",\"name\"} or "
        "{\"type\":\"allowed_tools\",\"mode\",\"tools\"}";
    if (!value.is_object()) return reader_.Fail("tool_choice", kExpected);
    FieldReader inner(value);
    std::string type;
    inner.String("type", &type);
    if (type == "function") {
      choice.kind = ToolChoice::Kind::kNamed;
      inner.String("name", &choice.name);
      if (choice.name.empty()) inner.Fail("name", "the name of a function");
    } else if (type == "allowed_tools") {
      ReadAllowedTools(inner, tools);
    } else {
      return reader_.Fail("tool_choice", kExpected);
    }
    inner.RefuseUnknown();
    reader_.Adopt("tool_choice", inner);
  }

  // Leaves only the allowed tools: the model hears of no others.
  void ReadAllowedTools(FieldReader& inner, Json* tools) {
    std::string mode;
    inner.String("mode", &mode);
    if (mode == "required") {
      fields_->generation.tool_choice.kind = ToolChoice::Kind::kRequired;
    } else if (mode != "auto") {
      inner.Fail("mode", "\"auto\" or \"required\"");
    }
    constexpr const char* kExpected = "a list of {\"type\":\"function\",\"name\"} of the tools";
    const Json* list = inner.Find("tools");
    if (list == nullptr || !list->is_array()) return inner.Fail("tools", kExpected);
    std::set<std::string> known, allowed;
    for (const Json& tool : *tools) known.insert(tool["function"]["name"].get<std::string>());
    for (const Json& entry : *list) {
      if (!entry.is_object() || entry.size() != 2 || !entry.contains("type") ||
          entry["type"] != "function" || !entry.contains("name") || !entry["name"].is_string() ||
          !known.contains(entry["name"].get_ref<const std::string&>())) {
        return inner.Fail("tools", kExpected);
      }
      allowed.insert(entry["name"].get<std::string>());
    }
    Json left = Json::array();
    for (Json& tool : *tools) {
      if (allowed.contains(tool["function"]["name"].get_ref<const std::string&>())) {
        left.push_back(std::move(tool));
      }
    }
    *tools = std::move(left);
  }

  void ReadReasoning() {
    settings_["reasoning"] = {{"effort", nullptr}, {"summary", nullptr}};
    if (const Json* kwargs = reader_.Find("chat_template_kwargs")) {
      if (!kwargs->is_object()) return reader_.Fail("chat_template_kwargs", "an object");
      fields_->kwargs = *kwargs;
    }
    const Json* reasoning = reader_.Find("reasoning");
    if (reasoning == nullptr) return;
    if (!reasoning->is_object()) return reader_.Fail("reasoning", "an object");
    FieldReader inner(*reasoning);
    std::string effort, context = "auto", mode = "standard";
    inner.String("effort", &effort);
    constexpr const char* kEfforts[] = {"",       "none", "minimal", "low",
                                        "medium", "high", "xhigh",   "max"};
    if (std::ranges::find(kEfforts, effort) == std::end(kEfforts)) {
      inner.Fail("effort", "none, minimal, low, medium, high, xhigh or max");
    }
    for (const char* name : {"summary", "generate_summary"}) {
      std::string summary = "auto";  // as the model can: it writes none
      inner.String(name, &summary);
      if (summary != "auto") inner.Fail(name, "\"auto\": reasoning is not summarised");
    }
    inner.String("context", &context);
    if (context != "auto") inner.Fail("context", "\"auto\": the model's template chooses");
    inner.String("mode", &mode);
    if (mode != "standard") inner.Fail("mode", "\"standard\"");
    inner.RefuseUnknown();
    reader_.Adopt("reasoning", inner);
    if (effort.empty()) return;
    settings_["reasoning"]["effort"] = effort;
    Json& kwargs = fields_->kwargs;
    if (kwargs.is_null()) kwargs = Json::object();
    kwargs["reasoning_effort"] = effort;
    // The two names under which templates know the switch.
    if (effort == "none") kwargs["enable_thinking"] = kwargs["thinking"] = false;
  }

  void ReadInclude() {
    bool logprobs = false;
    if (const Json* include = reader_.Find("include")) {
      // What belongs to tools and inputs that cannot be here is included by including nothing;
      // reasoning comes in clear, so that nothing encrypted is needed to give it back.
      constexpr const char* kKnown[] = {"message.output_text.logprobs",
                                        "reasoning.encrypted_content",
                                        "file_search_call.results",
                                        "web_search_call.results",
                                        "web_search_call.action.sources",
                                        "message.input_image.image_url",
                                        "computer_call_output.output.image_url",
                                        "code_interpreter_call.outputs"};
      if (!include->is_array()) return reader_.Fail("include", "a list of texts");
      for (const Json& name : *include) {
        if (!name.is_string() ||
            std::ranges::find(kKnown, name.get_ref<const std::string&>()) == std::end(kKnown)) {
          return reader_.Fail("include", fmt::format("some of {}", fmt::join(kKnown, ", ")));
        }
        logprobs |= name == kKnown[0];
      }
    }
    std::optional<uint32_t> top;
    reader_.Whole("top_logprobs", &top);
    if (top && *top > 20) return reader_.Fail("top_logprobs", "0 to 20");
    settings_["top_logprobs"] = top.value_or(0);
    if (logprobs || top.value_or(0) > 0) fields_->generation.params.logprobs = top.value_or(0);
  }

  void ReadInformation() {
    for (const char* name : {"user", "safety_identifier", "prompt_cache_key"}) {
      std::string value;
      reader_.String(name, &value);
      settings_[name] = value.empty() ? Json() : Json(value);
    }
    std::string retention = "in_memory";
    reader_.String("prompt_cache_retention", &retention);
    if (retention != "in_memory") reader_.Fail("prompt_cache_retention", "\"in_memory\"");
    settings_["metadata"] = Json::object();
    ReadMetadata(reader_, &settings_["metadata"]);
  }

  void RefuseUnsupported() {
    for (const char* name : {"conversation", "prompt", "context_management", "moderation", "image",
                             "access_programs", "background_options", "prompt_cache_options"}) {
      if (reader_.Has(name)) reader_.Fail(name, "nothing: it is not supported");
    }
  }

  FieldReader& reader_;
  ResponseFields* const fields_;
  Json& settings_;
};

}  // namespace

void ReadResponseFields(FieldReader& reader, ResponseFields* fields) {
  FieldsReader(reader, fields).Read();
}

}  // namespace pelton
