#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <utility>

#include "text/template/format_text.h"
#include "text/template/number_text.h"
#include "text/template/unicode_text.h"

namespace pelton::jinja {
namespace {

// Inserts `separator` between groups of digits, counted from the end of the whole part.
std::string Grouped(std::string_view digits, char separator, size_t group) {
  const size_t whole = std::min(digits.find_first_not_of("0123456789abcdefABCDEF"), digits.size());
  std::string out;
  for (size_t i = 0; i < whole; ++i) {
    if (i != 0 && (whole - i) % group == 0) out += separator;
    out += digits[i];
  }
  return out + std::string(digits.substr(whole));
}

std::string SignText(bool negative, char sign) {
  if (negative) return "-";
  return sign == '-' ? "" : std::string(1, sign);
}

std::string ToUpperAscii(std::string text) {
  for (char& c : text) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return text;
}

std::string Digits(double magnitude, std::chars_format format, int precision) {
  // The longest fixed double has 309 digits before the point.
  std::string out(static_cast<size_t>(precision) + 330, '\0');
  const auto result =
      std::to_chars(out.data(), out.data() + out.size(), magnitude, format, precision);
  out.resize(static_cast<size_t>(result.ptr - out.data()));
  return out;
}

Status BadType(RenderContext& context, char type, std::string_view what) {
  return context.RuntimeError(std::string("the format '") + type + "' does not suit " +
                              std::string(what));
}

bool TakeNumber(std::string_view& text, int64_t& out) {
  if (text.empty() || text[0] < '0' || text[0] > '9') return false;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), out);
  if (result.ec != std::errc()) out = std::numeric_limits<int64_t>::max();
  text.remove_prefix(static_cast<size_t>(result.ptr - text.data()));
  return true;
}

}  // namespace

Result<FormatSpec> ParseFormatSpec(RenderContext& context, std::string_view text) {
  const auto bad = [&] { return context.RuntimeError("a format specification is malformed"); };
  constexpr std::string_view kAligns = "<>^=";
  FormatSpec spec;
  if (!text.empty()) {
    size_t after_first = 0;
    DecodeAt(text, after_first);
    if (after_first < text.size() && kAligns.find(text[after_first]) != kAligns.npos) {
      spec.fill = text.substr(0, after_first);
      spec.align = text[after_first];
      text.remove_prefix(after_first + 1);
    } else if (kAligns.find(text[0]) != kAligns.npos) {
      spec.align = text[0];
      text.remove_prefix(1);
    }
  }
  const auto take = [&](char c) {
    if (!text.starts_with(c)) return false;
    text.remove_prefix(1);
    return true;
  };
  for (const char sign : {'+', '-', ' '}) {
    if (take(sign)) {
      spec.sign = sign;
      break;
    }
  }
  spec.alternate = take('#');
  if (take('0') && spec.align == 0) {
    spec.fill = "0";
    spec.align = '=';
  }
  TakeNumber(text, spec.width);
  for (const char grouping : {',', '_'}) {
    if (take(grouping)) spec.grouping = grouping;
  }
  if (take('.') && !TakeNumber(text, spec.precision)) return bad();
  if (text.size() > 1) return bad();
  if (!text.empty()) spec.type = text[0];
  return spec;
}

Result<std::string> FormatInt(RenderContext& context, Int value, const FormatSpec& spec) {
  const std::string sign = SignText(value < 0, spec.sign);
  unsigned base = 10;
  switch (spec.type) {
    case 0:
    case 'd':
    case 'n':
      break;
    case 'x':
    case 'X':
      base = 16;
      break;
    case 'o':
      base = 8;
      break;
    case 'b':
      base = 2;
      break;
    case 'c': {
      if (value < 0 || value > 0x10FFFF) return context.RuntimeError("'c' needs a code point");
      std::string out;
      AppendUtf8(static_cast<char32_t>(value), out);
      return out;
    }
    case 'e':
    case 'E':
    case 'f':
    case 'F':
    case 'g':
    case 'G':
    case '%':
      return FormatFloat(context, static_cast<double>(value), spec);
    default:
      return BadType(context, spec.type, "an integer");
  }
  std::string digits = MagnitudeText(value, base);
  if (spec.precision > 0) {  // only the % operator gives an integer one
    RETURN_IF_ERROR(context.Reserve(static_cast<size_t>(spec.precision)));
    const size_t wanted = static_cast<size_t>(spec.precision);
    if (digits.size() < wanted) digits.insert(0, wanted - digits.size(), '0');
  }
  if (spec.grouping != 0) digits = Grouped(digits, spec.grouping, base == 10 ? 3 : 4);
  if (spec.alternate && base != 10) {
    digits.insert(0, base == 16 ? "0x" : base == 8 ? "0o" : "0b");
  }
  if (spec.type == 'X') digits = ToUpperAscii(std::move(digits));
  return sign + digits;
}

