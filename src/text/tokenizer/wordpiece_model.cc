#include "text/tokenizer/wordpiece_model.h"

#include <algorithm>

#include "text/tokenizer/utf8.h"

namespace pelton::tokenizer {

void WordPieceModel::Encode(std::string_view piece, std::vector<int32_t>* ids) const {
  size_t characters = 0;
  for (size_t pos = 0; pos < piece.size() && characters <= options_.max_characters; ++characters) {
    DecodeUtf8(piece, &pos);
  }
  const size_t size_before = ids->size();
  if (characters <= options_.max_characters && EncodeWord(piece, ids)) return;
  ids->resize(size_before);
  if (options_.unknown_id != kNoToken) ids->push_back(options_.unknown_id);
}

bool WordPieceModel::EncodeWord(std::string_view word, std::vector<int32_t>* ids) const {
  std::string key;
  for (size_t start = 0; start < word.size();) {
    const std::string_view prefix =
        start == 0 ? "" : std::string_view(options_.continuation_prefix);
    const size_t longest = std::min(word.size() - start, vocabulary_.longest_text());
    key.assign(prefix).append(word, start, longest);
    int32_t id = kNoToken;
    size_t size = longest;
    for (; size > 0; size = PreviousCharacter(word, start + size) - start) {
      if (start + size < word.size() && (word[start + size] & 0xC0) == 0x80) continue;
      id = vocabulary_.Find(std::string_view(key).substr(0, prefix.size() + size));
      if (id != kNoToken) break;
    }
    if (id == kNoToken) return false;
    ids->push_back(id);
    start += size;
  }
  return true;
}

}  // namespace pelton::tokenizer
