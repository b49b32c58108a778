#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace pelton::tokenizer {

// Turns a normalised piece of text, one pre-token, into tokens. Immutable.
class TextModel {
 public:
  virtual ~TextModel() = default;
  // Appends the tokens of `piece`, which is UTF-8. O(n log n) in its size.
  virtual void Encode(std::string_view piece, std::vector<int32_t>* ids) const = 0;
};

}  // namespace pelton::tokenizer
