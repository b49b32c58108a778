#include "serving/http/openapi.h"

#include <fmt/format.h>

#include <string_view>
#include <utility>

#include "base/check.h"
#include "runtime/schedule/service_class.h"
#include "serving/request/field_reader.h"

namespace pelton {
namespace {

Json SchemaOf(std::string_view text) {
  Result<Json> schema = ParseJson(text);
  PELTON_CHECK(schema.ok() && schema->is_object(), "documents of routes hold JSON schemas");
  return std::move(schema).value();
}

// The schema of a field that may be null, which readers take for an absent one.
Json OrNull(Json schema) {
  if (const auto list = schema.find("enum"); list != schema.end()) {
    list->push_back(nullptr);
  } else if (const auto any = schema.find("anyOf"); any != schema.end()) {
    any->push_back({{"type", "null"}});
  } else if (const auto type = schema.find("type"); type != schema.end()) {
    if (type->is_string()) *type = Json::array({*type});
    type->push_back("null");
  }
  return schema;
}

Json FieldSchema(const FieldDocs& field) {
  Json schema = SchemaOf(field.schema);
  if (!field.required) schema = OrNull(std::move(schema));
  if (!field.says.empty()) schema["description"] = field.says;
  return schema;
}

Json BodySchema(const RouteDocs& docs) {
  Json properties = Json::object();
  Json required = Json::array();
  for (const auto& table : docs.body) {
    for (const FieldDocs& field : table) {
      PELTON_CHECK(!properties.contains(field.name), "a field is described once");
      properties[std::string(field.name)] = FieldSchema(field);
      if (field.required) required.push_back(field.name);
    }
  }
  Json schema = {{"type", "object"}, {"properties", std::move(properties)}};
  if (!required.empty()) schema["required"] = std::move(required);
  schema["additionalProperties"] = false;
  return schema;
}

// The schema that an example has; its texts may be null.
Json SchemaOfExample(const Json& example) {
  if (!example.is_object()) return {{"type", {"string", "null"}}};
  Json properties = Json::object();
  Json required = Json::array();
  for (const auto& [name, value] : example.items()) {
    properties[name] = SchemaOfExample(value);
    required.push_back(name);
  }
  return {
      {"type", "object"}, {"properties", std::move(properties)}, {"required", std::move(required)}};
}

Json ErrorAnswers(ErrorShape errors) {
  const Result<Json> example = ParseJson(errors({.message = "m", .param = "p", .code = "c"}));
  PELTON_CHECK(example.ok(), "errors are JSON");
  const Json content = {{"application/json", {{"schema", SchemaOfExample(*example)}}}};
  const Json later = {
      {"Retry-After",
       {{"description", "Seconds"}, {"schema", {{"type", "integer"}, {"minimum", 0}}}}}};
  return {{"4XX", {{"description", "The request is refused"}, {"content", content}}},
          {"500", {{"description", "Something failed"}, {"content", content}}},
          {"503", {{"description", "Not now"}, {"headers", later}, {"content", content}}}};
}

Json Parameter(const char* in, std::string_view name, bool required, Json schema) {
  return {{"name", name}, {"in", in}, {"required", required}, {"schema", std::move(schema)}};
}

// "/models/*" as "/v1/models/{name}".
std::string PathOf(const Route& route) {
  std::string path = (route.versioned ? "/v1" : "") + route.path;
  if (path.ends_with("/*")) path.replace(path.size() - 1, 1, "{name}");
  return path;
}

Json ParametersOf(const Route& route, const RouteDocs& docs) {
  Json parameters = Json::array();
  if (route.path.ends_with("/*")) {
    parameters.push_back(Parameter("path", "name", true, {{"type", "string"}}));
  }
  for (const FieldDocs& field : docs.query) {
    parameters.push_back(Parameter("query", field.name, field.required, SchemaOf(field.schema)));
  }
  if (!route.generates) return parameters;
  Json classes = Json::array();
  for (size_t i = 0; i < kNumServiceClasses; ++i) {
    classes.push_back(ServiceClassName(static_cast<ServiceClass>(i)));
  }
  parameters.push_back(
      Parameter("header", "X-Pelton-Class", false, {{"enum", std::move(classes)}}));
  parameters.push_back(Parameter("header", "X-Request-Timeout-Ms", false,
                                 {{"type", "integer"}, {"minimum", 1}, {"maximum", 86'400'000}}));
  return parameters;
}

Json Operation(const Route& route, const RouteDocs& docs, ErrorShape errors, bool keys) {
  Json operation = {{"summary", docs.summary}};
  if (route.versioned) operation["description"] = "Also without /v1.";
  if (Json parameters = ParametersOf(route, docs); !parameters.empty()) {
    operation["parameters"] = std::move(parameters);
  }
  if (!docs.body.empty()) {
    Json content = {{std::string(docs.body_media), {{"schema", BodySchema(docs)}}}};
    operation["requestBody"] = {{"required", true}, {"content", std::move(content)}};
  }
  Json content = Json::object();
  const std::string media(docs.media);
  content[media] = Json::object();
  if (docs.answer != "{}") content[media]["schema"] = SchemaOf(docs.answer);
  if (!docs.events.empty()) content[std::string(docs.events)] = Json::object();
  Json responses = ErrorAnswers(errors);
  responses["200"] = {{"description", "Done"}, {"content", std::move(content)}};
  operation["responses"] = std::move(responses);
  if (keys && !route.open) {
    operation["security"] = {{{"bearer", Json::array()}}, {{"key", Json::array()}}};
  }
  return operation;
}

}  // namespace

std::string OpenApiText(const RouteTable& table, const std::string& version, bool keys) {
  static const RouteDocs nothing{};
  Json paths = Json::object();
  for (size_t i = 0; i < table.routes().size(); ++i) {
    const Route& route = table.routes()[i];
    const RouteDocs* docs = table.DocsOf(i);
    std::string method = route.method;
    for (char& c : method) c = static_cast<char>(c | 0x20);
    paths[PathOf(route)][method] =
        Operation(route, docs != nullptr ? *docs : nothing, table.ErrorsOf(route.path), keys);
  }
  Json usage = {{"type", "object"},
                {"required", {"prompt_tokens", "completion_tokens", "total_tokens"}}};
  Json components = {{"schemas", {{"Usage", std::move(usage)}}}};
  if (keys) {
    components["securitySchemes"] = {
        {"bearer", {{"type", "http"}, {"scheme", "bearer"}}},
        {"key", {{"type", "apiKey"}, {"in", "header"}, {"name", "X-Api-Key"}}}};
  }
  return ToText({{"openapi", "3.1.0"},
                 {"info", {{"title", "Pelton"}, {"version", version}}},
                 {"paths", std::move(paths)},
                 {"components", std::move(components)}});
}

}  // namespace pelton
