#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/tokenizer/text_model.h"
#include "text/tokenizer/vocabulary.h"

namespace pelton::tokenizer {

// BERT's WordPiece: from the start of a word always the longest token; a word that is not made of
// tokens, or is too long, is one unknown token. Borrows the vocabulary.
class WordPieceModel final : public TextModel {
 public:
  struct Options {
    std::string continuation_prefix = "##";  // of tokens that do not begin a word
    size_t max_characters = 100;             // of a word
    int32_t unknown_id = kNoToken;
  };
  WordPieceModel(const Vocabulary& vocabulary, Options options)
      : vocabulary_(vocabulary), options_(std::move(options)) {}

  void Encode(std::string_view piece, std::vector<int32_t>* ids) const override;
  size_t MaxTokenBytes() const override { return 0; }  // an unknown word may have any length
  bool NamesEachPiece() const override { return options_.unknown_id != kNoToken; }

 private:
  bool EncodeWord(std::string_view word, std::vector<int32_t>* ids) const;

  const Vocabulary& vocabulary_;
  Options options_;
};

}  // namespace pelton::tokenizer
