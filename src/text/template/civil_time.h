#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace pelton::jinja {

// A date and time of day without a zone, as datetime.now() gives it.
struct CivilTime {
  int year = 1970;
  int month = 1;  // 1 to 12
  int day = 1;    // 1 to 31
  int hour = 0;
  int minute = 0;
  int second = 0;

  static CivilTime Now();  // of the local clock
};

// Reads "2025-07-26", "2025-07-26T13:45" or "2025-07-26T13:45:09", with T or a space.
// InvalidArgument if the text has another form or is no date.
Result<CivilTime> ParseCivilTime(std::string_view text);

// datetime.strftime() in the C locale. What is no directive stays as it is; the zone (%z, %Z) of a
// time without one is empty.
std::string FormatCivilTime(const CivilTime& time, std::string_view format);

}  // namespace pelton::jinja
