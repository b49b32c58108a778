#include "serving/request/field_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/nearest.h"

namespace pelton {
namespace {

constexpr size_t kMaxDepth = 64;
// The parser compares each member of an object with those before it: this many comparisons take
// some tenths of a second. One object may have 4096 members, many small ones any number.
constexpr uint64_t kMaxComparisons = uint64_t{1} << 23;

// What the parser itself would not bound: nesting, in memory of a value for each bracket, and
// comparisons of members. The reason, or nothing.
std::string BeyondBounds(std::string_view text) {
  std::array<uint64_t, kMaxDepth + 1> members{};  // so far, of the open object at each depth
  uint64_t comparisons = 0;
  size_t depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kMaxDepth) return fmt::format("found JSON nested deeper than {}", kMaxDepth);
      members[depth] = 0;
    } else if (c == ']' || c == '}') {
      if (depth > 0) --depth;  // else it is no JSON, as the parser will say
    } else if (c == ':') {
      comparisons += members[depth]++;
      if (comparisons > kMaxComparisons) return "found JSON objects with too many members";
    }
  }
  return "";
}

}  // namespace

Result<Json> ParseJson(std::string_view text) {
  // The parser would take a NUL for the end and pass over what follows.
  if (text.find('\0') != std::string_view::npos) {
    return InvalidArgument("found a NUL byte, which no JSON has");
  }
  if (std::string reason = BeyondBounds(text); !reason.empty()) {
    return InvalidArgument(std::move(reason));
  }
  Json value = Json::parse(text, nullptr, false);
  if (value.is_discarded()) return InvalidArgument("found text that is not JSON");
  return value;
}

Result<Json> ParseObject(std::string_view text) {
  ASSIGN_OR_RETURN(Json value, ParseJson(text));
  if (!value.is_object()) return InvalidArgument("expected a JSON object");
  return value;
}

size_t MostJsonBytes(std::string_view text) {
  // A container within a list is the most for its text: its value, an allocation for what it holds,
  // and the list's room to grow.
  constexpr size_t kBytesOfValue = 96;
  const auto begins = [](char c) { return c == ',' || c == '[' || c == '{' || c == ':'; };
  return text.size() + kBytesOfValue * static_cast<size_t>(std::ranges::count_if(text, begins));
}

std::string ToText(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

const Json* FieldReader::Find(const char* name) {
  known_.emplace_back(name);
  const auto found = object_.find(name);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

const Json* FieldReader::Typed(const char* name, bool (Json::*is)() const noexcept,
                               const char* expected) {
  const Json* value = Find(name);
  if (value == nullptr || (value->*is)()) return value;
  Fail(name, expected);
  return nullptr;
}

void FieldReader::Float(const char* name, float* out) {
  if (const Json* value = Typed(name, &Json::is_number, "a number")) *out = value->get<float>();
}

void FieldReader::Bool(const char* name, bool* out) {
  if (const Json* value = Typed(name, &Json::is_boolean, "true or false")) {
    *out = value->get<bool>();
  }
}

void FieldReader::String(const char* name, std::string* out) {
  if (const Json* value = Typed(name, &Json::is_string, "a string")) {
    *out = value->get<std::string>();
  }
}

void FieldReader::Strings(const char* name, std::vector<std::string>* out) {
  const Json* value = Find(name);
  if (value == nullptr) return;
  out->clear();
  if (value->is_string()) return out->push_back(value->get<std::string>());
  if (!value->is_array()) return Fail(name, "a string or a list of strings");
  for (const Json& item : *value) {
    if (!item.is_string()) return Fail(name, "a string or a list of strings");
    out->push_back(item.get<std::string>());
  }
}

void FieldReader::Ids(const char* name, std::vector<int32_t>* out) {
  const Json* value = Typed(name, &Json::is_array, "a list of ids");
  if (value == nullptr) return;
  out->clear();
  for (const Json& item : *value) {
    if (!item.is_number_integer() || item < 0 || item > std::numeric_limits<int32_t>::max()) {
      return Fail(name, "a list of ids");
    }
    out->push_back(item.get<int32_t>());
  }
}

void FieldReader::Biases(const char* name, std::vector<LogitBias>* out) {
  const Json* value = Typed(name, &Json::is_object, "an object from ids to numbers");
  if (value == nullptr) return;
  out->clear();
  for (const auto& [key, bias] : value->items()) {
    int32_t id = 0;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || end != key.data() + key.size() || !bias.is_number()) {
      return Fail(name, "an object from ids to numbers");
    }
    out->push_back({id, bias.get<float>()});
  }
}

void FieldReader::Fail(const char* name, std::string_view expected) {
  const auto value = object_.find(name);
  const std::string found = value == object_.end() ? "nothing" : ToText(*value);
  // A cut inside a character is repaired where the message is printed.
  Refuse(name, fmt::format("{}: found {}, expected {}", name, found.substr(0, 40), expected));
}

void FieldReader::Refuse(std::string name, std::string message) {
  if (!status_.ok()) return;
  failed_field_ = std::move(name);
  status_ = InvalidArgument(std::move(message));
}

void FieldReader::Adopt(std::string_view place, const FieldReader& inner) {
  if (inner.ok()) return;
  Refuse(fmt::format("{}.{}", place, inner.failed_field()),
         fmt::format("{}: {}", place, inner.status().message()));
}

void FieldReader::RefuseUnknown() {
  for (const auto& [key, value] : object_.items()) {
    if (std::find(known_.begin(), known_.end(), key) != known_.end()) continue;
    const std::string nearest = Nearest(key, known_);
    const std::string name = key.substr(0, 40);
    return Refuse(
        name, fmt::format("unknown field \"{}\"{}", name,
                          nearest.empty() ? "" : fmt::format("; did you mean \"{}\"?", nearest)));
  }
}

}  // namespace pelton
