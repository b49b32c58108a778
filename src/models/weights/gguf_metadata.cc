#include "models/weights/gguf_metadata.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "base/checked_math.h"
#include "models/weights/field_error.h"
#include "models/weights/name_order.h"

namespace pelton {
namespace {

constexpr uint64_t kMaxEntries = 1u << 20;
constexpr uint64_t kMaxStringElements = 1u << 24;  // the largest vocabularies have about 2^18
constexpr size_t kMaxTensorNameBytes = 256;        // the format's own limit on names is 64

// The smallest entry: key length, one byte of key, type, one byte of value.
constexpr size_t kMinEntryBytes = 8 + 1 + 4 + 1;
constexpr size_t kMinStringBytes = 8;

// Bytes of a number or boolean; 0 for strings, arrays and unknown types.
size_t ScalarBytes(uint32_t type) {
  switch (static_cast<GgufType>(type)) {
    case GgufType::kU8:
    case GgufType::kI8:
    case GgufType::kBool:
      return 1;
    case GgufType::kU16:
    case GgufType::kI16:
      return 2;
    case GgufType::kU32:
    case GgufType::kI32:
    case GgufType::kF32:
      return 4;
    case GgufType::kU64:
    case GgufType::kI64:
    case GgufType::kF64:
      return 8;
    case GgufType::kString:
    case GgufType::kArray:
      return 0;
  }
  return 0;
}

bool IsKnownType(uint32_t type) { return type <= static_cast<uint32_t>(GgufType::kF64); }

bool IsControl(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

}  // namespace

// Fills a GgufValue from the file; every error names the file and the key.
class GgufValueReader {
 public:
  GgufValueReader(ByteCursor* cursor, std::string_view file, std::string_view key)
      : cursor_(*cursor), file_(file), key_(key) {}

  Status Read(GgufValue* out) {
    uint32_t type = 0;
    if (!cursor_.Read(&type)) return Ends("a value type");
    uint64_t count = 1;
    if (type == static_cast<uint32_t>(GgufType::kArray)) {
      out->is_array_ = true;
      if (!cursor_.Read(&type) || !cursor_.Read(&count)) return Ends("an array type and count");
      if (type == static_cast<uint32_t>(GgufType::kArray)) {
        return UnsupportedField(file_, Field(), "an array of arrays", "an array of scalars");
      }
    }
    if (!IsKnownType(type)) {
      return FieldError(file_, Field(), fmt::format("value type {}", type), "a type from 0 to 12");
    }
    out->type_ = static_cast<GgufType>(type);
    return out->type_ == GgufType::kString ? ReadStrings(count, out) : ReadScalars(count, out);
  }

 private:
  Status ReadStrings(uint64_t count, GgufValue* out) {
    if (count > kMaxStringElements || !cursor_.CanHold(count, kMinStringBytes)) {
      return BadCount(count,
                      std::min<uint64_t>(kMaxStringElements, cursor_.left() / kMinStringBytes));
    }
    out->count_ = static_cast<size_t>(count);
    out->strings_.resize(out->count_);
    for (std::string_view& text : out->strings_) {
      uint64_t length = 0;
      if (!cursor_.Read(&length)) return Ends("a string length");
      if (!cursor_.ReadText(length, &text)) {
        return FieldError(file_, Field(), fmt::format("a string of {} bytes", length),
                          fmt::format("at most the {} bytes that are left", cursor_.left()));
      }
    }
    return OkStatus();
  }

  Status ReadScalars(uint64_t count, GgufValue* out) {
    const size_t element_bytes = ScalarBytes(static_cast<uint32_t>(out->type_));
    if (!cursor_.CanHold(count, element_bytes)) {
      return BadCount(count, cursor_.left() / element_bytes);
    }
    out->count_ = static_cast<size_t>(count);
    const auto bytes = CheckedMul<uint64_t>(count, element_bytes);
    if (!bytes || !cursor_.ReadBytes(*bytes, &out->raw_)) return Ends("the value");
    if (out->type_ != GgufType::kBool) return OkStatus();
    for (const std::byte b : out->raw_) {
      if (b > std::byte{1}) {
        return FieldError(file_, Field(), fmt::format("a boolean of {}", std::to_integer<int>(b)),
                          "0 or 1");
      }
    }
    return OkStatus();
  }

  std::string Field() const { return "metadata key " + Quoted(key_); }

  Status Ends(std::string_view expected) const {
    return FieldError(file_, Field(), "the end of the file", expected);
  }

  Status BadCount(uint64_t count, uint64_t limit) const {
    return FieldError(file_, Field(), fmt::format("{} elements", count),
                      fmt::format("at most {} in the {} bytes left", limit, cursor_.left()));
  }

