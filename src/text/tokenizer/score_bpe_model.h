#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "text/tokenizer/pair_merger.h"
#include "text/tokenizer/text_model.h"
#include "text/tokenizer/vocabulary.h"

namespace pelton::tokenizer {

// SentencePiece's byte pair encoding: two neighbours merge if their texts, joined, are a token; the
// token with the highest score first, of equal ones the leftmost. What is no token in the end
// becomes its bytes, if there are tokens for all of them, or else an unknown token, one for each
// run. Borrows the vocabulary.
class ScoreBpeModel final : public TextModel {
 public:
  // Requires: a score that is not NaN for each token.
  ScoreBpeModel(const Vocabulary& vocabulary, std::vector<float> scores, int32_t unknown_id);

  void Encode(std::string_view piece, std::vector<int32_t>* ids) const override;
  size_t MaxTokenBytes() const override;

 private:
  void SplitCharacters(std::string_view word, std::vector<MergeSymbol>* symbols) const;

  const Vocabulary& vocabulary_;
  std::vector<float> scores_;
  int32_t unknown_id_;
  // No token has U+2581 behind another character, so no merge crosses the begin of a word and
  // words can be taken one by one.
  bool words_are_separate_ = true;
};

// Appends the byte tokens of `text`. False, and nothing appended, if one does not exist.
bool AppendByteTokens(const Vocabulary& vocabulary, std::string_view text,
                      std::vector<int32_t>* ids);

}  // namespace pelton::tokenizer
