#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace pelton::tokenizer {

// What the pre-tokenizers ask about a code point; several may hold.
enum CharClass : uint16_t {
  kUpper = 1u << 0,       // Lu, Lt
  kLower = 1u << 1,       // Ll
  kCaseless = 1u << 2,    // Lm, Lo
  kMark = 1u << 3,        // M
  kNumber = 1u << 4,      // N
  kPunct = 1u << 5,       // P
  kSymbol = 1u << 6,      // S
  kSpace = 1u << 7,       // property White_Space: \s
  kNonspacing = 1u << 8,  // Mn
  kControl = 1u << 9,     // Cc, Cf, Co, Cs
  kNewline = 1u << 10,    // line feed and carriage return
  kLetter = kUpper | kLower | kCaseless,
};

// Classes outside ASCII.
uint16_t WideCharClasses(uint32_t code_point);

namespace internal {
constexpr std::array<uint16_t, 128> AsciiCharClasses() {
  std::array<uint16_t, 128> table{};
  for (unsigned c = 0; c < 128; ++c) {
    unsigned bits = 0;
    if (c >= 'A' && c <= 'Z') bits |= kUpper;
    if (c >= 'a' && c <= 'z') bits |= kLower;
    if (c >= '0' && c <= '9') bits |= kNumber;
    if (c < 32 || c == 127) bits |= kControl;
    if (c == ' ' || (c >= '\t' && c <= '\r')) bits |= kSpace;
    if (c == '\n' || c == '\r') bits |= kNewline;
    if (c == '$' || c == '+' || (c >= '<' && c <= '>') || c == '^' || c == '`' || c == '|' ||
        c == '~') {
      bits |= kSymbol;
    } else if (c > ' ' && c < 127 && !(bits & (kUpper | kLower | kNumber))) {
      bits |= kPunct;
    }
    table[c] = static_cast<uint16_t>(bits);
  }
  return table;
}
inline constexpr std::array<uint16_t, 128> kAsciiCharClasses = AsciiCharClasses();
}  // namespace internal

inline uint16_t CharClasses(uint32_t code_point) {
  return code_point < 128 ? internal::kAsciiCharClasses[code_point] : WideCharClasses(code_point);
}

enum class NormalForm { kNfc, kNfd, kNfkc, kNfkd };

// `text` in the normal form, which is UTF-8. O(n log n) also for long runs of combining marks.
std::string Normalize(std::string_view text, NormalForm form);

// Appends the full lower case mapping of `code_point`, without language or context rules.
void AppendLowerCase(uint32_t code_point, std::string* out);

}  // namespace pelton::tokenizer
