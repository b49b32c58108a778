#include "text/grammar/foresight.h"

#include <algorithm>
#include <array>
#include <bit>
#include <string>
#include <string_view>

namespace pelton {

namespace {
constexpr size_t kMostPieces = 32;  // that the begin of one text is made of
}

// The longest token that the mask allows if all others are its begin, so that whichever comes, the
// text is the same; else -1.
int32_t GrammarForesight::OnlyToken(std::span<const uint32_t> mask) const {
  std::array<int32_t, kMostPieces> allowed;
  size_t count = 0;
  for (size_t i = 0; i < mask.size(); ++i) {
    for (uint32_t word = mask[i]; word != 0; word &= word - 1) {
      if (count == kMostPieces) return -1;
      allowed[count++] = static_cast<int32_t>(i * 32) + std::countr_zero(word);
    }
  }
  int32_t longest = -1;
  for (size_t i = 0; i < count; ++i) {
    if (longest < 0 || tokenizer_.Piece(allowed[i]).size() > tokenizer_.Piece(longest).size()) {
      longest = allowed[i];
    }
  }
  for (size_t i = 0; i < count && count > 1; ++i) {
    if (tokenizer_.IsSpecial(allowed[i]) ||
        !tokenizer_.Piece(longest).starts_with(tokenizer_.Piece(allowed[i]))) {
      return -1;
    }
  }
  return longest;
}

size_t GrammarForesight::Look(GrammarMatcher& matcher, std::span<const uint32_t> mask,
                              std::span<int32_t> ids) {
  std::string text;
  size_t count = 0, accepted = 0;
  while (count < ids.size()) {
    const int32_t id = OnlyToken(mask);
    if (id < 0 || (tokenizer_.IsSpecial(id) && count > 0)) break;
    ids[count++] = id;
    if (tokenizer_.IsSpecial(id)) break;
    text += tokenizer_.Piece(id);
    if (count == ids.size() || !matcher.Accept(id)) break;
    ++accepted;
    mask_.resize(mask.size());
    if (!matcher.FillMask(mask_)) break;
    mask = mask_;
  }
  matcher.Retract(accepted);
  if (count < 2) return count;
  const std::vector<int32_t> usual = tokenizer_.Encode(text, {.parse_special = false});
  std::string written;
  for (const int32_t id : usual) written += tokenizer_.Piece(id);
  // Some tokenizers cannot write the middle of a text.
  if (written != text) return count;
  // Where the text was cut, its last token may be only the begin of the usual one.
  const size_t whole = usual.size() - (count == ids.size() ? 1 : 0);
  count = std::min(whole, ids.size());
  std::copy_n(usual.begin(), count, ids.begin());
  return count;
}

}  // namespace pelton
