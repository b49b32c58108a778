#include "text/template/number_text.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "text/template/unicode_text.h"

namespace pelton::jinja {
namespace {

using Magnitude = unsigned __int128;

Magnitude MagnitudeOf(Int value) {
  return value < 0 ? Magnitude{0} - static_cast<Magnitude>(value) : static_cast<Magnitude>(value);
}

constexpr Magnitude kMaxMagnitude = ~Magnitude{0} >> 1;

int DigitValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  if (lower >= 'a' && lower <= 'z') return lower - 'a' + 10;
  return 99;
}

// Removes the white space around a number.
std::string_view Trim(std::string_view text) { return StripLeft(StripRight(text)); }

// The text without its underscores, if each stands between two digits.
std::optional<std::string> WithoutUnderscores(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      out += text[i];
      continue;
    }
    const bool between = i > 0 && i + 1 < text.size() && DigitValue(text[i - 1]) < 10 &&
                         DigitValue(text[i + 1]) < 10;
    if (!between) return std::nullopt;
  }
  return out;
}

Order OrderOf(bool less, bool equal) {
  return equal ? Order::kEqual : less ? Order::kLess : Order::kGreater;
}

Order CompareIntFloat(Int a, double b) {
  if (std::isnan(b)) return Order::kUnordered;
  constexpr double kTwo127 = 170141183460469231731687303715884105728.0;
  if (b >= kTwo127) return Order::kLess;
  if (b < -kTwo127) return Order::kGreater;
  const double whole = std::trunc(b);
  const Int whole_int = static_cast<Int>(whole);
  if (a != whole_int) return OrderOf(a < whole_int, false);
  return OrderOf(b > whole, b == whole);
}

}  // namespace

std::string MagnitudeText(Int value, unsigned base) {
  Magnitude rest = MagnitudeOf(value);
  std::string out;
  do {
    out += "0123456789abcdefghijklmnopqrstuvwxyz"[static_cast<unsigned>(rest % base)];
    rest /= base;
  } while (rest != 0);
  std::reverse(out.begin(), out.end());
  return out;
}

std::string IntText(Int value) {
  if (const std::optional<int64_t> small = ToInt64(value)) return std::to_string(*small);
  return (value < 0 ? "-" : "") + MagnitudeText(value, 10);
}

std::string FloatText(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[40];
  const auto result =
      std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific);
  const std::string_view text(buffer, static_cast<size_t>(result.ptr - buffer));
  const size_t e = text.find('e');
  int exponent = 0;
  const char* exponent_start = text.data() + e + 1;
  if (*exponent_start == '+') ++exponent_start;
  std::from_chars(exponent_start, result.ptr, exponent);
  // Python switches to an exponent where repr() does: below 1e-4 and from 1e16.
  if (exponent < -4 || exponent >= 16) {
    std::string out(text.substr(0, e));
    out += exponent < 0 ? "e-" : "e+";
    const int magnitude = std::abs(exponent);
    if (magnitude < 10) out += '0';
    return out + std::to_string(magnitude);
  }
  const auto fixed = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::fixed);
  std::string out(buffer, fixed.ptr);
  if (out.find('.') == std::string::npos) out += ".0";
  return out;
}

