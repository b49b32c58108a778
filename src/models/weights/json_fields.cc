#include "models/weights/json_fields.h"

#include <fmt/format.h>

#include "models/weights/field_error.h"
#include "models/weights/name_order.h"

namespace pelton {
namespace {

using simdjson::dom::element;
using simdjson::dom::element_type;

constexpr size_t kMaxDepth = 64;

}  // namespace

Result<JsonDocument> JsonDocument::Parse(std::string_view text, std::string_view file) {
  JsonDocument document;
  document.parser_ = std::make_unique<simdjson::dom::parser>();
  simdjson::error_code error = document.parser_->allocate(text.size(), kMaxDepth);
  if (error == simdjson::SUCCESS) {
    // The parser reads past the end of its input, so it gets a padded copy.
    error = document.parser_->parse(simdjson::padded_string(text)).get(document.root_);
  }
  if (error == simdjson::SUCCESS) return document;
  const std::string reason = simdjson::error_message(error);
  if (error == simdjson::MEMALLOC) return ResourceExhausted(fmt::format("{}: {}", file, reason));
  return FieldError(file, "JSON text", "an error (" + reason + ")", "one JSON value");
}

std::string DescribeJson(element value) {
  switch (value.type()) {
    case element_type::ARRAY:
      return "an array";
    case element_type::OBJECT:
      return "an object";
    case element_type::NULL_VALUE:
      return "null";
    case element_type::STRING: {
      std::string_view text;
      if (value.get(text) != simdjson::SUCCESS) break;
      return Quoted(text);
    }
    case element_type::BOOL: {
      bool truth = false;
      if (value.get(truth) != simdjson::SUCCESS) break;
      return truth ? "true" : "false";
    }
    case element_type::INT64: {
      int64_t number = 0;
      if (value.get(number) != simdjson::SUCCESS) break;
      return fmt::format("{}", number);
    }
    case element_type::UINT64: {
      uint64_t number = 0;
      if (value.get(number) != simdjson::SUCCESS) break;
      return fmt::format("{}", number);
    }
    case element_type::DOUBLE: {
      double number = 0;
      if (value.get(number) != simdjson::SUCCESS) break;
      return fmt::format("{}", number);
    }
  }
  return "an unknown value";
}

Result<JsonFields> JsonFields::Of(element value, std::string_view file, std::string_view path) {
  JsonFields fields;
  fields.file_ = file;
  fields.path_ = path;
  simdjson::dom::object object;
  if (value.get(object) != simdjson::SUCCESS) {
    return FieldError(file, path.empty() ? "JSON text" : path, DescribeJson(value), "an object");
  }
  for (const auto member : object) fields.members_.push_back({member.key, member.value});
  const auto name_of = [&](uint32_t i) { return fields.members_[i].name; };
  fields.by_name_ = OrderByName(fields.members_.size(), name_of);
  if (const auto repeated = FindRepeatedName(fields.by_name_, name_of)) {
    return FieldError(file, path.empty() ? "JSON text" : path,
                      Quoted(name_of(*repeated)) + " more than once", "every name once");
  }
  return fields;
}

std::optional<element> JsonFields::Find(std::string_view name) const {
  const auto found = FindName(by_name_, name, [&](uint32_t i) { return members_[i].name; });
  if (!found || members_[*found].value.is_null()) return std::nullopt;
  return members_[*found].value;
}

bool JsonFields::States(std::string_view name) const {
  return FindName(by_name_, name, [&](uint32_t i) { return members_[i].name; }).has_value();
}

std::string JsonFields::PathOf(std::string_view name) const {
  return path_.empty() ? std::string(name) : fmt::format("{}.{}", path_, name);
}

Result<std::optional<uint64_t>> JsonFields::Unsigned(std::string_view name, uint64_t min,
                                                     uint64_t max) const {
  const auto value = Find(name);
  if (!value) return std::optional<uint64_t>();
  uint64_t number = 0;
  if (value->get(number) == simdjson::SUCCESS && number >= min && number <= max) {
    return std::optional(number);
  }
  return FieldError(file_, PathOf(name), DescribeJson(*value),
                    fmt::format("an integer from {} to {}", min, max));
}

Result<std::optional<double>> JsonFields::Number(std::string_view name, double min,
                                                 double max) const {
  const auto value = Find(name);
  if (!value) return std::optional<double>();
  double number = 0;
  if (value->get(number) == simdjson::SUCCESS && number >= min && number <= max) {
    return std::optional(number);
  }
  return FieldError(file_, PathOf(name), DescribeJson(*value),
                    fmt::format("a number from {} to {}", min, max));
}

Result<std::optional<bool>> JsonFields::Bool(std::string_view name) const {
  const auto value = Find(name);
  if (!value) return std::optional<bool>();
  bool truth = false;
  if (value->get(truth) == simdjson::SUCCESS) return std::optional(truth);
  return FieldError(file_, PathOf(name), DescribeJson(*value), "true or false");
}

Result<std::optional<std::string>> JsonFields::String(std::string_view name) const {
  const auto value = Find(name);
  if (!value) return std::optional<std::string>();
  std::string_view text;
  if (value->get(text) == simdjson::SUCCESS) return std::optional(std::string(text));
  return FieldError(file_, PathOf(name), DescribeJson(*value), "a string");
}

Result<std::optional<JsonFields>> JsonFields::Object(std::string_view name) const {
  const auto value = Find(name);
  if (!value) return std::optional<JsonFields>();
  ASSIGN_OR_RETURN(JsonFields fields, Of(*value, file_, PathOf(name)));
  return std::optional(std::move(fields));
}

Result<std::optional<std::vector<double>>> JsonFields::Numbers(std::string_view name, double min,
                                                               double max) const {
  const auto value = Find(name);
  if (!value) return std::optional<std::vector<double>>();
  simdjson::dom::array array;
  if (value->get(array) != simdjson::SUCCESS) {
    return FieldError(file_, PathOf(name), DescribeJson(*value), "an array of numbers");
  }
  std::vector<double> numbers;
  for (const element item : array) {
    double number = 0;
    if (item.get(number) != simdjson::SUCCESS || !(number >= min && number <= max)) {
      return FieldError(file_, fmt::format("{}[{}]", PathOf(name), numbers.size()),
                        DescribeJson(item), fmt::format("a number from {} to {}", min, max));
    }
    numbers.push_back(number);
  }
  return std::optional(std::move(numbers));
}

Result<std::optional<std::vector<std::string>>> JsonFields::Strings(std::string_view name) const {
  const auto value = Find(name);
  if (!value) return std::optional<std::vector<std::string>>();
  simdjson::dom::array array;
  if (value->get(array) != simdjson::SUCCESS) {
    return FieldError(file_, PathOf(name), DescribeJson(*value), "an array of strings");
  }
  std::vector<std::string> strings;
  for (const element item : array) {
    std::string_view text;
    if (item.get(text) != simdjson::SUCCESS) {
      return FieldError(file_, fmt::format("{}[{}]", PathOf(name), strings.size()),
                        DescribeJson(item), "a string");
    }
    strings.emplace_back(text);
  }
  return std::optional(std::move(strings));
}

}  // namespace pelton
