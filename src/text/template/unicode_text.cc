#include "text/template/unicode_text.h"

#include <string.h>
#include <utf8proc.h>

#include <algorithm>
#include <iterator>

#include "text/template/unicode_category.h"
#include "text/template/unicode_tables.h"

namespace pelton::jinja {
namespace {

// Length of the sequence that `lead` starts, 0 if it starts none.
size_t SequenceLength(uint8_t lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return 2;
  if (lead >= 0xE0 && lead <= 0xEF) return 3;
  if (lead >= 0xF0 && lead <= 0xF4) return 4;
  return 0;
}

// Smallest and largest second byte after `lead` (Unicode 3.9, table 3-7).
uint8_t SecondByteMin(uint8_t lead) { return lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80; }
uint8_t SecondByteMax(uint8_t lead) { return lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF; }

// Bytes of the longest start of a sequence at `pos`; `complete` says whether it is a whole one.
size_t SequencePrefix(std::string_view bytes, size_t pos, bool& complete) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(bytes[i]); };
  const size_t length = SequenceLength(byte(pos));
  complete = false;
  if (length == 0) return 1;
  for (size_t i = 1; i < length; ++i) {
    if (pos + i >= bytes.size()) return i;
    const uint8_t low = i == 1 ? SecondByteMin(byte(pos)) : 0x80;
    const uint8_t high = i == 1 ? SecondByteMax(byte(pos)) : 0xBF;
    if (byte(pos + i) < low || byte(pos + i) > high) return i;
  }
  complete = true;
  return length;
}

template <size_t N>
bool InRanges(const CodePointRange (&ranges)[N], char32_t c) {
  const auto* it =
      std::upper_bound(std::begin(ranges), std::end(ranges), c,
                       [](char32_t v, const CodePointRange& r) { return v < r.first; });
  return it != std::begin(ranges) && c <= std::prev(it)->last;
}

}  // namespace

char32_t DecodeAt(std::string_view text, size_t& pos) {
  const auto byte = [&](size_t i) { return static_cast<char32_t>(static_cast<uint8_t>(text[i])); };
  const char32_t lead = byte(pos);
  if (lead < 0x80) {
    ++pos;
    return lead;
  }
  const size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  char32_t c = lead & (0xFF >> (length + 1));
  for (size_t i = 1; i < length && pos + i < text.size(); ++i) c = c << 6 | (byte(pos + i) & 0x3F);
  pos = std::min(pos + length, text.size());
  return c;
}

void AppendUtf8(char32_t c, std::string& out) {
  if (c >= 0xD800 && c <= 0xDFFF) c = 0xFFFD;
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xC0 | c >> 6);
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    out += static_cast<char>(0xE0 | c >> 12);
    out += static_cast<char>(0x80 | (c >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | c >> 18);
    out += static_cast<char>(0x80 | (c >> 12 & 0x3F));
    out += static_cast<char>(0x80 | (c >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  }
}

int64_t CountCodePoints(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; });
}

size_t ByteOffset(std::string_view text, int64_t index) {
  size_t pos = 0;
  for (; pos < text.size(); ++pos) {
    if ((text[pos] & 0xC0) == 0x80) continue;
    if (index-- == 0) break;
  }
  return pos;
}

bool IsAsciiText(std::string_view text) {
  unsigned char bits = 0;
  for (const char c : text) bits |= static_cast<unsigned char>(c);
  return bits < 0x80;
}

bool IsValidUtf8(std::string_view bytes) {
  bool complete = true;
  for (size_t pos = 0; pos < bytes.size();) {
    if (static_cast<uint8_t>(bytes[pos]) < 0x80) {
      ++pos;
      continue;
    }
    pos += SequencePrefix(bytes, pos, complete);
    if (!complete) return false;
  }
  return true;
}

std::string ToValidUtf8(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  for (size_t pos = 0; pos < bytes.size();) {
    bool complete = false;
    const size_t length = SequencePrefix(bytes, pos, complete);
    if (complete) {
      out += bytes.substr(pos, length);
    } else {
      out += "\xEF\xBF\xBD";
    }
    pos += length;
  }
  return out;
}

bool IsSpace(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x1F);
  if (c == 0x85) return true;
  const utf8proc_category_t category = Category(c);
  return category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_ZL ||
         category == UTF8PROC_CATEGORY_ZP;
}

