#include "text/tokenizer/vocabulary.h"

#include <algorithm>

#include "text/tokenizer/utf8.h"

namespace pelton::tokenizer {

namespace {

bool IsOrdinary(TokenKind kind) {
  return kind == TokenKind::kNormal || kind == TokenKind::kUnused ||
         kind == TokenKind::kUserDefined;
}

}  // namespace

void Vocabulary::Reserve(size_t tokens, size_t text_bytes) {
  texts_.Reserve(tokens, text_bytes);
  pieces_.Reserve(tokens, text_bytes);
  kinds_.reserve(tokens);
}

void Vocabulary::Append(std::string_view text, std::string_view piece, TokenKind kind) {
  texts_.Append(text);
  pieces_.Append(piece);
  kinds_.push_back(kind);
}

void Vocabulary::BuildIndex() {
  const size_t num_ordinary =
      static_cast<size_t>(std::count_if(kinds_.begin(), kinds_.end(), IsOrdinary));
  ordinary_.Reset(num_ordinary);
  others_.Reset(size() - num_ordinary);
  bytes_.fill(kNoToken);
  for (int32_t id = 0; static_cast<size_t>(id) < size(); ++id) {
    if (kind(id) == TokenKind::kHole) continue;
    if (IsOrdinary(kind(id))) {
      ordinary_.Insert(texts_, id);
      longest_text_ = std::max(longest_text_, text(id).size());
      continue;
    }
    others_.Insert(texts_, id);
    if (kind(id) == TokenKind::kByte && piece(id).size() == 1) {
      bytes_[static_cast<unsigned char>(piece(id)[0])] = id;
    }
  }
}

bool Vocabulary::HasByteTokens() const {
  for (unsigned byte = 0; byte < 256; ++byte) {
    if (IsUtf8Byte(byte) && bytes_[byte] == kNoToken) return false;
  }
  return true;
}

int32_t Vocabulary::FindAny(std::string_view text) const {
  const int32_t id = others_.Find(texts_, text);
  return id != kNoToken ? id : ordinary_.Find(texts_, text);
}

}  // namespace pelton::tokenizer