  ByteCursor& cursor_;
  std::string_view file_;
  std::string_view key_;
};

std::string_view GgufTypeName(GgufType type) {
  switch (type) {
    case GgufType::kU8:
      return "u8";
    case GgufType::kI8:
      return "i8";
    case GgufType::kU16:
      return "u16";
    case GgufType::kI16:
      return "i16";
    case GgufType::kU32:
      return "u32";
    case GgufType::kI32:
      return "i32";
    case GgufType::kF32:
      return "f32";
    case GgufType::kBool:
      return "bool";
    case GgufType::kString:
      return "string";
    case GgufType::kArray:
      return "array";
    case GgufType::kU64:
      return "u64";
    case GgufType::kI64:
      return "i64";
    case GgufType::kF64:
      return "f64";
  }
  return "unknown";
}

template <typename T>
std::optional<T> GgufValue::Load(size_t i) const {
  if (i >= count_) return std::nullopt;
  T value;
  std::memcpy(&value, raw_.data() + i * sizeof(T), sizeof(T));  // inside raw_: i < count_
  return value;
}

std::optional<int64_t> GgufValue::Signed(size_t i) const {
  switch (type_) {
    case GgufType::kU8:
      return Load<uint8_t>(i);
    case GgufType::kI8:
      return Load<int8_t>(i);
    case GgufType::kU16:
      return Load<uint16_t>(i);
    case GgufType::kI16:
      return Load<int16_t>(i);
    case GgufType::kU32:
      return Load<uint32_t>(i);
    case GgufType::kI32:
      return Load<int32_t>(i);
    case GgufType::kI64:
      return Load<int64_t>(i);
    case GgufType::kU64: {
      const auto value = Load<uint64_t>(i);
      if (!value || *value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
        return std::nullopt;
      }
      return static_cast<int64_t>(*value);
    }
    default:
      return std::nullopt;
  }
}

std::optional<uint64_t> GgufValue::Unsigned(size_t i) const {
  if (type_ == GgufType::kU64) return Load<uint64_t>(i);
  const auto value = Signed(i);
  if (!value || *value < 0) return std::nullopt;
  return static_cast<uint64_t>(*value);
}

std::optional<double> GgufValue::Number(size_t i) const {
  if (type_ == GgufType::kF32) return Load<float>(i);
  if (type_ == GgufType::kF64) return Load<double>(i);
  if (const auto integer = Signed(i)) return static_cast<double>(*integer);
  if (const auto integer = Unsigned(i)) return static_cast<double>(*integer);
  return std::nullopt;
}

std::optional<bool> GgufValue::Bool(size_t i) const {
  if (type_ != GgufType::kBool) return std::nullopt;
  const auto value = Load<uint8_t>(i);
  if (!value) return std::nullopt;
  return *value != 0;
}

std::optional<std::string_view> GgufValue::String(size_t i) const {
  if (i >= strings_.size()) return std::nullopt;
  return strings_[i];
}

std::string GgufValue::Text() const {
  if (is_array_) return fmt::format("[{} values of {}]", count_, GgufTypeName(type_));
  if (const auto text = String()) return Quoted(*text);
  if (const auto value = Bool()) return *value ? "true" : "false";
  if (const auto value = Signed()) return fmt::format("{}", *value);
  if (const auto value = Unsigned()) return fmt::format("{}", *value);
  return fmt::format("{}", Number().value_or(0));
}

Result<std::string_view> ReadGgufName(ByteCursor* cursor, std::string_view file,
                                      std::string_view field) {
  uint64_t length = 0;
  if (!cursor->Read(&length)) {
    return FieldError(file, field, "the end of the file", "the length of a name");
  }
  if (length == 0 || length > kMaxTensorNameBytes || length > cursor->left()) {
    return FieldError(file, field, fmt::format("a name of {} bytes", length),
                      fmt::format("1 to {} bytes, and at most the {} that are left",
                                  kMaxTensorNameBytes, cursor->left()));
  }
  std::string_view name;
  if (!cursor->ReadText(length, &name)) {
    return FieldError(file, field, "the end of the file", "a name");
  }
  if (std::any_of(name.begin(), name.end(), IsControl)) {
    return FieldError(file, field, Quoted(name), "a name without control characters");
  }
  return name;
}

Result<GgufMetadata> GgufMetadata::Read(ByteCursor* cursor, uint64_t count, std::string_view file) {
  if (count > kMaxEntries || !cursor->CanHold(count, kMinEntryBytes)) {
    return FieldError(file, "metadata count", fmt::format("{}", count),
                      fmt::format("at most {} in the {} bytes left",
                                  std::min<uint64_t>(kMaxEntries, cursor->left() / kMinEntryBytes),
                                  cursor->left()));
  }
  GgufMetadata metadata;
  metadata.entries_.resize(static_cast<size_t>(count));
  for (Entry& entry : metadata.entries_) {
    ASSIGN_OR_RETURN(entry.key, ReadGgufName(cursor, file, "metadata key"));
    RETURN_IF_ERROR(GgufValueReader(cursor, file, entry.key).Read(&entry.value));
  }
  const auto key_of = [&](uint32_t i) { return metadata.entries_[i].key; };
  metadata.by_key_ = OrderByName(metadata.entries_.size(), key_of);
  if (const auto repeated = FindRepeatedName(metadata.by_key_, key_of)) {
    return FieldError(file, "metadata key", Quoted(key_of(*repeated)) + " more than once",
                      "every key once");
  }
  return metadata;
}

const GgufValue* GgufMetadata::Find(std::string_view key) const {
  const auto found = FindName(by_key_, key, [&](uint32_t i) { return entries_[i].key; });
  return found ? &entries_[*found].value : nullptr;
}

}  // namespace pelton
