#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "text/tokenizer/charsmap.h"
#include "text/tokenizer/tokenizer_parts.h"

namespace pelton::tokenizer {

// What a SentencePiece vocabulary is, whichever file it comes from.
struct SentencePieceSource {
  std::vector<std::string_view> texts;
  std::vector<float> scores;
  std::vector<TokenKind> kinds;
  bool unigram = false;  // otherwise byte pair encoding
  std::optional<int32_t> unknown;
  SentencePieceNormalization normalization;
};

// Vocabulary, normalizer, model, unknown, strips_first_space and the user-defined tokens, which
// are looked for in normalised text. `name` begins the messages. DataLoss if the lists have not the
// same size, a score is not a number, or a byte token's text is not "<0x00>" to "<0xFF>".
Result<TokenizerParts> PartsFromSentencePiece(SentencePieceSource source, std::string_view name);

}  // namespace pelton::tokenizer