Result<std::string> FormatFloat(RenderContext& context, double value, const FormatSpec& spec) {
  const std::string sign = SignText(std::signbit(value) && !std::isnan(value), spec.sign);
  const double magnitude = std::fabs(value);
  const bool upper = spec.type == 'E' || spec.type == 'F' || spec.type == 'G';
  const char type = upper ? static_cast<char>(spec.type | 0x20) : spec.type;
  if (type != 0 && std::string_view("efgn%").find(type) == std::string_view::npos) {
    return BadType(context, spec.type, "a number");
  }
  if (!std::isfinite(value)) {
    const std::string text = std::isnan(value) ? "nan" : "inf";
    return sign + (upper ? ToUpperAscii(text) : text) + (type == '%' ? "%" : "");
  }
  if (type == 0 && spec.precision < 0) {
    std::string digits = FloatText(magnitude);
    if (spec.grouping != 0) digits = Grouped(digits, spec.grouping, 3);
    return sign + digits;
  }
  int64_t precision = spec.precision < 0 ? 6 : spec.precision;
  if (precision > 1'000'000) return context.RuntimeError("the precision of a format is too large");
  RETURN_IF_ERROR(context.Reserve(static_cast<size_t>(precision)));
  std::string digits;
  switch (type) {
    case 'e':
      digits = Digits(magnitude, std::chars_format::scientific, static_cast<int>(precision));
      break;
    case 'f':
      digits = Digits(magnitude, std::chars_format::fixed, static_cast<int>(precision));
      break;
    case '%':
      digits = Digits(magnitude * 100, std::chars_format::fixed, static_cast<int>(precision)) + "%";
      break;
    default:
      digits = Digits(magnitude, std::chars_format::general,
                      static_cast<int>(std::max<int64_t>(precision, 1)));
      // Without a type, a float still looks like one.
      if (type == 0 && digits.find_first_of(".e") == digits.npos) digits += ".0";
      break;
  }
  if (spec.grouping != 0) digits = Grouped(digits, spec.grouping, 3);
  return sign + (upper ? ToUpperAscii(std::move(digits)) : digits);
}

Result<std::string> PadFormatted(RenderContext& context, std::string_view text,
                                 const FormatSpec& spec, bool is_number) {
  const int64_t length = CountCodePoints(text);
  if (length >= spec.width) return std::string(text);
  const size_t missing = static_cast<size_t>(spec.width - length);
  size_t bytes = 0;
  if (__builtin_mul_overflow(missing, spec.fill.size(), &bytes)) bytes = SIZE_MAX;
  RETURN_IF_ERROR(context.Reserve(bytes));
  const char align = spec.align != 0 ? spec.align : is_number ? '>' : '<';
  size_t prefix = 0;  // what stays before the padding
  if (align == '=' && !text.empty()) {
    if (text[0] == '-' || text[0] == '+' || text[0] == ' ') prefix = 1;
    const std::string_view rest = text.substr(prefix);
    if (spec.alternate && rest.size() > 2 && rest[0] == '0' && rest[1] > '9') prefix += 2;
  }
  const size_t before = align == '<' ? 0 : align == '^' ? missing / 2 : missing;
  std::string out(text.substr(0, prefix));
  for (size_t i = 0; i < before; ++i) out += spec.fill;
  out += text.substr(prefix);
  for (size_t i = before; i < missing; ++i) out += spec.fill;
  return out;
}

}  // namespace pelton::jinja
