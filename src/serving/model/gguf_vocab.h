#pragma once

#include "models/weights/gguf_metadata.h"
#include "text/tokenizer/vocab_metadata.h"

namespace pelton {

// A GGUF file's metadata as the tokenizer wants to see it. Borrows the metadata.
class GgufVocab final : public VocabMetadata {
 public:
  explicit GgufVocab(const GgufMetadata& metadata) : metadata_(metadata) {}

  std::optional<std::string_view> String(std::string_view key) const override;
  std::optional<int64_t> Integer(std::string_view key) const override;
  std::optional<bool> Bool(std::string_view key) const override;
  std::vector<std::string_view> Strings(std::string_view key) const override;
  std::vector<float> Floats(std::string_view key) const override;
  std::vector<int32_t> Integers(std::string_view key) const override;
  std::span<const std::byte> Bytes(std::string_view key) const override;

 private:
  const GgufValue* Scalar(std::string_view key) const;
  const GgufValue* Array(std::string_view key) const;

  const GgufMetadata& metadata_;
};

}  // namespace pelton
