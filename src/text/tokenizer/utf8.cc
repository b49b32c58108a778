#include "text/tokenizer/utf8.h"

#include <cstring>

namespace pelton::tokenizer {

Utf8Step StepUtf8(std::string_view text, size_t pos) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[pos + i]); };
  const unsigned lead = byte(0);
  if (lead < 0x80) return {lead, 1, true, false};
  // The second byte's range depends on the lead byte: no overlong forms, surrogates, or values
  // above U+10FFFF.
  unsigned low = 0x80, high = 0xBF;
  size_t size;
  uint32_t code_point;
  if (lead >= 0xC2 && lead <= 0xDF) {
    size = 2;
    code_point = lead & 0x1F;
  } else if ((lead & 0xF0) == 0xE0) {
    size = 3;
    code_point = lead & 0x0F;
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    size = 4;
    code_point = lead & 0x07;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
  } else {
    return {kReplacementCharacter, 1, false, false};
  }
  for (size_t i = 1; i < size; ++i) {
    if (pos + i == text.size()) {
      return {kReplacementCharacter, static_cast<uint8_t>(i), false, true};
    }
    if (byte(i) < low || byte(i) > high) {
      return {kReplacementCharacter, static_cast<uint8_t>(i), false, false};
    }
    code_point = code_point << 6 | (byte(i) & 0x3F);
    low = 0x80;
    high = 0xBF;
  }
  return {code_point, static_cast<uint8_t>(size), true, false};
}

void AppendUtf8(uint32_t code_point, std::string* out) {
  const auto put = [&](uint32_t byte) { out->push_back(static_cast<char>(byte)); };
  if (code_point < 0x80) {
    put(code_point);
  } else if (code_point < 0x800) {
    put(0xC0 | code_point >> 6);
    put(0x80 | (code_point & 0x3F));
  } else if (code_point < 0x10000) {
    put(0xE0 | code_point >> 12);
    put(0x80 | (code_point >> 6 & 0x3F));
    put(0x80 | (code_point & 0x3F));
  } else {
    put(0xF0 | code_point >> 18);
    put(0x80 | (code_point >> 12 & 0x3F));
    put(0x80 | (code_point >> 6 & 0x3F));
    put(0x80 | (code_point & 0x3F));
  }
}

size_t AsciiPrefix(std::string_view text) {
  size_t pos = 0;
  for (; pos + 8 <= text.size(); pos += 8) {
    uint64_t word;
    std::memcpy(&word, text.data() + pos, sizeof(word));
    if (word & 0x8080808080808080u) break;
  }
  while (pos < text.size() && static_cast<unsigned char>(text[pos]) < 0x80) ++pos;
  return pos;
}

std::string_view ReplaceInvalidUtf8(std::string_view text, std::string* storage) {
  size_t pos = 0;
  size_t copied = 0;
  bool replaced = false;
  while (pos < text.size()) {
    pos += AsciiPrefix(text.substr(pos));
    if (pos == text.size()) break;
    const Utf8Step step = StepUtf8(text, pos);
    if (!step.valid) {
      if (!replaced) storage->clear();
      replaced = true;
      storage->append(text.substr(copied, pos - copied));
      storage->append(kReplacementText);
      copied = pos + step.size;
    }
    pos += step.size;
  }
  if (!replaced) return text;
  storage->append(text.substr(copied));
  return *storage;
}

}  // namespace pelton::tokenizer
