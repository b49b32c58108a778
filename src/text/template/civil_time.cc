#include "text/template/civil_time.h"

#include <locale.h>
#include <time.h>

#include <charconv>

namespace pelton::jinja {
namespace {

constexpr bool IsLeapYear(int year) {
  return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

int DaysInMonth(int year, int month) {
  constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  return kDays[month - 1] + (month == 2 && IsLeapYear(year));
}

int DayOfYear(const CivilTime& time) {  // from 0
  int days = time.day - 1;
  for (int month = 1; month < time.month; ++month) days += DaysInMonth(time.year, month);
  return days;
}

tm ToTm(const CivilTime& time) {
  tm out{};
  out.tm_year = time.year - 1900;
  out.tm_mon = time.month - 1;
  out.tm_mday = time.day;
  out.tm_hour = time.hour;
  out.tm_min = time.minute;
  out.tm_sec = time.second;
  out.tm_yday = DayOfYear(time);
  // 1 January of the year 1 was a Monday.
  const int years = time.year - 1;
  out.tm_wday = (1 + years + years / 4 - years / 100 + years / 400 + out.tm_yday) % 7;
  out.tm_isdst = -1;
  return out;
}

// Reads exactly `digits` digits from the start of `text`, and removes them and `after` behind them.
bool TakeNumber(std::string_view& text, size_t digits, std::string_view after, int& out) {
  if (text.size() < digits) return false;
  const char* end = text.begin() + digits;
  if (text[0] < '0' || text[0] > '9') return false;
  const auto result = std::from_chars(text.begin(), end, out);
  if (result.ec != std::errc() || result.ptr != end) return false;
  text.remove_prefix(digits);
  if (after.empty()) return true;
  if (text.empty() || after.find(text[0]) == after.npos) return false;
  text.remove_prefix(1);
  return true;
}

locale_t CLocale() {
  static const locale_t locale = newlocale(LC_ALL_MASK, "C", nullptr);
  return locale;
}

}  // namespace

CivilTime CivilTime::Now() {
  const time_t now = time(nullptr);
  tm local{};
  localtime_r(&now, &local);
  return {local.tm_year + 1900, local.tm_mon + 1, local.tm_mday,
          local.tm_hour,        local.tm_min,     local.tm_sec};
}

Result<CivilTime> ParseCivilTime(std::string_view text) {
  const Status error = InvalidArgument("expected a time such as 2025-07-26T13:45:09, found \"" +
                                       std::string(text.substr(0, 40)) + "\"");
  CivilTime time;
  std::string_view rest = text;
  if (!TakeNumber(rest, 4, "-", time.year) || !TakeNumber(rest, 2, "-", time.month) ||
      !TakeNumber(rest, 2, "", time.day)) {
    return error;
  }
  if (!rest.empty()) {
    if (rest[0] != 'T' && rest[0] != ' ') return error;
    rest.remove_prefix(1);
    if (!TakeNumber(rest, 2, ":", time.hour) || !TakeNumber(rest, 2, "", time.minute)) return error;
    if (!rest.empty()) {
      if (rest[0] != ':') return error;
      rest.remove_prefix(1);
      if (!TakeNumber(rest, 2, "", time.second) || !rest.empty()) return error;
    }
  }
  if (time.year < 1 || time.month < 1 || time.month > 12 || time.day < 1 ||
      time.day > DaysInMonth(time.year, time.month) || time.hour > 23 || time.minute > 59 ||
      time.second > 59) {
    return error;
  }
  return time;
}

std::string FormatCivilTime(const CivilTime& time, std::string_view format) {
  const tm broken_down = ToTm(time);
  constexpr std::string_view kDirectives = "aAbBcCdDeFgGhHIjklmMnpPrRStTuUVwWxXyY";
  std::string out;
  for (size_t pos = 0; pos < format.size();) {
    if (format[pos] != '%') {
      out += format[pos++];
      continue;
    }
    // A directive is % flags width letter; the C library prints the known ones.
    size_t end = pos + 1;
    while (end < format.size() && std::string_view("-_0^#").find(format[end]) != format.npos) ++end;
    const size_t width_start = end;
    while (end < format.size() && format[end] >= '0' && format[end] <= '9') ++end;
    const bool sane_width = end - width_start <= 2;
    const char letter = end < format.size() ? format[end] : '\0';
    const std::string directive(format.substr(pos, end + 1 - pos));
    if (letter == '%' && end == pos + 1) {
      out += '%';
    } else if (letter == 'f') {
      out += "000000";
    } else if (letter == 'z' || letter == 'Z') {
      // nothing: the time has no zone
    } else if (sane_width && kDirectives.find(letter) != kDirectives.npos && letter != '\0') {
      char buffer[256];
      out.append(buffer,
                 strftime_l(buffer, sizeof buffer, directive.c_str(), &broken_down, CLocale()));
    } else {
      out += directive;
    }
    pos = end + 1;
  }
  return out;
}

}  // namespace pelton::jinja
