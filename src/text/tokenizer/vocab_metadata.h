#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace pelton {

// Typed look-up in the key-value metadata of a model file, under GGUF's key names
// ("tokenizer.ggml.tokens"). The text layer cannot see the file readers, so a reader is wrapped in
// this. Absent keys and keys of another type give nullopt or an empty sequence. Returned views
// stay valid as long as the object.
class VocabMetadata {
 public:
  virtual ~VocabMetadata() = default;

  virtual std::optional<std::string_view> String(std::string_view key) const = 0;
  // Any integer type; nullopt if it does not fit.
  virtual std::optional<int64_t> Integer(std::string_view key) const = 0;
  virtual std::optional<bool> Bool(std::string_view key) const = 0;
  // An array of strings; only the views are copied.
  virtual std::vector<std::string_view> Strings(std::string_view key) const = 0;
  // An array of 32-bit floats.
  virtual std::vector<float> Floats(std::string_view key) const = 0;
  // An array of 32-bit signed or unsigned integers.
  virtual std::vector<int32_t> Integers(std::string_view key) const = 0;
  // An array of 8-bit integers, in place.
  virtual std::span<const std::byte> Bytes(std::string_view key) const = 0;
};

}  // namespace pelton
