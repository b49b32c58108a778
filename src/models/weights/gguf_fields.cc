#include "models/weights/gguf_fields.h"

#include <fmt/format.h>

#include "models/weights/field_error.h"

namespace pelton {

std::string GgufFields::KeyOf(std::string_view name) const {
  return fmt::format("{}{}", prefix_, name);
}

std::string GgufFields::PathOf(std::string_view name) const {
  return "metadata key " + Quoted(KeyOf(name));
}

const GgufValue* GgufFields::Find(std::string_view name) const {
  return metadata_.Find(KeyOf(name));
}

Result<std::optional<uint64_t>> GgufFields::Unsigned(std::string_view name, uint64_t min,
                                                     uint64_t max) const {
  const GgufValue* value = Find(name);
  if (value == nullptr) return std::optional<uint64_t>();
  const auto first = value->Unsigned(0);
  for (size_t i = 0; i < value->size(); ++i) {
    const auto number = value->Unsigned(i);
    if (!number || *number < min || *number > max) {
      return FieldError(
          file_, PathOf(name),
          number && value->is_array() ? fmt::format("{} at index {}", *number, i) : value->Text(),
          fmt::format("an integer from {} to {}", min, max));
    }
    if (number != first) {
      return UnsupportedField(file_, PathOf(name), fmt::format("both {} and {}", *first, *number),
                              "the same value for all layers");
    }
  }
  if (first) return first;
  return FieldError(file_, PathOf(name), value->Text(),
                    fmt::format("an integer from {} to {}", min, max));
}

Result<std::optional<double>> GgufFields::Number(std::string_view name, double min,
                                                 double max) const {
  const GgufValue* value = Find(name);
  if (value == nullptr) return std::optional<double>();
  const auto number = value->is_array() ? std::nullopt : value->Number();
  if (number && *number >= min && *number <= max) return number;
  return FieldError(file_, PathOf(name), value->Text(),
                    fmt::format("a number from {} to {}", min, max));
}

Result<std::optional<bool>> GgufFields::Bool(std::string_view name) const {
  const GgufValue* value = Find(name);
  if (value == nullptr) return std::optional<bool>();
  const auto truth = value->is_array() ? std::nullopt : value->Bool();
  if (truth) return truth;
  return FieldError(file_, PathOf(name), value->Text(), "a boolean");
}

Result<std::optional<std::string>> GgufFields::String(std::string_view name) const {
  const GgufValue* value = Find(name);
  if (value == nullptr) return std::optional<std::string>();
  const auto text = value->is_array() ? std::nullopt : value->String();
  if (text) return std::optional(std::string(*text));
  return FieldError(file_, PathOf(name), value->Text(), "a string");
}

}  // namespace pelton
