#pragma once

#include <optional>
#include <string_view>

namespace pelton::tokenizer {

// The byte that a fallback token's text, "<0x0A>", stands for. Nothing else is one: two upper or
// lower case hexadecimal digits, no sign, no space.
inline std::optional<unsigned char> ByteOfToken(std::string_view text) {
  const auto digit = [](char c) -> int {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
  };
  if (text.size() != 6 || !text.starts_with("<0x") || text[5] != '>') return std::nullopt;
  const int high = digit(text[3]);
  const int low = digit(text[4]);
  if (high < 0 || low < 0) return std::nullopt;
  return static_cast<unsigned char>(high * 16 + low);
}

}  // namespace pelton::tokenizer
