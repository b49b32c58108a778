#include "serving/model/gguf_vocab.h"

#include <limits>

namespace pelton {

const GgufValue* GgufVocab::Scalar(std::string_view key) const {
  const GgufValue* value = metadata_.Find(key);
  return value != nullptr && !value->is_array() ? value : nullptr;
}

const GgufValue* GgufVocab::Array(std::string_view key) const {
  const GgufValue* value = metadata_.Find(key);
  return value != nullptr && value->is_array() ? value : nullptr;
}

std::optional<std::string_view> GgufVocab::String(std::string_view key) const {
  const GgufValue* value = Scalar(key);
  return value == nullptr ? std::nullopt : value->String();
}

std::optional<int64_t> GgufVocab::Integer(std::string_view key) const {
  const GgufValue* value = Scalar(key);
  return value == nullptr ? std::nullopt : value->Signed();
}

std::optional<bool> GgufVocab::Bool(std::string_view key) const {
  const GgufValue* value = Scalar(key);
  return value == nullptr ? std::nullopt : value->Bool();
}

std::vector<std::string_view> GgufVocab::Strings(std::string_view key) const {
  const GgufValue* value = Array(key);
  if (value == nullptr) return {};
  return {value->strings().begin(), value->strings().end()};
}

std::vector<float> GgufVocab::Floats(std::string_view key) const {
  const GgufValue* value = Array(key);
  if (value == nullptr || value->type() != GgufType::kF32) return {};
  std::vector<float> floats(value->size());
  for (size_t i = 0; i < floats.size(); ++i) floats[i] = static_cast<float>(*value->Number(i));
  return floats;
}

std::vector<int32_t> GgufVocab::Integers(std::string_view key) const {
  const GgufValue* value = Array(key);
  if (value == nullptr) return {};
  std::vector<int32_t> integers(value->size());
  for (size_t i = 0; i < integers.size(); ++i) {
    const std::optional<int64_t> integer = value->Signed(i);
    if (!integer || *integer < std::numeric_limits<int32_t>::min() ||
        *integer > std::numeric_limits<int32_t>::max()) {
      return {};
    }
    integers[i] = static_cast<int32_t>(*integer);
  }
  return integers;
}

std::span<const std::byte> GgufVocab::Bytes(std::string_view key) const {
  const GgufValue* value = Array(key);
  if (value == nullptr || (value->type() != GgufType::kU8 && value->type() != GgufType::kI8)) {
    return {};
  }
  return value->raw();
}

}  // namespace pelton
