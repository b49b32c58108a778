#pragma once

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace pelton::tokenizer {

using ByteSet = std::bitset<256>;

// Turns a normalised piece of text, one pre-token, into tokens. Immutable.
class TextModel {
 public:
  virtual ~TextModel() = default;
  // Appends the tokens of `piece`, which is UTF-8. O(n log n) in its size.
  virtual void Encode(std::string_view piece, std::vector<int32_t>* ids) const = 0;
  // Bytes of a piece that one token stands for at most, beside the lost ones; 0: any number.
  virtual size_t MaxTokenBytes() const = 0;
  // The bytes that may give no token.
  virtual ByteSet LostBytes() const { return {}; }
  // Whether each piece gives a token.
  virtual bool NamesEachPiece() const { return MaxTokenBytes() > 0 && LostBytes().none(); }
};

}  // namespace pelton::tokenizer
