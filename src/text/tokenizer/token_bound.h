#pragma once

#include <cstddef>
#include <string_view>

#include "text/tokenizer/text_model.h"

namespace pelton::tokenizer {

struct TokenizerParts;

// How few tokens a text may become, as far as that can be told without making them.
struct TokenBound {
  // Normalised bytes that one token stands for at most; 0: any number.
  size_t token_bytes = 0;
  // The bytes of a text for each of those, at most.
  size_t ascii_shrink = 1;
  size_t shrink = 1;  // beside ASCII
  // White space, and other bytes that may become nothing: they do not count.
  bool drops_space = false;
  ByteSet lost;
  // Each word becomes a token of its own at least.
  bool counts_words = false;

  // At most the number of tokens of `text`, without those of add_special. O(text).
  size_t MinTokens(std::string_view text) const;
};

TokenBound BoundOf(const TokenizerParts& parts);

}  // namespace pelton::tokenizer
