#include "text/tokenizer/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <vector>

#include "base/check.h"
#include "text/tokenizer/utf8.h"

namespace pelton::tokenizer {

namespace {

uint16_t CategoryClasses(utf8proc_category_t category) {
  switch (category) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LT:
      return kUpper;
    case UTF8PROC_CATEGORY_LL:
      return kLower;
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
      return kCaseless;
    case UTF8PROC_CATEGORY_MN:
      return kMark | kNonspacing;
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
      return kMark;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      return kNumber;
    case UTF8PROC_CATEGORY_PC:
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO:
      return kPunct;
    case UTF8PROC_CATEGORY_SM:
    case UTF8PROC_CATEGORY_SC:
    case UTF8PROC_CATEGORY_SK:
    case UTF8PROC_CATEGORY_SO:
      return kSymbol;
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return kSpace;
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CS:
      return kControl;
    default:
      return 0;
  }
}

}  // namespace

uint16_t WideCharClasses(uint32_t code_point) {
  const uint16_t classes =
      CategoryClasses(utf8proc_category(static_cast<utf8proc_int32_t>(code_point)));
  // The one white space character outside ASCII whose category is not a separator.
  return code_point == 0x85 ? static_cast<uint16_t>(classes | kSpace) : classes;
}

std::string Normalize(std::string_view text, NormalForm form) {
  if (AsciiPrefix(text) == text.size()) return std::string(text);
  const bool compatible = form == NormalForm::kNfkc || form == NormalForm::kNfkd;
  const bool compose = form == NormalForm::kNfc || form == NormalForm::kNfkc;
  const auto options = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE |
                                                      (compatible ? UTF8PROC_COMPAT : 0));
  std::vector<utf8proc_int32_t> points;
  points.reserve(text.size());
  for (size_t pos = 0; pos < text.size();) {
    const auto code_point = static_cast<utf8proc_int32_t>(DecodeUtf8(text, &pos));
    if (code_point < 0x80) {
      points.push_back(code_point);
      continue;
    }
    utf8proc_int32_t parts[32];  // the longest decomposition, of U+FDFA, has 18
    const utf8proc_ssize_t count =
        utf8proc_decompose_char(code_point, parts, std::size(parts), options, nullptr);
    PELTON_CHECK(count >= 0 && static_cast<size_t>(count) <= std::size(parts),
                 "a code point decomposes into at most 32");
    points.insert(points.end(), parts, parts + count);
  }
  // utf8proc_decompose orders marks by exchanging neighbours, which is quadratic for a long run
  // of them; so the runs are sorted here.
  const auto combining_class = [](utf8proc_int32_t c) {
    return c < 0x300 ? 0 : utf8proc_get_property(c)->combining_class;
  };
  std::vector<uint64_t> keys;
  for (size_t i = 0; i < points.size(); ++i) {
    if (combining_class(points[i]) == 0) continue;
    size_t end = i + 1;
    while (end < points.size() && combining_class(points[end]) != 0) ++end;
    // Sorted by class, then by position: 8 bits, 35 bits, and 21 for the code point itself.
    keys.clear();
    for (size_t j = i; j < end; ++j) {
      keys.push_back(static_cast<uint64_t>(combining_class(points[j])) << 56 | (j - i) << 21 |
                     static_cast<uint32_t>(points[j]));
    }
    std::sort(keys.begin(), keys.end());
    for (size_t j = i; j < end; ++j) {
      points[j] = static_cast<utf8proc_int32_t>(keys[j - i] & 0x1FFFFF);
    }
    i = end;
  }
  size_t count = points.size();
  if (compose) {
    const utf8proc_ssize_t composed = utf8proc_normalize_utf32(
        points.data(), static_cast<utf8proc_ssize_t>(points.size()),
        static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
    PELTON_CHECK(composed >= 0, "composition does not fail");
    count = static_cast<size_t>(composed);
  }
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < count; ++i) AppendUtf8(static_cast<uint32_t>(points[i]), &out);
  return out;
}

void AppendLowerCase(uint32_t code_point, std::string* out) {
  if (code_point < 128) {
    out->push_back(static_cast<char>(
        code_point >= 'A' && code_point <= 'Z' ? code_point + ('a' - 'A') : code_point));
  } else if (code_point == 0x130) {
    *out += "i\u0307";  // the only lower case mapping to more than one code point
  } else {
    AppendUtf8(static_cast<uint32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(code_point))),
               out);
  }
}

}  // namespace pelton::tokenizer
