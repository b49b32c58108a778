#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "models/weights/gguf_metadata.h"

namespace pelton {

// Typed reads of the metadata keys that begin with a prefix ("llama."), with the methods of
// JsonFields. A key that is absent gives nullopt; a value of another type or out of range is
// DataLoss, naming the file and the key.
class GgufFields {
 public:
  // Borrows all three.
  GgufFields(const GgufMetadata& metadata, std::string_view prefix, std::string_view file)
      : metadata_(metadata), prefix_(prefix), file_(file) {}

  const GgufValue* Find(std::string_view name) const;

  // Also takes a list with one value per layer if all are the same; Unimplemented if they differ.
  Result<std::optional<uint64_t>> Unsigned(std::string_view name, uint64_t min, uint64_t max) const;
  Result<std::optional<double>> Number(std::string_view name, double min, double max) const;
  Result<std::optional<bool>> Bool(std::string_view name) const;
  Result<std::optional<std::string>> String(std::string_view name) const;

  std::string_view file() const { return file_; }
  // `metadata key "llama.block_count"`.
  std::string PathOf(std::string_view name) const;

 private:
  std::string KeyOf(std::string_view name) const;

  const GgufMetadata& metadata_;
  std::string_view prefix_;
  std::string_view file_;
};

}  // namespace pelton
