#pragma once

#include <cstddef>
#include <string_view>

#include "text/tokenizer/tokenizer.h"

namespace pelton {

// A number of tokens that a long text has at least, to refuse it by before it is tokenised, which
// takes 35 times its size. 0 for a text that costs little: of that the true number can be told.
inline size_t MinTokensOfLongText(const Tokenizer& tokenizer, std::string_view text) {
  constexpr size_t kShort = 64 << 10;
  return text.size() <= kShort ? 0 : tokenizer.MinTokens(text);
}

}  // namespace pelton
