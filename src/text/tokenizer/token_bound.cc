#include "text/tokenizer/token_bound.h"

#include <algorithm>
#include <cstdint>

#include "base/checked_math.h"
#include "text/tokenizer/tokenizer_parts.h"
#include "text/tokenizer/unicode.h"
#include "text/tokenizer/utf8.h"

namespace pelton::tokenizer {

namespace {

struct ByteCounts {
  size_t ascii = 0;
  size_t other = 0;
};

// Those that count.
ByteCounts CountBytes(std::string_view text, const TokenBound& bound) {
  ByteCounts counts;
  const auto is_ascii = [](char c) { return static_cast<unsigned char>(c) < 0x80; };
  if (!bound.drops_space && bound.lost.none()) {
    counts.ascii = static_cast<size_t>(std::ranges::count_if(text, is_ascii));
    counts.other = text.size() - counts.ascii;
    return counts;
  }
  for (size_t pos = 0; pos < text.size();) {
    const size_t start = pos;
    const uint32_t c = DecodeUtf8(text, &pos);
    // What replaces bytes that are not UTF-8 may be lost, too.
    if (c == kReplacementCharacter || (bound.drops_space && (CharClasses(c) & kSpace))) continue;
    size_t& count = is_ascii(text[start]) ? counts.ascii : counts.other;
    for (size_t i = start; i < pos; ++i) count += !bound.lost[static_cast<unsigned char>(text[i])];
  }
  return counts;
}

// What stands between white space and has an ASCII letter or digit: other characters may be dropped
// as control characters or accents. Only the white space that no cleaning drops parts words.
size_t CountWords(std::string_view text) {
  size_t words = 0;
  bool counted = false;
  for (const char c : text) {
    if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
      counted = false;
    } else if (!counted && static_cast<unsigned char>(c) < 0x80 &&
               (CharClasses(static_cast<unsigned char>(c)) & (kLetter | kNumber)) != 0) {
      counted = true;
      ++words;
    }
  }
  return words;
}

}  // namespace

size_t TokenBound::MinTokens(std::string_view text) const {
  size_t tokens = counts_words ? CountWords(text) : 0;
  if (token_bytes > 0) {
    const ByteCounts counts = CountBytes(text, *this);
    const size_t bytes = counts.ascii / ascii_shrink + counts.other / shrink;
    tokens = std::max(tokens, DivUp(bytes, token_bytes));
  }
  return tokens;
}

// What replaces bytes that are not UTF-8 is never shorter than they are. Each byte then belongs to
// an added token, to the white space beside one, or to a piece of the normalised text.
TokenBound BoundOf(const TokenizerParts& parts) {
  const NormalizeEffect normalized = parts.normalizer.effect();
  TokenBound bound;
  bound.lost = parts.model->LostBytes();
  // Stages before the model write spaces with other bytes, which may be lost.
  bound.drops_space = parts.added.takes_space() || bound.lost.any();
  bound.counts_words = normalized.keeps_words && parts.pre_tokenizer.CutsWords() &&
                       parts.model->NamesEachPiece() && !parts.added.spans_words() &&
                       !parts.added_normalized.spans_words();
  const size_t piece_bytes = parts.pre_tokenizer.KeepsText() ? parts.model->MaxTokenBytes() : 0;
  // What becomes white space, or a byte that is lost, may have been something else.
  const bool same = parts.normalizer.empty();
  if (piece_bytes == 0 || normalized.shrink == 0 || normalized.ascii_shrink == 0 ||
      parts.added_normalized.takes_space() || (bound.lost.any() && !same)) {
    return bound;
  }
  bound.token_bytes =
      std::max({piece_bytes, parts.added_normalized.longest_text(), parts.added.longest_text()});
  bound.ascii_shrink = normalized.ascii_shrink;
  bound.shrink = normalized.shrink;
  return bound;
}

}  // namespace pelton::tokenizer
