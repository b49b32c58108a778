#include "text/grammar/grammar_format.h"

#include <fmt/format.h>

#include <utility>

namespace pelton::grammar {
namespace {

constexpr size_t kMaxJsonDepth = 128;
constexpr size_t kMaxItems = 16384;
constexpr size_t kMaxChoices = 4096;
constexpr int kMaxSpaces = 8;  // between the parts of a JSON text; small models like to go on
constexpr int64_t kMaxTagCount = 1000;

Status Expected(std::string_view what) { return InvalidArgument(fmt::format("expected {}", what)); }

// Checks one format of a structural tag and, in place, everything below it.
Status CheckFormat(Json* format) {
  if (!format->is_object()) return Expected("an object as the format of a structural tag");
  const auto type = format->find("type");
  if (type == format->end() || !type->is_string()) {
    return Expected("a format with a \"type\" in the structural tag");
  }
  const auto text = [&](const char* field, auto rewrite) -> Status {
    const auto value = format->find(field);
    if (value == format->end() || !value->is_string()) {
      return Expected(fmt::format("a text in \"{}\"", field));
    }
    ASSIGN_OR_RETURN(std::string rewritten, rewrite(value->template get_ref<std::string&>()));
    *value = std::move(rewritten);
    return OkStatus();
  };
  if (*type == "json_schema" || *type == "qwen_xml_parameter") {
    const auto schema = format->find("json_schema");
    if (schema == format->end()) return Expected("a schema in \"json_schema\"");
    ASSIGN_OR_RETURN(Json rewritten, RewriteSchema(*schema));
    *schema = std::move(rewritten);
    (*format)["max_whitespace_cnt"] = kMaxSpaces;
  } else if (*type == "regex") {
    RETURN_IF_ERROR(text("pattern", RewriteRegex));
    if (format->at("pattern").get_ref<const std::string&>().empty()) {
      *format = {{"type", "const_string"}, {"value", ""}};
    }
  } else if (*type == "grammar") {
    RETURN_IF_ERROR(text("grammar", RewriteEbnf));
  } else if (*type == "repeat") {
    for (const char* field : {"min", "max"}) {
      const auto value = format->find(field);
      if (value != format->end() && (!value->is_number_integer() || *value > kMaxTagCount)) {
        return Expected(fmt::format("\"{}\" of at most {}", field, kMaxTagCount));
      }
    }
  } else if (*type == "any_text" || *type == "any_tokens") {
    for (const char* field : {"max_chars", "max_tokens"}) {
      const auto value = format->find(field);
      if (value != format->end() && !value->is_null() && !value->is_number_unsigned()) {
        return Expected(fmt::format("a whole number in \"{}\"", field));
      }
    }
  }
  for (const char* field : {"content", "begin", "end"}) {
    const auto value = format->find(field);
    if (value != format->end() && value->is_object()) RETURN_IF_ERROR(CheckFormat(&*value));
  }
  for (const char* field : {"elements", "tags"}) {
    const auto list = format->find(field);
    if (list == format->end()) continue;
    if (!list->is_array()) return Expected(fmt::format("a list in \"{}\"", field));
    for (Json& item : *list) RETURN_IF_ERROR(CheckFormat(&item));
  }
  const auto rules = format->find("rules");
  if (rules == format->end()) return OkStatus();
  if (!rules->is_array()) return Expected("a list in \"rules\"");
  for (Json& rule : *rules) {
    if (!rule.is_array() || rule.size() != 2) return Expected("pairs in \"rules\"");
    RETURN_IF_ERROR(CheckFormat(&rule[1]));
  }
  return OkStatus();
}

Json WithFormat(Json format) { return {{"type", "structural_tag"}, {"format", std::move(format)}}; }

// The older form: {"structures": [{"begin", "schema", "end"}], "triggers": […]}.
Result<Json> FromStructures(const Json& tag) {
  const auto triggers = tag.find("triggers");
  const Json& structures = tag["structures"];
  if (!structures.is_array() || triggers == tag.end() || !triggers->is_array()) {
    return Expected("lists of structures and triggers in the structural tag");
  }
  Json tags = Json::array();
  for (const Json& one : structures) {
    if (!one.is_object() || !one.contains("begin") || !one.contains("schema") ||
        !one.contains("end")) {
      return Expected("structures with begin, schema and end in the structural tag");
    }
    tags.push_back({{"type", "tag"},
                    {"begin", one["begin"]},
                    {"content", {{"type", "json_schema"}, {"json_schema", one["schema"]}}},
                    {"end", one["end"]}});
  }
  return Json{{"type", "triggered_tags"}, {"triggers", *triggers}, {"tags", std::move(tags)}};
}

Result<Json> FromChoices(std::string_view text) {
  ASSIGN_OR_RETURN(const Json list, ParseBounded(text));
  if (!list.is_array() || list.empty() || list.size() > kMaxChoices) {
    return Expected(fmt::format("a list of 1 to {} texts to choose from", kMaxChoices));
  }
  Json elements = Json::array();
  for (const Json& one : list) {
    if (!one.is_string()) return Expected("texts to choose from");
    elements.push_back({{"type", "const_string"}, {"value", one}});
  }
  if (elements.size() == 1) return std::move(elements[0]);
  return Json{{"type", "or"}, {"elements", std::move(elements)}};
}

Result<Json> Unchecked(const GrammarSource& source) {
  switch (source.kind) {
    case GrammarSource::Kind::kJsonObject:
      return Json{{"type", "json_schema"},
                  {"json_schema", {{"type", "object"}, {"additionalProperties", true}}}};
    case GrammarSource::Kind::kJsonSchema: {
      ASSIGN_OR_RETURN(Json schema, ParseBounded(source.text));
      return Json{{"type", "json_schema"}, {"json_schema", std::move(schema)}};
    }
    case GrammarSource::Kind::kRegex:
      return Json{{"type", "regex"}, {"pattern", source.text}};
    case GrammarSource::Kind::kEbnf:
      return Json{{"type", "grammar"}, {"grammar", source.text}};
    case GrammarSource::Kind::kChoice:
      return FromChoices(source.text);
    case GrammarSource::Kind::kStructuralTag:
      break;
  }
  ASSIGN_OR_RETURN(Json tag, ParseBounded(source.text));
  if (!tag.is_object()) return Expected("an object as structural tag");
  if (tag.contains("structures")) return FromStructures(tag);
  const auto format = tag.find("format");
  if (format == tag.end()) return Expected("a \"format\" in the structural tag");
  return std::move(*format);
}

}  // namespace

Result<Json> ParseBounded(std::string_view text) {
  // The parser would take it for the end and pass over what follows.
  if (text.find('\0') != text.npos) {
    return InvalidArgument("found a NUL byte, which no JSON has");
  }
  size_t depth = 0;
  size_t items = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      in_string = c != '"';
      continue;
    }
    in_string = c == '"';
    if (c == '{' || c == '[') ++depth;
    if ((c == '}' || c == ']') && depth > 0) --depth;
    if (c == ',') ++items;
    if (depth > kMaxJsonDepth || items > kMaxItems) {
      return InvalidArgument(
          fmt::format("the JSON is nested deeper than {} or holds more than {} members and items",
                      kMaxJsonDepth, kMaxItems));
    }
  }
  Json value = Json::parse(text, nullptr, false);
  if (value.is_discarded()) return InvalidArgument("found no valid JSON");
  return value;
}

Result<Json> FormatOf(const GrammarSource& source) {
  ASSIGN_OR_RETURN(Json format, Unchecked(source));
  if (!source.before.empty()) {
    ASSIGN_OR_RETURN(Json before, ParseBounded(source.before));
    format = {{"type", "sequence"}, {"elements", Json::array({std::move(before), format})}};
  }
  RETURN_IF_ERROR(CheckFormat(&format));
  return WithFormat(std::move(format));
}

}  // namespace pelton::grammar
