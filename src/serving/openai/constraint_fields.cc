#include "serving/openai/constraint_fields.h"

#include <fmt/format.h>

#include <utility>

namespace pelton {
namespace {

using Kind = GrammarSource::Kind;

class ConstraintReader {
 public:
  ConstraintReader(FieldReader& reader, GenerationRequest* request)
      : reader_(reader), request_(request) {}

  void Set(const std::string& field, Kind kind, std::string text) {
    if (request_->constraint) {
      return reader_.Refuse(field, fmt::format("{} and {} are given, expected at most one",
                                               request_->constraint_field, field));
    }
    request_->constraint = GrammarSource{.kind = kind, .text = std::move(text), .before = {}};
    request_->constraint_field = field;
  }

  // A schema may come as an object or as its text.
  void SetSchema(const std::string& field, const Json& schema) {
    Set(field, Kind::kJsonSchema, schema.is_string() ? schema.get<std::string>() : ToText(schema));
  }

  // `fields`: an object of which one member is the constraint; `prefix` names it in messages.
  void Read(FieldReader& fields, const std::string& prefix, const char* json, const char* regex,
            const char* choice, const char* grammar) {
    if (const Json* schema = fields.Find(json)) SetSchema(prefix + json, *schema);
    std::string text;
    for (const auto& [name, kind] :
         {std::pair{regex, Kind::kRegex}, std::pair{grammar, Kind::kEbnf}}) {
      if (!fields.Has(name)) continue;
      fields.String(name, &text);
      Set(prefix + name, kind, std::move(text));
    }
    if (const Json* list = fields.Find(choice)) Set(prefix + choice, Kind::kChoice, ToText(*list));
  }

  void ReadResponseFormat(const Json& format) {
    constexpr const char* kExpected =
        "an object with the type text, json_object, json_schema or structural_tag";
    const auto type = format.is_object() ? format.find("type") : format.end();
    if (!format.is_object() || type == format.end() || !type->is_string()) {
      return reader_.Fail("response_format", kExpected);
    }
    if (*type == "text") return;
    if (*type == "json_object") {
      // llama.cpp takes a schema here.
      const auto schema = format.find("schema");
      if (schema != format.end() && !schema->is_null())
        return SetSchema("response_format", *schema);
      return Set("response_format", Kind::kJsonObject, "");
    }
    if (*type == "structural_tag") {
      return Set("response_format", Kind::kStructuralTag, ToText(format));
    }
    if (*type != "json_schema") return reader_.Fail("response_format", kExpected);
    ReadSchemaFormat(format);
  }

 private:
  void ReadSchemaFormat(const Json& format) {
    const auto wrapper = format.find("json_schema");
    if (wrapper == format.end() || !wrapper->is_object()) {
      return reader_.Refuse("response_format.json_schema",
                            "response_format.json_schema: expected an object with a schema");
    }
    FieldReader inner(*wrapper);
    std::string ignored;
    inner.String("name", &ignored);
    inner.String("description", &ignored);
    bool strict = true;  // a schema is always kept to
    inner.Bool("strict", &strict);
    const Json* schema = inner.Find("schema");
    if (schema == nullptr) inner.Fail("schema", "a JSON schema");
    inner.RefuseUnknown();
    if (!inner.ok()) {
      return reader_.Refuse("response_format.json_schema." + inner.failed_field(),
                            "response_format.json_schema." + inner.status().message());
    }
    SetSchema("response_format", *schema);
  }

  FieldReader& reader_;
  GenerationRequest* const request_;
};

}  // namespace

void ReadConstraint(FieldReader& reader, GenerationRequest* request) {
  ConstraintReader constraint(reader, request);
  if (const Json* format = reader.Find("response_format")) constraint.ReadResponseFormat(*format);
  constraint.Read(reader, "", "guided_json", "guided_regex", "guided_choice", "guided_grammar");
  if (const Json* schema = reader.Find("json_schema")) constraint.SetSchema("json_schema", *schema);
  std::string grammar;
  reader.String("grammar", &grammar);
  if (!grammar.empty()) constraint.Set("grammar", Kind::kEbnf, grammar);
  const Json* outputs = reader.Find("structured_outputs");
  if (outputs == nullptr) return;
  if (!outputs->is_object()) return reader.Fail("structured_outputs", "an object");
  FieldReader inner(*outputs);
  constraint.Read(inner, "structured_outputs.", "json", "regex", "choice", "grammar");
  bool any_object = false;
  inner.Bool("json_object", &any_object);
  if (any_object) constraint.Set("structured_outputs.json_object", Kind::kJsonObject, "");
  if (const Json* tag = inner.Find("structural_tag")) {
    constraint.Set("structured_outputs.structural_tag", Kind::kStructuralTag,
                   tag->is_string() ? tag->get<std::string>() : ToText(*tag));
  }
  inner.RefuseUnknown();
  if (!inner.ok()) {
    reader.Refuse("structured_outputs." + inner.failed_field(),
                  "structured_outputs." + inner.status().message());
  }
}

void ReadToolChoice(FieldReader& reader, GenerationRequest* request) {
  ToolChoice& choice = request->tool_choice;
  reader.Bool("parallel_tool_calls", &choice.parallel);
  const Json* value = reader.Find("tool_choice");
  if (value == nullptr) return;
  constexpr const char* kExpected =
      "\"auto\", \"none\", \"required\" or {\"type\":\"function\",\"function\":{\"name\"}}";
  if (*value == "auto" || *value == "none") return;
  if (*value == "required") {
    choice.kind = ToolChoice::Kind::kRequired;
  } else {
    if (!value->is_object() || !value->contains("function") || !(*value)["function"].is_object() ||
        !(*value)["function"].contains("name") || !(*value)["function"]["name"].is_string()) {
      return reader.Fail("tool_choice", kExpected);
    }
    choice.kind = ToolChoice::Kind::kNamed;
    choice.name = (*value)["function"]["name"].get<std::string>();
  }
  if (const std::string problem = ToolChoiceProblem(*request); !problem.empty()) {
    reader.Refuse("tool_choice", problem);
  }
}

}  // namespace pelton
