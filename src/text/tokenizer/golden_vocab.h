#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer/vocab_metadata.h"

namespace pelton::tokenizer {

// For tests: metadata given key by key. Integers stand for every integer type.
class FakeMetadata : public VocabMetadata {
 public:
  std::map<std::string, std::string, std::less<>> strings;
  std::map<std::string, int64_t, std::less<>> integers;
  std::map<std::string, bool, std::less<>> bools;
  std::map<std::string, std::vector<std::string>, std::less<>> string_lists;
  std::map<std::string, std::vector<float>, std::less<>> float_lists;
  std::map<std::string, std::vector<int32_t>, std::less<>> integer_lists;
  std::map<std::string, std::vector<std::byte>, std::less<>> byte_lists;

  std::optional<std::string_view> String(std::string_view key) const override;
  std::optional<int64_t> Integer(std::string_view key) const override;
  std::optional<bool> Bool(std::string_view key) const override;
  std::vector<std::string_view> Strings(std::string_view key) const override;
  std::vector<float> Floats(std::string_view key) const override;
  std::vector<int32_t> Integers(std::string_view key) const override;
  std::span<const std::byte> Bytes(std::string_view key) const override;
};

// For tests: the metadata of a GGUF file (version 3) that is known to be sound; null otherwise.
std::unique_ptr<FakeMetadata> ReadGgufMetadata(std::span<const std::byte> file);

// For tests: the file's bytes; empty if it cannot be read.
std::string ReadTestFile(const std::string& path);

}  // namespace pelton::tokenizer
