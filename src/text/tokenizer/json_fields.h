#pragma once

#include <simdjson.h>

#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace pelton::tokenizer {

// Access to a parsed tokenizer.json without exceptions. An absent key, a null and a value of
// another type are alike: there is no such value.

using JsonValue = simdjson::dom::element;

inline std::optional<JsonValue> JsonMember(JsonValue value, std::string_view key) {
  JsonValue member;
  if (value.type() != simdjson::dom::element_type::OBJECT) return std::nullopt;
  if (value[key].get(member) != simdjson::SUCCESS || member.is_null()) return std::nullopt;
  return member;
}

inline std::optional<std::string_view> JsonText(JsonValue value) {
  std::string_view text;
  if (value.get(text) != simdjson::SUCCESS) return std::nullopt;
  return text;
}

inline std::optional<std::string_view> JsonText(JsonValue value, std::string_view key) {
  const std::optional<JsonValue> member = JsonMember(value, key);
  return member ? JsonText(*member) : std::nullopt;
}

inline bool JsonFlag(JsonValue value, std::string_view key, bool absent) {
  const std::optional<JsonValue> member = JsonMember(value, key);
  bool flag = absent;
  if (member && member->get(flag) != simdjson::SUCCESS) return absent;
  return flag;
}

inline std::optional<int64_t> JsonInteger(JsonValue value) {
  int64_t integer;
  if (value.get(integer) != simdjson::SUCCESS) return std::nullopt;
  return integer;
}

inline std::optional<int64_t> JsonInteger(JsonValue value, std::string_view key) {
  const std::optional<JsonValue> member = JsonMember(value, key);
  return member ? JsonInteger(*member) : std::nullopt;
}

inline std::optional<simdjson::dom::array> JsonArray(JsonValue value, std::string_view key) {
  const std::optional<JsonValue> member = JsonMember(value, key);
  simdjson::dom::array array;
  if (!member || member->get(array) != simdjson::SUCCESS) return std::nullopt;
  return array;
}

inline std::optional<simdjson::dom::object> JsonObject(JsonValue value, std::string_view key) {
  const std::optional<JsonValue> member = JsonMember(value, key);
  simdjson::dom::object object;
  if (!member || member->get(object) != simdjson::SUCCESS) return std::nullopt;
  return object;
}

// "type" of a component; empty if there is none.
inline std::string_view JsonType(JsonValue value) {
  return JsonText(value, "type").value_or(std::string_view());
}

// The error for a component that is valid, but not known here: `what` is "normalizer", ….
inline Status UnknownComponent(std::string_view what, std::string_view type) {
  return Unimplemented("tokenizer.json: the " + std::string(what) + " \"" +
                       std::string(type.substr(0, 64)) + "\" is not supported");
}

}  // namespace pelton::tokenizer
