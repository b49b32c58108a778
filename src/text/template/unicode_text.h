#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

// Python's view of text on top of UTF-8: positions count code points, and case and character
// classes follow Python 3.11. Every `text` is valid UTF-8 unless said otherwise.
namespace pelton::jinja {

// The code point at byte `pos`, which moves past it. Requires: pos < text.size().
char32_t DecodeAt(std::string_view text, size_t& pos);
void AppendUtf8(char32_t code_point, std::string& out);
int64_t CountCodePoints(std::string_view text);
// The byte where code point `index` starts; text.size() if there are not that many.
size_t ByteOffset(std::string_view text, int64_t index);

bool IsAsciiText(std::string_view text);
bool IsValidUtf8(std::string_view bytes);
// `bytes` with each maximal part that is not UTF-8 replaced by U+FFFD.
std::string ToValidUtf8(std::string_view bytes);

bool IsSpace(char32_t c);
bool IsAlpha(char32_t c);
bool IsDecimal(char32_t c);
bool IsDigit(char32_t c);
bool IsNumeric(char32_t c);
bool IsLower(char32_t c);
bool IsUpper(char32_t c);
bool IsTitle(char32_t c);
bool IsPrintable(char32_t c);
bool IsIdentifierPart(char32_t c);  // a letter, mark, digit or connector
inline bool IsAlnum(char32_t c) { return IsAlpha(c) || IsNumeric(c); }
inline bool IsWord(char32_t c) { return IsAlnum(c) || c == U'_'; }  // \w
inline bool IsCased(char32_t c) { return IsLower(c) || IsUpper(c) || IsTitle(c); }

std::string Upper(std::string_view text);
std::string Lower(std::string_view text);
std::string TitleMethod(std::string_view text);  // str.title()
std::string Capitalize(std::string_view text);
std::string SwapCase(std::string_view text);
std::string CaseFold(std::string_view text);

// Whether there is a cased character, and all of them are lower (upper) case.
bool IsLowerText(std::string_view text);
bool IsUpperText(std::string_view text);

// Without the white space at the ends.
std::string_view StripLeft(std::string_view text);
std::string_view StripRight(std::string_view text);

// Position of `needle` at or after byte `from`, npos if absent. Linear for every input, unlike
// std::string_view::find. The second finds the last occurrence inside the first `end` bytes.
size_t FindBytes(std::string_view text, std::string_view needle, size_t from = 0);
size_t FindLastBytes(std::string_view text, std::string_view needle, size_t end);

}  // namespace pelton::jinja
