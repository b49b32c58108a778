#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/tokenizer/merge_table.h"
#include "text/tokenizer/text_model.h"
#include "text/tokenizer/vocabulary.h"

namespace pelton::tokenizer {

struct BpeOptions {
  // Start from bytes; the vocabulary's texts are raw bytes. Otherwise from characters.
  bool byte_level = true;
  // A whole piece that is a token stays one, whether or not merges lead there.
  bool ignore_merges = false;
  // For characters that are no token: their bytes' tokens, if there are all of them.
  bool byte_fallback = false;
  // Neighbouring unknown characters give one unknown token.
  bool fuse_unknown = false;
  // For what cannot be expressed; kNoToken leaves it out.
  int32_t unknown_id = kNoToken;
};

// Byte pair encoding with a ranked list of merges. Borrows the vocabulary.
class BpeModel final : public TextModel {
 public:
  BpeModel(const Vocabulary& vocabulary, MergeTable merges, BpeOptions options);

  void Encode(std::string_view piece, std::vector<int32_t>* ids) const override;
  size_t MaxTokenBytes() const override;
  ByteSet LostBytes() const override;

 private:
  void EncodeBytes(std::string_view piece, std::vector<int32_t>* ids) const;
  void EncodeCharacters(std::string_view piece, std::vector<int32_t>* ids) const;
  // Merges symbols of which none is negative, and appends what is left.
  void MergeShort(int32_t* symbols, size_t count, std::vector<int32_t>* ids) const;
  void MergeLong(std::vector<int32_t> symbols, std::vector<int32_t>* ids) const;

  const Vocabulary& vocabulary_;
  MergeTable merges_;
  BpeOptions options_;
  int32_t byte_ids_[256];  // byte level: the token of each byte
};

// Makes the table for merges given as pairs of texts, best first, as they stand in the vocabulary.
class MergeTableBuilder {
 public:
  MergeTableBuilder(const Vocabulary& vocabulary, size_t merges, MergeTable::Duplicates duplicates);

  // False if a part or the result is no token.
  [[nodiscard]] bool Add(std::string_view left, std::string_view right);
  MergeTable Finish() { return std::move(table_); }

 private:
  const Vocabulary& vocabulary_;
  MergeTable::Duplicates duplicates_;
  MergeTable table_;
  uint32_t rank_ = 0;
  std::string joined_;
};

}  // namespace pelton::tokenizer