std::optional<Int> ParseInt(std::string_view text, int base) {
  text = Trim(text);
  const bool negative = !text.empty() && text[0] == '-';
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) text.remove_prefix(1);
  bool had_prefix = false;
  if (text.size() >= 2 && text[0] == '0') {
    const char letter = static_cast<char>(text[1] | 0x20);
    const int prefixed = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 0;
    if (prefixed != 0 && (base == 0 || base == prefixed)) {
      base = prefixed;
      had_prefix = true;
      text.remove_prefix(2);
    }
  }
  if (base == 0) {
    // Without a prefix, leading zeros are only allowed in zero itself.
    if (text.size() > 1 && text[0] == '0' && text.find_first_not_of("0_") != text.npos) {
      return std::nullopt;
    }
    base = 10;
  }
  if (base < 2 || base > 36 || text.empty()) return std::nullopt;
  Magnitude magnitude = 0;
  bool digit_before = had_prefix;  // 0x_1 is a number
  for (const char c : text) {
    if (c == '_') {
      if (!digit_before) return std::nullopt;
      digit_before = false;
      continue;
    }
    const int digit = DigitValue(c);
    if (digit >= base) return std::nullopt;
    if (__builtin_mul_overflow(magnitude, static_cast<Magnitude>(base), &magnitude) ||
        __builtin_add_overflow(magnitude, static_cast<Magnitude>(digit), &magnitude) ||
        magnitude > kMaxMagnitude) {
      return std::nullopt;
    }
    digit_before = true;
  }
  if (!digit_before) return std::nullopt;
  const Int value = static_cast<Int>(magnitude);
  return negative ? -value : value;
}

std::optional<double> ParseFloat(std::string_view text) {
  const std::optional<std::string> plain = WithoutUnderscores(Trim(text));
  if (!plain) return std::nullopt;
  std::string_view rest = *plain;
  const bool negative = !rest.empty() && rest[0] == '-';
  if (!rest.empty() && (rest[0] == '-' || rest[0] == '+')) rest.remove_prefix(1);
  // from_chars would take a second sign.
  if (rest.empty() || rest[0] == '-' || rest[0] == '+') return std::nullopt;
  double value = 0;
  const char* end = rest.end();
  const auto result = std::from_chars(rest.begin(), end, value);
  if (result.ptr != end || rest.find('(') != rest.npos) return std::nullopt;
  if (result.ec == std::errc::result_out_of_range) {
    // from_chars leaves the value alone; an exponent decides between 0 and infinity.
    const size_t e = rest.find_first_of("eE");
    const bool tiny = e != rest.npos ? rest[e + 1] == '-' : rest[0] == '0' || rest[0] == '.';
    value = tiny ? 0.0 : std::numeric_limits<double>::infinity();
  } else if (result.ec != std::errc()) {
    return std::nullopt;
  }
  return negative ? -value : value;
}

std::optional<int64_t> ToInt64(Int value) {
  if (value < std::numeric_limits<int64_t>::min() || value > std::numeric_limits<int64_t>::max()) {
    return std::nullopt;
  }
  return static_cast<int64_t>(value);
}

std::optional<Int> TruncateToInt(double value) {
  constexpr double kTwo127 = 170141183460469231731687303715884105728.0;
  if (!(value < kTwo127 && value > -kTwo127)) return std::nullopt;
  return static_cast<Int>(value);
}

double RoundFloat(double value, int64_t digits) {
  if (!std::isfinite(value) || digits > 330) return value;
  if (digits < -310) return std::copysign(0.0, value);
  if (digits >= 0) {
    // Fixed notation is exact and rounds half to even on the binary value, as Python does.
    char buffer[700];
    const auto text = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::fixed,
                                    static_cast<int>(digits));
    double out = value;
    std::from_chars(buffer, text.ptr, out);
    return out;
  }
  const double unit = std::pow(10.0, static_cast<double>(-digits));
  return std::nearbyint(value / unit) * unit;
}

Order CompareNumbers(const Value& a, const Value& b) {
  if (a.is_integral() && b.is_integral()) {
    return OrderOf(a.as_int() < b.as_int(), a.as_int() == b.as_int());
  }
  if (a.is_integral()) return CompareIntFloat(a.as_int(), b.as_double());
  if (b.is_integral()) {
    switch (CompareIntFloat(b.as_int(), a.as_double())) {
      case Order::kLess:
        return Order::kGreater;
      case Order::kGreater:
        return Order::kLess;
      case Order::kEqual:
        return Order::kEqual;
      case Order::kUnordered:
        return Order::kUnordered;
    }
  }
  const double x = a.as_double();
  const double y = b.as_double();
  if (std::isnan(x) || std::isnan(y)) return Order::kUnordered;
  return OrderOf(x < y, x == y);
}

}  // namespace pelton::jinja
