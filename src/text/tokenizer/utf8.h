#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace pelton::tokenizer {

inline constexpr uint32_t kReplacementCharacter = 0xFFFD;
inline constexpr std::string_view kReplacementText = "\xEF\xBF\xBD";
// What vocabularies of SentencePiece have for a space.
inline constexpr std::string_view kSpaceMark = "\u2581";

// Whether a text that is UTF-8 may have this byte.
constexpr bool IsUtf8Byte(unsigned byte) { return byte < 0xC0 || (byte > 0xC1 && byte < 0xF5); }

// One step over bytes that may or may not be UTF-8.
struct Utf8Step {
  uint32_t code_point;  // kReplacementCharacter unless valid
  uint8_t size;         // bytes of the character, or of the maximal subpart that is no character
  bool valid;
  bool incomplete;  // not valid, but more bytes could complete it
};

// The step at text[pos]. Requires: pos < text.size(). Source: Unicode 3.9, table 3-7, D93b.
Utf8Step StepUtf8(std::string_view text, size_t pos);

// The code point at text[*pos]; moves *pos past it. Bytes that are not UTF-8 give
// kReplacementCharacter. Requires: *pos < text.size().
inline uint32_t DecodeUtf8(std::string_view text, size_t* pos) {
  const auto lead = static_cast<unsigned char>(text[*pos]);
  if (lead < 0x80) {
    ++*pos;
    return lead;
  }
  const Utf8Step step = StepUtf8(text, *pos);
  *pos += step.size;
  return step.code_point;
}

// Start of the character before text[pos], for text that is UTF-8. Requires: pos > 0.
inline size_t PreviousCharacter(std::string_view text, size_t pos) {
  do {
    --pos;
  } while (pos > 0 && (static_cast<unsigned char>(text[pos]) & 0xC0) == 0x80);
  return pos;
}

void AppendUtf8(uint32_t code_point, std::string* out);

// Length of the longest prefix that is ASCII.
size_t AsciiPrefix(std::string_view text);

// `text` itself if it is UTF-8, else `*storage`, filled with `text` where each maximal subpart
// that is not UTF-8 is replaced by U+FFFD.
std::string_view ReplaceInvalidUtf8(std::string_view text, std::string* storage);

}  // namespace pelton::tokenizer
