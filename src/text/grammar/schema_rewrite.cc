#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <utility>

#include "text/grammar/grammar_format.h"

namespace pelton::grammar {
namespace {

constexpr size_t kMaxSchemaDepth = 128;
constexpr size_t kMaxSchemas = 8192;  // written, after everything was merged
constexpr int64_t kMaxCount = 4096;   // of items, characters and members

// What says nothing about the value.
constexpr std::array<std::string_view, 17> kAnnotations = {
    "title",   "description", "default",   "examples",         "example",    "$schema",
    "$id",     "$comment",    "readOnly",  "writeOnly",        "deprecated", "$defs",
    "$anchor", "strict",      "nullable_", "contentMediaType", "definitions"};
// What is handed over as it is, or after a rewriting of its own.
constexpr std::array<std::string_view, 24> kKnown = {"type",
                                                     "enum",
                                                     "const",
                                                     "properties",
                                                     "required",
                                                     "items",
                                                     "minItems",
                                                     "maxItems",
                                                     "prefixItems",
                                                     "additionalProperties",
                                                     "minLength",
                                                     "maxLength",
                                                     "pattern",
                                                     "format",
                                                     "minimum",
                                                     "maximum",
                                                     "anyOf",
                                                     "exclusiveMinimum",
                                                     "exclusiveMaximum",
                                                     "oneOf",
                                                     "minProperties",
                                                     "allOf",
                                                     "$ref",
                                                     "maxProperties"};
constexpr std::array<std::string_view, 7> kTypes = {"object",  "array",   "string", "number",
                                                    "integer", "boolean", "null"};

bool IsIn(std::string_view name, const auto& names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

Status Refuse(std::string_view keyword, std::string_view problem) {
  return InvalidArgument(fmt::format("schema: {}: {}", keyword, problem));
}

bool HasType(const Json& value, std::string_view type) {
  if (type == "object") return value.is_object();
  if (type == "array") return value.is_array();
  if (type == "string") return value.is_string();
  if (type == "boolean") return value.is_boolean();
  if (type == "null") return value.is_null();
  if (type == "number") return value.is_number();
  if (!value.is_number()) return false;
  return value.is_number_integer() ||
         value.get<double>() == static_cast<double>(value.get<int64_t>());
}

// Whether `type`, a name or a list of names, allows the value.
bool TypeAllows(const Json& type, const Json& value) {
  if (type.is_string()) return HasType(value, type.get_ref<const std::string&>());
  return std::any_of(type.begin(), type.end(), [&](const Json& one) {
    return HasType(value, one.get_ref<const std::string&>());
  });
}

// Whether the limits on numbers allow the value.
bool IsInRange(const Json& schema, const Json& value) {
  if (!value.is_number()) return true;
  const double number = value.get<double>();
  const auto limit = [&](const char* key, double otherwise) {
    return schema.contains(key) ? schema[key].get<double>() : otherwise;
  };
  return number >= limit("minimum", number) && number <= limit("maximum", number) &&
         number > limit("exclusiveMinimum", number - 1) &&
         number < limit("exclusiveMaximum", number + 1);
}

class SchemaRewriter {
 public:
  explicit SchemaRewriter(const Json& root) : root_(root) {}

  Result<Json> Run() {
    ASSIGN_OR_RETURN(Json out, Rewrite(root_, 0));
    // Rewriting a definition may find further ones.
    while (!pending_.empty()) {
      const auto [pointer, schema] = pending_.back();
      pending_.pop_back();
      ASSIGN_OR_RETURN(definitions_[names_[pointer]], Rewrite(*schema, 0));
    }
    RETURN_IF_ERROR(CheckFinite(out));
    if (definitions_.empty()) return out;
    if (out.is_boolean()) return out;
    Json defs = Json::object();
    for (auto& [name, schema] : definitions_) defs[name] = std::move(schema);
    out["$defs"] = std::move(defs);
    return out;
  }

 private:
  Result<Json> Rewrite(const Json& schema, size_t depth);
  Result<Json> RewriteObject(Json in, size_t depth);
  Result<Json> Flatten(const Json& schema, size_t depth);
  Status Merge(Json* into, const Json& other);
  Status CheckShapes(const Json& schema) const;
  Result<std::string> NameOf(const Json& reference, bool follow);
  Result<const Json*> Resolve(const std::string& pointer) const;
  Result<Json> Constants(const Json& schema);
  Json Constant(const Json& value);
  Result<Json> Branches(const char* keyword, const Json& schema, size_t depth);
  Status CheckFinite(const Json& schema);
  bool IsFinite(const Json& schema, const std::set<std::string>& finite) const;

  const Json& root_;
  size_t written_ = 0;
  std::map<std::string, std::string> names_;  // of definitions, by their pointer
  std::map<std::string, Json> definitions_;
  std::vector<std::pair<std::string, const Json*>> pending_;
};

Result<const Json*> SchemaRewriter::Resolve(const std::string& pointer) const {
  const auto missing = [&] {
    return Refuse("$ref", fmt::format("\"{}\" names nothing in this schema", pointer));
  };
  if (!pointer.starts_with('#')) {
    return Refuse("$ref", fmt::format("found \"{}\", expected a reference into this schema, #/…",
                                      pointer.substr(0, 80)));
  }
  if (pointer.size() == 1) return &root_;
  if (pointer[1] != '/') return missing();
  const Json* at = &root_;
  size_t begin = 2;
  while (true) {
    const size_t end = std::min(pointer.find('/', begin), pointer.size());
    std::string key;
    for (size_t i = begin; i < end; ++i) {
      const std::string_view rest = std::string_view(pointer).substr(i, 3);
      if (rest.starts_with("~0") || rest.starts_with("~1")) {
        key += rest[1] == '0' ? '~' : '/';
        ++i;
      } else if (rest.starts_with("%") && rest.size() == 3) {
        const auto digit = [](char c) {
          if (c >= '0' && c <= '9') return c - '0';
          if (c >= 'a' && c <= 'f') return c - 'a' + 10;
          return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        };
        if (digit(rest[1]) < 0 || digit(rest[2]) < 0) return missing();
        key += static_cast<char>(digit(rest[1]) * 16 + digit(rest[2]));
        i += 2;
      } else {
        key += pointer[i];
      }
    }
    if (at->is_object() && at->contains(key)) {
      at = &(*at)[key];
    } else if (at->is_array() && key.size() < 6 && !key.empty() &&
               key.find_first_not_of("0123456789") == std::string::npos) {
      size_t index = 0;
      for (const char c : key) index = index * 10 + static_cast<size_t>(c - '0');
      if (index >= at->size()) return missing();
      at = &(*at)[index];
    } else {
      return missing();
    }
    if (end == pointer.size()) return at;
    begin = end + 1;
  }
}

Result<std::string> SchemaRewriter::NameOf(const Json& reference, bool follow) {
  if (!reference.is_string()) return Refuse("$ref", "expected a text");
  std::string pointer = reference.get<std::string>();
  ASSIGN_OR_RETURN(const Json* target, Resolve(pointer));
  // A chain of references is one reference to its end.
  for (size_t hops = 0; target->is_object() && target->contains("$ref"); ++hops) {
    if (hops == kMaxSchemaDepth) return Refuse("$ref", "the references lead in a circle");
    const Json& next = (*target)["$ref"];
    const bool alone = std::all_of(target->items().begin(), target->items().end(), [](auto& item) {
      return item.key() == "$ref" || IsIn(item.key(), kAnnotations);
    });
    if (!alone || !next.is_string()) break;
    pointer = next.get<std::string>();
    ASSIGN_OR_RETURN(target, Resolve(pointer));
  }
  if (!follow) return pointer;
  const auto [place, is_new] = names_.try_emplace(pointer, fmt::format("d{}", names_.size()));
  if (is_new) pending_.emplace_back(pointer, target);
  return place->second;
}

Status SchemaRewriter::CheckShapes(const Json& schema) const {
  for (const auto& [key, value] : schema.items()) {
    if (key == "type") {
      const bool list = value.is_array() && !value.empty();
      if (!list && !value.is_string()) return Refuse(key, "expected a name or a list of names");
      const Json names = list ? value : Json::array({value});
      for (const Json& name : names) {
        if (!name.is_string() || !IsIn(name.get_ref<const std::string&>(), kTypes)) {
          return Refuse(key, "expected object, array, string, number, integer, boolean or null");
        }
      }
    } else if (key == "minItems" || key == "maxItems" || key == "minLength" || key == "maxLength" ||
               key == "minProperties" || key == "maxProperties") {
      if (!value.is_number_unsigned()) return Refuse(key, "expected a whole number from 0 on");
      if (value > kMaxCount) {
        return Refuse(key, fmt::format("found {}, expected at most {}", value.dump(), kMaxCount));
      }
    } else if (key == "minimum" || key == "maximum" || key == "exclusiveMinimum" ||
               key == "exclusiveMaximum") {
      if (!value.is_number() || std::abs(value.get<double>()) >= 9.2e18) {
        return Refuse(key, "expected a number of less than 9.2e18 in size");
      }
    } else if (key == "properties") {
      if (!value.is_object()) return Refuse(key, "expected an object");
    } else if (key == "required") {
      if (!value.is_array() || !std::all_of(value.begin(), value.end(),
                                            [](const Json& one) { return one.is_string(); })) {
        return Refuse(key, "expected a list of names");
      }
    } else if (key == "enum") {
      if (!value.is_array() || value.empty()) return Refuse(key, "expected at least one value");
    } else if (key == "anyOf" || key == "oneOf" || key == "allOf" || key == "prefixItems") {
      if (!value.is_array() || value.empty()) return Refuse(key, "expected at least one schema");
    } else if (key == "pattern" || key == "format") {
      if (!value.is_string()) return Refuse(key, "expected a text");
    } else if (!IsIn(key, kKnown) && !IsIn(key, kAnnotations)) {
      return Refuse(key.substr(0, 40), "this keyword is not supported");
    }
  }
  for (const auto& [low, high] :
       {std::pair{"minItems", "maxItems"}, std::pair{"minLength", "maxLength"},
        std::pair{"minimum", "maximum"}, std::pair{"minProperties", "maxProperties"}}) {
    if (schema.contains(low) && schema.contains(high) && schema[low] > schema[high]) {
      return Refuse(low, fmt::format("it is above {}, so that nothing can match", high));
    }
  }
  return OkStatus();
}

// `into` and `other` at once.
Status SchemaRewriter::Merge(Json* into, const Json& other) {
  const auto closed = [](const Json& schema) { return schema.contains("additionalProperties"); };
  if ((closed(*into) && other.contains("properties")) ||
      (closed(other) && into->contains("properties"))) {
    return Refuse("additionalProperties", "beside properties of another part it is not supported");
  }
  for (const auto& [key, value] : other.items()) {
    if (IsIn(key, kAnnotations)) continue;
    const auto mine = into->find(key);
    if (mine == into->end()) {
      (*into)[key] = value;
    } else if (key == "properties" && mine->is_object() && value.is_object()) {
      for (const auto& [name, schema] : value.items()) {
        const auto same = mine->find(name);
        if (same == mine->end()) {
          (*mine)[name] = schema;
        } else if (*same != schema) {
          *same = {{"allOf", Json::array({*same, schema})}};
        }
      }
    } else if (key == "required" && mine->is_array() && value.is_array()) {
      for (const Json& name : value) {
        if (std::find(mine->begin(), mine->end(), name) == mine->end()) mine->push_back(name);
      }
    } else if (key.starts_with("min") || key == "exclusiveMinimum") {
      if (value > *mine) *mine = value;
    } else if (key.starts_with("max") || key == "exclusiveMaximum") {
      if (value < *mine) *mine = value;
    } else if (key == "enum" && mine->is_array() && value.is_array()) {
      Json both = Json::array();
      for (const Json& one : *mine) {
        if (std::find(value.begin(), value.end(), one) != value.end()) both.push_back(one);
      }
      *mine = std::move(both);
    } else if (key == "type" && *mine == "number" && value == "integer") {
      *mine = value;
    } else if (*mine != value && !(key == "type" && *mine == "integer" && value == "number")) {
      return Refuse(key, "two different ones at once are not supported");
    }
  }
  return OkStatus();
}

// The schema without allOf, and without anything beside a reference.
Result<Json> SchemaRewriter::Flatten(const Json& schema, size_t depth) {
  if (depth > kMaxSchemaDepth) return Refuse("allOf", "the schemas are nested too deep");
  if (++written_ > kMaxSchemas) return Refuse("allOf", "the parts come to too many schemas");
  if (schema == true) return Json::object();
  if (!schema.is_object()) return Refuse("allOf", "expected objects");
  RETURN_IF_ERROR(CheckShapes(schema));
  Json out = Json::object();
  for (const auto& [key, value] : schema.items()) {
    if (key != "allOf" && key != "$ref" && !IsIn(key, kAnnotations)) out[key] = value;
  }
  Json parts = schema.value("allOf", Json::array());
  if (schema.contains("$ref")) {
    if (out.empty() && parts.empty()) return Json{{"$ref", schema["$ref"]}};
    ASSIGN_OR_RETURN(const std::string pointer, NameOf(schema["$ref"], false));
    ASSIGN_OR_RETURN(const Json* target, Resolve(pointer));
    parts.push_back(*target);
  }
  if (parts.size() == 1 && out.empty()) return Flatten(parts[0], depth + 1);
  for (const Json& part : parts) {
    ASSIGN_OR_RETURN(Json flat, Flatten(part, depth + 1));
    if (flat.contains("$ref")) {
      ASSIGN_OR_RETURN(const std::string pointer, NameOf(flat["$ref"], false));
      ASSIGN_OR_RETURN(const Json* target, Resolve(pointer));
      ASSIGN_OR_RETURN(flat, Flatten(*target, depth + 1));
    }
    RETURN_IF_ERROR(Merge(&out, flat));
  }
  return out;
}

Json SchemaRewriter::Constant(const Json& value) {
  if (value.is_object()) {
    Json out = {{"type", "object"},
                {"properties", Json::object()},
                {"required", Json::array()},
                {"additionalProperties", false}};
    for (const auto& [key, member] : value.items()) {
      out["properties"][key] = Constant(member);
      out["required"].push_back(key);
    }
    return out;
  }
  if (value.is_array() && !value.empty()) {
    Json out = {{"type", "array"},
                {"prefixItems", Json::array()},
                {"items", false},
                {"minItems", value.size()},
                {"maxItems", value.size()}};
    for (const Json& item : value) out["prefixItems"].push_back(Constant(item));
    return out;
  }
  return {{"const", value}};
}

// enum and const: the values that the rest of the schema allows, as far as it can be told.
Result<Json> SchemaRewriter::Constants(const Json& schema) {
  Json values = schema.contains("enum") ? schema["enum"] : Json::array({schema["const"]});
  const char* keyword = schema.contains("enum") ? "enum" : "const";
  if (schema.contains("enum") && schema.contains("const")) {
    const bool listed = std::find(values.begin(), values.end(), schema["const"]) != values.end();
    values = listed ? Json::array({schema["const"]}) : Json::array();
  }
  Json kept = Json::array();
  for (const Json& value : values) {
    const bool has_type = !schema.contains("type") || TypeAllows(schema["type"], value);
    if (has_type && IsInRange(schema, value)) kept.push_back(value);
  }
  if (kept.empty()) return Refuse(keyword, "no value has the type, so that nothing can match");
  for (const auto& [key, value] : schema.items()) {
    const bool is_range = key == "minimum" || key == "maximum" || key.starts_with("exclusive");
    if (key != "enum" && key != "const" && key != "type" && !is_range) {
      return Refuse(key, fmt::format("beside {} it is not supported", keyword));
    }
  }
  const bool plain = std::none_of(kept.begin(), kept.end(), [](const Json& value) {
    return value.is_structured() && !value.empty();
  });
  if (plain) return Json{{"enum", std::move(kept)}};
  Json branches = Json::array();
  for (const Json& value : kept) branches.push_back(Constant(value));
  return Json{{"anyOf", std::move(branches)}};
}

// anyOf and oneOf with the rest of the schema inside each branch.
Result<Json> SchemaRewriter::Branches(const char* keyword, const Json& schema, size_t depth) {
  Json rest = schema;
  rest.erase(keyword);
  Json branches = Json::array();
  for (const Json& branch : schema[keyword]) {
    if (branch == false) continue;
    Json whole = branch;
    if (!rest.empty()) {
      ASSIGN_OR_RETURN(whole, Flatten(branch, depth + 1));
      if (whole.contains("$ref")) {
        whole = {{"allOf", Json::array({whole, rest})}};
        ASSIGN_OR_RETURN(whole, Flatten(whole, depth + 1));
        if (whole.contains("$ref")) return Refuse(keyword, "the references lead in a circle");
      } else {
        // A branch whose type contradicts the rest cannot match, which is no mistake.
        if (whole.contains("type") && rest.contains("type") && whole["type"].is_string() &&
            rest["type"].is_string() && whole["type"] != rest["type"] &&
            !(whole["type"] == "integer" && rest["type"] == "number") &&
            !(whole["type"] == "number" && rest["type"] == "integer")) {
          continue;
        }
        Json merged = rest;
        RETURN_IF_ERROR(Merge(&merged, whole));
        whole = std::move(merged);
      }
    }
    ASSIGN_OR_RETURN(Json rewritten, Rewrite(whole, depth + 1));
    branches.push_back(std::move(rewritten));
  }
  if (branches.empty()) return Refuse(keyword, "no branch can match");
  return Json{{keyword, std::move(branches)}};
}

Result<Json> SchemaRewriter::Rewrite(const Json& schema, size_t depth) {
  if (depth > kMaxSchemaDepth) {
    return InvalidArgument(fmt::format("schema: nested deeper than {}", kMaxSchemaDepth));
  }
  if (++written_ > kMaxSchemas) {
    return InvalidArgument(fmt::format("schema: it comes to more than {} schemas", kMaxSchemas));
  }
  if (schema == true) return Json(true);
  if (schema == false) return InvalidArgument("schema: false: nothing can match");
  if (!schema.is_object()) return InvalidArgument("schema: expected an object or true");
  ASSIGN_OR_RETURN(Json flat, Flatten(schema, depth));
  RETURN_IF_ERROR(CheckShapes(flat));
  if (flat.contains("$ref")) {
    ASSIGN_OR_RETURN(const std::string name, NameOf(flat["$ref"], true));
    return Json{{"$ref", "#/$defs/" + name}};
  }
  for (const char* keyword : {"anyOf", "oneOf"}) {
    if (flat.contains(keyword)) return Branches(keyword, flat, depth);
  }
  if (flat.contains("enum") || flat.contains("const")) return Constants(flat);
  return RewriteObject(std::move(flat), depth);
}

Result<Json> SchemaRewriter::RewriteObject(Json in, size_t depth) {
  Json out = std::move(in);
  if (out.contains("pattern")) {
    for (const char* other : {"minLength", "maxLength", "format"}) {
      if (out.contains(other)) return Refuse(other, "beside pattern it is not supported");
    }
    ASSIGN_OR_RETURN(out["pattern"], RewritePattern(out["pattern"].get_ref<const std::string&>()));
  }
  if (out.contains("format") && (out.contains("minLength") || out.contains("maxLength"))) {
    return Refuse("format", "beside a length it is not supported");
  }
  const bool is_open = out.contains("additionalProperties") && out["additionalProperties"] != false;
  const bool is_closed = out.contains("additionalProperties") && !is_open;
  if (out.contains("required")) {
    for (const Json& name : Json(out["required"])) {
      const auto& key = name.get_ref<const std::string&>();
      if (out.contains("properties") && out["properties"].contains(key)) continue;
      if (is_closed) return Refuse("required", "it names a property that is not allowed");
      out["properties"][key] = is_open ? out["additionalProperties"] : Json(true);
    }
  }
  if (out.contains("properties")) {
    Json properties = Json::object();
    for (const auto& [name, schema] : out["properties"].items()) {
      if (schema == false) {
        const Json required = out.value("required", Json::array());
        if (std::find(required.begin(), required.end(), Json(name)) != required.end()) {
          return Refuse("required", "it names a property that nothing can match");
        }
        if (is_open) return Refuse("properties", "a forbidden property is not supported here");
        continue;
      }
      ASSIGN_OR_RETURN(properties[name], Rewrite(schema, depth + 1));
    }
    out["properties"] = std::move(properties);
  }
  for (const char* keyword : {"items", "additionalProperties"}) {
    if (!out.contains(keyword) || out[keyword].is_boolean()) continue;
    ASSIGN_OR_RETURN(Json rewritten, Rewrite(out[keyword], depth + 1));
    out[keyword] = std::move(rewritten);
  }
  if (out.contains("prefixItems")) {
    for (Json& item : out["prefixItems"]) {
      ASSIGN_OR_RETURN(Json rewritten, Rewrite(Json(item), depth + 1));
      item = std::move(rewritten);
    }
  }
  return out;
}

// Whether some value of finite size matches, given the definitions that are known to have one.
bool SchemaRewriter::IsFinite(const Json& schema, const std::set<std::string>& finite) const {
  if (!schema.is_object()) return true;
  if (schema.contains("$ref")) {
    constexpr size_t kPrefixBytes = std::string_view("#/$defs/").size();
    return finite.contains(schema["$ref"].get<std::string>().substr(kPrefixBytes));
  }
  const auto all = [&](const Json& list) {
    return std::all_of(list.begin(), list.end(),
                       [&](const Json& one) { return IsFinite(one, finite); });
  };
  for (const char* keyword : {"anyOf", "oneOf"}) {
    if (!schema.contains(keyword)) continue;
    return std::any_of(schema[keyword].begin(), schema[keyword].end(),
                       [&](const Json& one) { return IsFinite(one, finite); });
  }
  if (schema.contains("required")) {
    for (const Json& name : schema["required"]) {
      const Json& property = schema["properties"][name.get_ref<const std::string&>()];
      if (!IsFinite(property, finite)) return false;
    }
  }
  const bool has_items = schema.value("minItems", uint64_t{0}) > 0;
  if (has_items && schema.contains("items") && !IsFinite(schema["items"], finite)) return false;
  return !has_items || !schema.contains("prefixItems") || all(schema["prefixItems"]);
}

Status SchemaRewriter::CheckFinite(const Json& schema) {
  std::set<std::string> finite;
  for (size_t before = definitions_.size() + 1; before != finite.size();) {
    before = finite.size();
    for (const auto& [name, definition] : definitions_) {
      if (!finite.contains(name) && IsFinite(definition, finite)) finite.insert(name);
    }
  }
  if (IsFinite(schema, finite)) return OkStatus();
  return Refuse("$ref", "only a value without an end would match");
}

}  // namespace

Result<Json> RewriteSchema(const Json& schema) { return SchemaRewriter(schema).Run(); }

}  // namespace pelton::grammar
