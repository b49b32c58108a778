#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/byte_cursor.h"
#include "base/status.h"

namespace pelton {

// Types of metadata values, numbered as in the file.
enum class GgufType : uint32_t {
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kString,
  kArray,
  kU64,
  kI64,
  kF64,
};

// One metadata value: a scalar or an array of scalars, borrowed from the file's bytes. Accessors
// take the index of an array's element (0 for a scalar) and give nullopt if the index is out of
// range or the value is of another kind; they convert between widths, never between kinds, except
// that Number also takes integers.
class GgufValue {
 public:
  // Type of the scalar or of the array's elements; never kArray.
  GgufType type() const { return type_; }
  bool is_array() const { return is_array_; }
  size_t size() const { return count_; }  // 1 for a scalar

  // Integers; Unsigned gives nullopt for negative values, Signed for values above INT64_MAX.
  std::optional<uint64_t> Unsigned(size_t i = 0) const;
  std::optional<int64_t> Signed(size_t i = 0) const;
  std::optional<double> Number(size_t i = 0) const;
  std::optional<bool> Bool(size_t i = 0) const;
  std::optional<std::string_view> String(size_t i = 0) const;

  // The elements of a string value or array; empty for other kinds.
  std::span<const std::string_view> strings() const { return strings_; }

  // The bytes of numbers and booleans, one element after another; empty for strings.
  std::span<const std::byte> raw() const { return raw_; }

  // For people: `"llama"`, `0.5`, `[3 values of i32]`.
  std::string Text() const;

 private:
  friend class GgufValueReader;

  template <typename T>
  std::optional<T> Load(size_t i) const;

  GgufType type_ = GgufType::kU8;
  bool is_array_ = false;
  size_t count_ = 0;
  std::span<const std::byte> raw_;         // numbers and booleans, one after another
  std::vector<std::string_view> strings_;  // strings; 16 bytes per element of at least 8
};

// "u32", "string".
std::string_view GgufTypeName(GgufType type);

// Keys and values of one file, in file order. Borrows the file's bytes.
class GgufMetadata {
 public:
  struct Entry {
    std::string_view key;
    GgufValue value;
  };

  // Reads `count` entries. DataLoss, naming `file` and the key, for anything that is not as the
  // format demands. Allocates at most 8 bytes per byte of the file.
  static Result<GgufMetadata> Read(ByteCursor* cursor, uint64_t count, std::string_view file);

  std::span<const Entry> entries() const { return entries_; }

  // nullptr: no such key. O(log n).
  const GgufValue* Find(std::string_view key) const;

 private:
  std::vector<Entry> entries_;
  std::vector<uint32_t> by_key_;  // indices of entries, sorted by key
};

// The text of a key or a tensor name: a length, then 1 to 256 bytes without control characters.
Result<std::string_view> ReadGgufName(ByteCursor* cursor, std::string_view file,
                                      std::string_view field);

}  // namespace pelton
