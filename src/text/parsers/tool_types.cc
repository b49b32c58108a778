#include "text/parsers/tool_types.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "text/parsers/json_scanner.h"

namespace pelton {
namespace {

using Json = nlohmann::json;

constexpr int kMaxReferenceDepth = 16;  // of schemas inside each other, $ref included
constexpr int kMaxSchemas = 256;        // looked at for one argument

}  // namespace

void ToolTypes::Collect(const Json& schema, const Json& root, int depth, int* budget,
                        Types* types) {
  if (!schema.is_object() || depth > kMaxReferenceDepth || --*budget < 0) return;
  const auto add = [types](const Json& name) {
    if (name == "string") {
      types->string = true;
    } else if (name == "null") {
      types->null = true;
    } else if (name == "boolean") {
      types->boolean = true;
    } else if (name.is_string()) {
      types->other = true;
    }
  };
  const auto add_value = [&](const Json& value) {
    add(value.is_string()    ? "string"
        : value.is_null()    ? "null"
        : value.is_boolean() ? "boolean"
                             : "number");
  };
  if (const auto type = schema.find("type"); type != schema.end()) {
    if (type->is_array()) {
      for (const Json& one : *type) add(one);
    } else {
      add(*type);
    }
  } else if (const auto values = schema.find("enum");
             values != schema.end() && values->is_array()) {
    for (const Json& value : *values) add_value(value);
  } else if (const auto value = schema.find("const"); value != schema.end()) {
    add_value(*value);
  }
  for (const char* key : {"anyOf", "oneOf", "allOf"}) {
    const auto list = schema.find(key);
    if (list == schema.end() || !list->is_array()) continue;
    for (const Json& one : *list) Collect(one, root, depth + 1, budget, types);
  }
  const auto reference = schema.find("$ref");
  if (reference == schema.end() || !reference->is_string()) return;
  const std::string path = reference->get<std::string>();
  for (const std::string_view folder : {"#/$defs/", "#/definitions/"}) {
    if (!path.starts_with(folder)) continue;
    const auto defs = root.find(folder.substr(2, folder.size() - 3));
    if (defs == root.end() || !defs->is_object()) continue;
    const auto target = defs->find(path.substr(folder.size()));
    if (target != defs->end()) Collect(*target, root, depth + 1, budget, types);
  }
}

Result<ToolTypes> ToolTypes::Make(std::span<const ToolSpec> tools) {
  ToolTypes result;
  for (const ToolSpec& tool : tools) {
    auto& arguments = result.tools_[tool.name];
    if (tool.parameters_json.empty()) continue;
    // The scanner bounds the depth before anything recursive sees the schema.
    const Json schema = IsJsonObject(tool.parameters_json)
                            ? Json::parse(tool.parameters_json, nullptr, false)
                            : Json();
    if (!schema.is_object()) {
      return InvalidArgument("parameters of tool \"" + tool.name +
                             "\": expected a JSON object, at most 256 levels deep");
    }
    const auto properties = schema.find("properties");
    if (properties == schema.end() || !properties->is_object()) continue;
    for (const auto& [name, property] : properties->items()) {
      int budget = kMaxSchemas;
      Collect(property, schema, 0, &budget, &arguments[name]);
    }
  }
  return result;
}

std::string ToolTypes::JsonValue(std::string_view tool, std::string_view name,
                                 std::string_view text) const {
  const auto arguments = tools_.find(tool);
  if (arguments == tools_.end()) return JsonQuoted(text);
  const auto found = arguments->second.find(name);
  if (found == arguments->second.end()) return JsonQuoted(text);
  const Types& types = found->second;
  const size_t first = text.find_first_not_of(" \n\r\t");
  if (first == std::string_view::npos) return JsonQuoted(text);
  const std::string_view trimmed = text.substr(first, text.find_last_not_of(" \n\r\t") + 1 - first);
  if (types.null && (trimmed == "null" || trimmed == "None")) return "null";
  if (types.string || !(types.boolean || types.null || types.other)) return JsonQuoted(text);
  if (types.boolean && trimmed == "True") return "true";
  if (types.boolean && trimmed == "False") return "false";
  return IsJson(trimmed) ? std::string(trimmed) : JsonQuoted(text);
}

void ArgumentList::Clear() {
  members_.clear();
  index_.clear();
}

void ArgumentList::Add(std::string name, std::string json_value) {
  const auto [place, is_new] = index_.try_emplace(name, members_.size());
  if (is_new) {
    members_.emplace_back(std::move(name), std::move(json_value));
  } else {
    members_[place->second].second = std::move(json_value);
  }
}

std::string ArgumentList::Json() const {
  std::string json = "{";
  for (const auto& [name, value] : members_) {
    if (json.size() > 1) json += ", ";
    json += JsonQuoted(name);
    json += ": ";
    json += value;
  }
  return json + "}";
}

}  // namespace pelton
