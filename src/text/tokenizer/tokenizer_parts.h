#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "text/tokenizer/added_tokens.h"
#include "text/tokenizer/normalizer.h"
#include "text/tokenizer/pre_tokenizer.h"
#include "text/tokenizer/text_model.h"
#include "text/tokenizer/token_bound.h"
#include "text/tokenizer/vocabulary.h"

namespace pelton::tokenizer {

// What a Tokenizer is made of. A text goes through: added tokens, normalizer, added tokens that
// are looked for in normalised text, pre-tokenizer, model.
struct TokenizerParts {
  std::unique_ptr<Vocabulary> vocabulary;  // the model borrows it
  AddedTokens added;
  AddedTokens added_normalized;
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  std::unique_ptr<TextModel> model;

  // What add_special puts around a text.
  std::vector<int32_t> prefix;
  std::vector<int32_t> suffix;

  std::optional<int32_t> bos;
  std::optional<int32_t> eos;
  std::optional<int32_t> eot;
  std::optional<int32_t> unknown;
  std::optional<int32_t> padding;
  std::vector<int32_t> end_of_generation;  // ascending
  bool strips_first_space = false;
  TokenBound bound;  // by the Tokenizer, of all of the above
};

}  // namespace pelton::tokenizer
