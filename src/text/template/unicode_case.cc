#include <utf8proc.h>

#include <algorithm>
#include <iterator>

#include "text/template/unicode_category.h"
#include "text/template/unicode_tables.h"
#include "text/template/unicode_text.h"

// Upper, lower and title case as Python 3.11 has them.
namespace pelton::jinja {
namespace {

template <size_t N>
bool AppendLongCase(const LongCase (&table)[N], char32_t c, std::string& out) {
  const auto* it = std::lower_bound(std::begin(table), std::end(table), c,
                                    [](const LongCase& e, char32_t v) { return e.code_point < v; });
  if (it == std::end(table) || it->code_point != c) return false;
  for (const uint32_t mapped : it->mapped) {
    if (mapped != 0) AppendUtf8(mapped, out);
  }
  return true;
}

void AppendUpper(char32_t c, std::string& out) {
  if (AppendLongCase(kLongUpper, c, out)) return;
  AppendUtf8(static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c))), out);
}

void AppendTitle(char32_t c, std::string& out) {
  if (AppendLongCase(kLongTitle, c, out)) return;
  AppendUtf8(static_cast<char32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(c))), out);
}

// The property Case_Ignorable: some categories, and what may stand inside a word.
bool IsCaseIgnorable(char32_t c) {
  switch (c) {
    case 0x27:
    case 0x2E:
    case 0x3A:
    case 0xB7:
    case 0x387:
    case 0x55F:
    case 0x5F4:
    case 0x2018:
    case 0x2019:
    case 0x2024:
    case 0x2027:
    case 0xFE13:
    case 0xFE52:
    case 0xFE55:
    case 0xFF07:
    case 0xFF0E:
    case 0xFF1A:
      return true;
    default:
      break;
  }
  switch (Category(c)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK:
      return true;
    default:
      return false;
  }
}

char AsciiUpper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }
char AsciiLower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
bool IsAsciiLetter(char c) { return (c | 0x20) >= 'a' && (c | 0x20) <= 'z'; }

std::string Transformed(std::string_view text, char (*convert)(char)) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), convert);
  return out;
}

// Lower-cases a text one code point after the other. A capital sigma becomes the final form at the
// end of a word, so the position of the last cased character is carried along.
class Lowering {
 public:
  explicit Lowering(std::string_view text) : text_(text) {}

  // `next` is the byte after c.
  void Append(char32_t c, size_t next, std::string& out) {
    if (c == 0x3A3) {
      AppendUtf8(after_cased_ && !CasedFollows(next) ? 0x3C2 : 0x3C3, out);
    } else if (c == 0x130) {
      out += "i\xCC\x87";
    } else {
      AppendUtf8(static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))), out);
    }
    Pass(c);
  }

  void Pass(char32_t c) {
    if (!IsCaseIgnorable(c)) after_cased_ = IsCased(c);
  }

 private:
  bool CasedFollows(size_t pos) {
    // The answer for this position holds for every one before it up to the last asked.
    if (pos <= known_until_) return known_cased_;
    while (pos < text_.size()) {
      const char32_t c = DecodeAt(text_, pos);
      if (IsCaseIgnorable(c)) continue;
      known_until_ = pos - 1;
      return known_cased_ = IsCased(c);
    }
    known_until_ = text_.size();
    return known_cased_ = false;
  }

  std::string_view text_;
  bool after_cased_ = false;
  size_t known_until_ = 0;
  bool known_cased_ = false;
};

}  // namespace

std::string Upper(std::string_view text) {
  if (IsAsciiText(text)) return Transformed(text, &AsciiUpper);
  std::string out;
  out.reserve(text.size());
  for (size_t pos = 0; pos < text.size();) AppendUpper(DecodeAt(text, pos), out);
  return out;
}

std::string Lower(std::string_view text) {
  if (IsAsciiText(text)) return Transformed(text, &AsciiLower);
  std::string out;
  out.reserve(text.size());
  Lowering lowering(text);
  for (size_t pos = 0; pos < text.size();) {
    const char32_t c = DecodeAt(text, pos);
    lowering.Append(c, pos, out);
  }
  return out;
}

std::string TitleMethod(std::string_view text) {
  if (IsAsciiText(text)) {
    std::string out(text);
    bool after_letter = false;
    for (char& c : out) {
      c = after_letter ? AsciiLower(c) : AsciiUpper(c);
      after_letter = IsAsciiLetter(c);
    }
    return out;
  }
  std::string out;
  out.reserve(text.size());
  Lowering lowering(text);
  bool after_cased = false;
  for (size_t pos = 0; pos < text.size();) {
    const char32_t c = DecodeAt(text, pos);
    if (after_cased) {
      lowering.Append(c, pos, out);
    } else {
      AppendTitle(c, out);
      lowering.Pass(c);
    }
    after_cased = IsCased(c);
  }
  return out;
}

std::string Capitalize(std::string_view text) {
  if (IsAsciiText(text)) {
    std::string out = Transformed(text, &AsciiLower);
    if (!out.empty()) out[0] = AsciiUpper(out[0]);
    return out;
  }
  std::string out;
  out.reserve(text.size());
  Lowering lowering(text);
  for (size_t pos = 0; pos < text.size();) {
    const bool first = pos == 0;
    const char32_t c = DecodeAt(text, pos);
    if (first) {
      AppendTitle(c, out);
      lowering.Pass(c);
    } else {
      lowering.Append(c, pos, out);
    }
  }
  return out;
}

std::string SwapCase(std::string_view text) {
  if (IsAsciiText(text)) {
    return Transformed(text,
                       [](char c) { return IsAsciiLetter(c) ? static_cast<char>(c ^ 0x20) : c; });
  }
  std::string out;
  out.reserve(text.size());
  Lowering lowering(text);
  for (size_t pos = 0; pos < text.size();) {
    const char32_t c = DecodeAt(text, pos);
    if (IsUpper(c)) {
      lowering.Append(c, pos, out);
      continue;
    }
    if (IsLower(c)) {
      AppendUpper(c, out);
    } else {
      AppendUtf8(c, out);
    }
    lowering.Pass(c);
  }
  return out;
}

std::string CaseFold(std::string_view text) {
  if (IsAsciiText(text)) return Transformed(text, &AsciiLower);
  std::string out;
  out.reserve(text.size());
  for (size_t pos = 0; pos < text.size();) {
    const char32_t c = DecodeAt(text, pos);
    // A folding has at most three code points.
    utf8proc_int32_t folded[8];
    const utf8proc_ssize_t count = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), folded,
                                                           8, UTF8PROC_CASEFOLD, nullptr);
    for (utf8proc_ssize_t i = 0; i < count && i < 8; ++i) {
      AppendUtf8(static_cast<char32_t>(folded[i]), out);
    }
  }
  return out;
}

bool IsLowerText(std::string_view text) {
  bool any = false;
  for (size_t pos = 0; pos < text.size();) {
    const char32_t c = DecodeAt(text, pos);
    if (IsUpper(c) || IsTitle(c)) return false;
    any = any || IsLower(c);
  }
  return any;
}

bool IsUpperText(std::string_view text) {
  bool any = false;
  for (size_t pos = 0; pos < text.size();) {
    const char32_t c = DecodeAt(text, pos);
    if (IsLower(c) || IsTitle(c)) return false;
    any = any || IsUpper(c);
  }
  return any;
}

}  // namespace pelton::jinja
