#include "text/parsers/call_reader.h"

#include <algorithm>

#include "text/parsers/json_scanner.h"

namespace pelton {

int Choice::Step(char c) {
  if (length_ == 0 && IsJsonSpace(c)) return kMore;
  const std::string_view so_far = texts_[first_].substr(0, length_);
  for (size_t i = first_; i < texts_.size(); ++i) {
    const std::string_view text = texts_[i];
    if (text.substr(0, length_) != so_far || text[length_] != c) continue;
    first_ = i;
    ++length_;
    return length_ == text.size() ? static_cast<int>(i) : kMore;
  }
  return kNone;
}

bool IsNameByte(char c) {
  return static_cast<unsigned char>(c) > ' ' && c != 0x7F &&
         std::string_view("<>{}[]()\"'`=,;|\\").find(c) == std::string_view::npos;
}

namespace {

// Calls visit(key, value) with the texts of every member of a valid JSON object.
template <typename Visit>
void ForEachMember(std::string_view object, Visit visit) {
  size_t depth = 0, start = 0;
  std::string_view key;
  bool in_string = false;
  const auto end_value = [&](size_t end) {
    std::string_view value = object.substr(start, end - start);
    value.remove_prefix(std::min(value.find_first_not_of(" \n\r\t"), value.size()));
    value = value.substr(0, value.find_last_not_of(" \n\r\t") + 1);
    if (!key.empty()) visit(key, value);
    key = {};
  };
  for (size_t i = 0; i < object.size(); ++i) {
    const char c = object[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
      if (c == '"' && depth == 1 && key.empty()) key = object.substr(start, i + 1 - start);
      continue;
    }
    if (c == '"') {
      in_string = true;
      if (depth == 1 && key.empty()) start = i;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if (c == '}' || c == ']') {
      if (--depth == 0) end_value(i);
    } else if (depth == 1 && c == ':') {
      start = i + 1;
    } else if (depth == 1 && c == ',') {
      end_value(i);
    }
  }
}

}  // namespace

std::optional<ParsedCall> CallFromJson(std::string_view object, bool need_arguments) {
  ParsedCall call;
  bool valid = true, has_arguments = false;
  ForEachMember(object, [&](std::string_view key, std::string_view value) {
    const std::string name = JsonUnquoted(key);
    if (name == "name") {
      valid = valid && value.front() == '"';
      if (valid) call.name = JsonUnquoted(value);
    } else if (name == "id" && value.front() == '"') {
      call.id = JsonUnquoted(value);
    } else if (name == "arguments" || name == "parameters") {
      has_arguments = true;
      if (value.front() == '{') {
        call.arguments = value;
      } else if (value.front() == '"') {  // arguments as a string of JSON
        call.arguments = JsonUnquoted(value);
        valid = valid && (call.arguments.empty() || IsJsonObject(call.arguments));
      } else {
        valid = valid && value == "null";
        call.arguments.clear();
      }
    }
  });
  if (!valid || call.name.empty() || (need_arguments && !has_arguments)) return std::nullopt;
  if (call.arguments.empty()) call.arguments = "{}";
  return call;
}

}  // namespace pelton
