#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "text/tokenizer/text_table.h"

namespace pelton::tokenizer {

inline constexpr int32_t kNoToken = -1;

// The values are those of `tokenizer.ggml.token_type`.
enum class TokenKind : uint8_t {
  kHole = 0,  // an id without a token
  kNormal = 1,
  kUnknown = 2,      // stands for what the vocabulary cannot express
  kControl = 3,      // special: only recognised in a text on request
  kUserDefined = 4,  // added: recognised in every text, before anything else
  kUnused = 5,       // SentencePiece: not to be produced, but it has a text
  kByte = 6,         // one byte, as fallback
};

// The tokens of a model: id <-> text, and what each contributes to a decoded text.
class Vocabulary {
 public:
  void Reserve(size_t tokens, size_t text_bytes);
  // Adds the token whose id is size(): found by `text`, decoded as `piece`.
  void Append(std::string_view text, std::string_view piece, TokenKind kind);
  // Builds what Find, FindAny and ByteToken use. Call once, after the last Append.
  void BuildIndex();

  size_t size() const { return kinds_.size(); }
  bool Has(int32_t id) const {
    return id >= 0 && static_cast<size_t>(id) < size() && kind(id) != TokenKind::kHole;
  }
  // Requires: 0 <= id < size().
  TokenKind kind(int32_t id) const { return kinds_[static_cast<size_t>(id)]; }
  std::string_view text(int32_t id) const { return texts_[static_cast<size_t>(id)]; }
  std::string_view piece(int32_t id) const { return pieces_[static_cast<size_t>(id)]; }
  bool IsSpecial(int32_t id) const {
    return kind(id) == TokenKind::kControl || kind(id) == TokenKind::kUnknown;
  }

  // The ordinary token with this text: what a model may make out of a text. kNoToken if none.
  int32_t Find(std::string_view text) const { return ordinary_.Find(texts_, text); }
  // The token with this text, ordinary or not; ordinary ones last.
  int32_t FindAny(std::string_view text) const;
  // The fallback token of a byte (kind kByte, a piece of one byte), or kNoToken.
  int32_t ByteToken(unsigned char byte) const { return bytes_[byte]; }
  // Whether each byte that UTF-8 may have is such a token.
  bool HasByteTokens() const;
  // Length in bytes of the longest text of an ordinary token.
  size_t longest_text() const { return longest_text_; }

 private:
  TextTable texts_;
  TextTable pieces_;
  std::vector<TokenKind> kinds_;
  TextIndex ordinary_;
  TextIndex others_;
  std::array<int32_t, 256> bytes_{};
  size_t longest_text_ = 0;
};

}  // namespace pelton::tokenizer
