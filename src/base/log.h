#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "base/async_lines.h"

namespace pelton {

enum class LogLevel : uint8_t { kDebug, kInfo, kWarning, kError };
enum class LogFormat : uint8_t { kText, kJson };

// A named value of an event.
struct LogField {
  std::string_view name;  // letters, digits and "_"
  std::variant<std::string_view, int64_t, double> value;
};

// One event as a line. Text: TIME LEVEL MESSAGE name=value …, with quotes where a value is not
// plain. JSON: an object with time, level, message and the fields. Control characters are escaped,
// and bytes that are not UTF-8 replaced by "?", so that nothing can pass for another line.
// `unix_ms` is the time.
std::string FormatLogLine(LogFormat format, int64_t unix_ms, LogLevel level,
                          std::string_view message, std::span<const LogField> fields);

// The program's log: lines on standard error. Any thread; writing does not wait (AsyncLines).
class Log {
 public:
  Log(LogFormat format, LogLevel least) : Log(format, least, 2) {}
  // Borrows the descriptor.
  Log(LogFormat format, LogLevel least, int fd)
      : format_(format), least_(least), lines_(AsyncLines::ToDescriptor(fd)) {}

  void Write(LogLevel level, std::string_view message, std::span<const LogField> fields = {});
  void Info(std::string_view message, std::initializer_list<LogField> fields = {}) {
    Write(LogLevel::kInfo, message, {fields.begin(), fields.size()});
  }
  void Warning(std::string_view message, std::initializer_list<LogField> fields = {}) {
    Write(LogLevel::kWarning, message, {fields.begin(), fields.size()});
  }

  uint64_t dropped() const { return lines_->dropped(); }

 private:
  const LogFormat format_;
  const LogLevel least_;
  const std::unique_ptr<AsyncLines> lines_;
};

}  // namespace pelton