bool IsAlpha(char32_t c) {
  if (c < 0x80) return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
  const utf8proc_category_t category = Category(c);
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

bool IsDecimal(char32_t c) {
  if (c < 0x80) return c >= '0' && c <= '9';
  return Category(c) == UTF8PROC_CATEGORY_ND;
}

bool IsDigit(char32_t c) { return IsDecimal(c) || (c >= 0x80 && InRanges(kOtherDigits, c)); }

bool IsNumeric(char32_t c) {
  if (c < 0x80) return c >= '0' && c <= '9';
  const utf8proc_category_t category = Category(c);
  if (category == UTF8PROC_CATEGORY_ND || category == UTF8PROC_CATEGORY_NL ||
      category == UTF8PROC_CATEGORY_NO) {
    return true;
  }
  return InRanges(kNumericLetters, c);
}

bool IsLower(char32_t c) {
  if (c < 0x80) return c >= 'a' && c <= 'z';
  return Category(c) == UTF8PROC_CATEGORY_LL || InRanges(kOtherLower, c);
}

bool IsUpper(char32_t c) {
  if (c < 0x80) return c >= 'A' && c <= 'Z';
  return Category(c) == UTF8PROC_CATEGORY_LU || InRanges(kOtherUpper, c);
}

bool IsTitle(char32_t c) { return c >= 0x80 && Category(c) == UTF8PROC_CATEGORY_LT; }

bool IsPrintable(char32_t c) {
  if (c < 0x80) return c >= 0x20 && c < 0x7F;
  const utf8proc_category_t category = Category(c);
  return category != UTF8PROC_CATEGORY_CN &&
         !(category >= UTF8PROC_CATEGORY_ZS && category <= UTF8PROC_CATEGORY_CO);
}

bool IsIdentifierPart(char32_t c) {
  if (c < 0x80) return IsAlnum(c) || c == '_';
  const utf8proc_category_t category = Category(c);
  return IsAlnum(c) || category == UTF8PROC_CATEGORY_PC ||
         (category >= UTF8PROC_CATEGORY_MN && category <= UTF8PROC_CATEGORY_ME);
}

std::string_view StripLeft(std::string_view text) {
  size_t pos = 0;
  while (pos < text.size()) {
    size_t next = pos;
    if (!IsSpace(DecodeAt(text, next))) break;
    pos = next;
  }
  return text.substr(pos);
}

std::string_view StripRight(std::string_view text) {
  size_t end = text.size();
  while (end > 0) {
    size_t start = end - 1;
    while (start > 0 && (text[start] & 0xC0) == 0x80) --start;
    size_t pos = start;
    if (!IsSpace(DecodeAt(text, pos))) break;
    end = start;
  }
  return text.substr(0, end);
}

size_t FindBytes(std::string_view text, std::string_view needle, size_t from) {
  if (from > text.size()) return std::string_view::npos;
  if (needle.empty()) return from;
  const void* found = memmem(text.data() + from, text.size() - from, needle.data(), needle.size());
  if (found == nullptr) return std::string_view::npos;
  return static_cast<size_t>(static_cast<const char*>(found) - text.data());
}

size_t FindLastBytes(std::string_view text, std::string_view needle, size_t end) {
  text = text.substr(0, end);
  if (needle.size() > text.size()) return std::string_view::npos;
  if (needle.empty()) return text.size();
  if (needle.size() <= 16) {  // bounded work at each candidate
    for (size_t room = text.size() - needle.size() + 1; room > 0;) {
      const void* found = memrchr(text.data(), needle[0], room);
      if (found == nullptr) return std::string_view::npos;
      const size_t pos = static_cast<size_t>(static_cast<const char*>(found) - text.data());
      if (text.substr(pos).starts_with(needle)) return pos;
      room = pos;
    }
    return std::string_view::npos;
  }
  const std::string reversed_text(text.rbegin(), text.rend());
  const std::string reversed_needle(needle.rbegin(), needle.rend());
  const size_t found = FindBytes(reversed_text, reversed_needle);
  return found == std::string_view::npos ? found : text.size() - found - needle.size();
}

}  // namespace pelton::jinja
