#include "text/tokenizer/golden_vocab.h"

#include <cstdio>

#include "base/byte_cursor.h"

namespace pelton::tokenizer {

namespace {

template <typename Map>
auto* FindIn(const Map& map, std::string_view key) {
  const auto entry = map.find(key);
  return entry == map.end() ? nullptr : &entry->second;
}

template <typename T>
std::optional<T> ReadAs(ByteCursor* cursor) {
  T value;
  if (!cursor->Read(&value)) return std::nullopt;
  return value;
}

// A number of GGUF's type `type`.
std::optional<double> ReadNumber(uint32_t type, ByteCursor* cursor) {
  switch (type) {
    case 0:
      return ReadAs<uint8_t>(cursor);
    case 1:
      return ReadAs<int8_t>(cursor);
    case 2:
      return ReadAs<uint16_t>(cursor);
    case 3:
      return ReadAs<int16_t>(cursor);
    case 4:
      return ReadAs<uint32_t>(cursor);
    case 5:
      return ReadAs<int32_t>(cursor);
    case 6:
      return ReadAs<float>(cursor);
    case 7:
      return ReadAs<uint8_t>(cursor);
    default:
      return std::nullopt;
  }
}

bool ReadString(ByteCursor* cursor, std::string* out) {
  uint64_t size;
  std::string_view text;
  if (!cursor->Read(&size) || !cursor->ReadText(size, &text)) return false;
  *out = text;
  return true;
}

bool ReadList(const std::string& key, ByteCursor* cursor, FakeMetadata* out) {
  uint32_t type;
  uint64_t count;
  if (!cursor->Read(&type) || !cursor->Read(&count)) return false;
  for (uint64_t i = 0; i < count; ++i) {
    if (type == 8) {
      if (!ReadString(cursor, &out->string_lists[key].emplace_back())) return false;
      continue;
    }
    const std::optional<double> number = ReadNumber(type, cursor);
    if (!number) return false;
    if (type == 6) {
      out->float_lists[key].push_back(static_cast<float>(*number));
    } else if (type <= 1) {
      out->byte_lists[key].push_back(static_cast<std::byte>(static_cast<int>(*number)));
    } else {
      out->integer_lists[key].push_back(static_cast<int32_t>(*number));
    }
  }
  return true;
}

}  // namespace

std::optional<std::string_view> FakeMetadata::String(std::string_view key) const {
  const auto* value = FindIn(strings, key);
  return value == nullptr ? std::nullopt : std::optional<std::string_view>(*value);
}

std::optional<int64_t> FakeMetadata::Integer(std::string_view key) const {
  const auto* value = FindIn(integers, key);
  return value == nullptr ? std::nullopt : std::optional<int64_t>(*value);
}

std::optional<bool> FakeMetadata::Bool(std::string_view key) const {
  const auto* value = FindIn(bools, key);
  return value == nullptr ? std::nullopt : std::optional<bool>(*value);
}

std::vector<std::string_view> FakeMetadata::Strings(std::string_view key) const {
  const auto* value = FindIn(string_lists, key);
  if (value == nullptr) return {};
  return {value->begin(), value->end()};
}

std::vector<float> FakeMetadata::Floats(std::string_view key) const {
  const auto* value = FindIn(float_lists, key);
  return value == nullptr ? std::vector<float>() : *value;
}

std::vector<int32_t> FakeMetadata::Integers(std::string_view key) const {
  const auto* value = FindIn(integer_lists, key);
  return value == nullptr ? std::vector<int32_t>() : *value;
}

std::span<const std::byte> FakeMetadata::Bytes(std::string_view key) const {
  const auto* value = FindIn(byte_lists, key);
  return value == nullptr ? std::span<const std::byte>() : *value;
}

std::unique_ptr<FakeMetadata> ReadGgufMetadata(std::span<const std::byte> file) {
  ByteCursor cursor(file);
  std::string_view magic;
  uint32_t version;
  uint64_t num_tensors;
  uint64_t num_keys;
  if (!cursor.ReadText(4, &magic) || magic != "GGUF" || !cursor.Read(&version) || version != 3 ||
      !cursor.Read(&num_tensors) || !cursor.Read(&num_keys)) {
    return nullptr;
  }
  auto out = std::make_unique<FakeMetadata>();
  for (uint64_t i = 0; i < num_keys; ++i) {
    std::string key;
    uint32_t type;
    if (!ReadString(&cursor, &key) || !cursor.Read(&type)) return nullptr;
    if (type == 8) {
      if (!ReadString(&cursor, &out->strings[key])) return nullptr;
    } else if (type == 9) {
      if (!ReadList(key, &cursor, out.get())) return nullptr;
    } else {
      const std::optional<double> number = ReadNumber(type, &cursor);
      if (!number) return nullptr;
      if (type == 7) {
        out->bools[key] = *number != 0;
      } else if (type != 6) {
        out->integers[key] = static_cast<int64_t>(*number);
      }
    }
  }
  return out;
}

std::string ReadTestFile(const std::string& path) {
  std::string bytes;
  std::FILE* file = std::fopen(path.c_str(), "rb");
  if (file == nullptr) return bytes;
  char block[1 << 16];
  while (const size_t count = std::fread(block, 1, sizeof(block), file)) {
    bytes.append(block, count);
  }
  std::fclose(file);
  return bytes;
}

}  // namespace pelton::tokenizer
