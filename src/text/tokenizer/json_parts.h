#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "text/tokenizer/json_fields.h"
#include "text/tokenizer/tokenizer_parts.h"

namespace pelton::tokenizer {

// The components of a tokenizer.json, each from its JSON value. Errors: InvalidArgument for a
// value of the wrong form, Unimplemented for a component that is not known.

// Sequences may be nested this deep.
inline constexpr int kMaxJsonDepth = 8;

Status AddJsonNormalizer(JsonValue value, int depth, Normalizer* normalizer);

// `byte_level` becomes true if the pieces are to be written in the byte alphabet, which is left to
// the model.
Status AddJsonPreTokenizer(JsonValue value, int depth, PreTokenizer* pre_tokenizer,
                           bool* byte_level);

// How a token's text becomes what it contributes to a decoded text.
class PieceDecoder {
 public:
  // `byte_fallback`: the model has byte tokens, even if the decoder does not say so.
  static Result<PieceDecoder> FromJson(std::optional<JsonValue> decoder, bool byte_fallback);

  // Appends the piece of an added token, which stands in a text as it is.
  void DecodeAdded(std::string_view text, std::string* piece) const;

  // Appends the piece of `text`. `byte` is set if it is a byte token.
  void Decode(std::string_view text, std::string* piece, bool* byte) const;
  bool strips_first_space() const { return strips_first_space_; }

 private:
  Status Add(JsonValue decoder, int depth);

  bool byte_level_ = false;
  bool byte_fallback_ = false;
  bool strips_first_space_ = false;
  std::optional<std::string> word_prefix_;  // WordPiece: "##"
  std::string word_suffix_;                 // BPE: "</w>" becomes a space
  std::vector<std::pair<std::string, std::string>> replacements_;
};

// The vocabulary: model.vocab and added_tokens. Texts are raw bytes with `byte_level`.
Result<std::unique_ptr<Vocabulary>> VocabularyFromJson(JsonValue json, const PieceDecoder& decoder,
                                                       bool byte_level);

// Fills `added` and `added_normalized`. Requires: vocabulary, normalizer.
Status AddJsonAddedTokens(JsonValue json, TokenizerParts* parts);

// The model, and parts->unknown. Requires: vocabulary.
Status MakeJsonModel(JsonValue model, bool byte_level, TokenizerParts* parts);

// Fills `prefix` and `suffix` from the post-processor. Requires: vocabulary.
Status AddJsonPostProcessor(JsonValue value, int depth, TokenizerParts* parts);

}  // namespace pelton::tokenizer
