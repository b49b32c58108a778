#include "base/log.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <ctime>
#include <iterator>

namespace pelton {
namespace {

const char* NameOf(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      return "error";
  }
  return "info";
}

// Bytes of the UTF-8 character that `text` begins with; 0 if it is none (RFC 3629).
size_t CharacterBytes(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const size_t size = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || size > text.size()) return 0;
  for (size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  // Overlong forms, surrogates, and what is beyond U+10FFFF.
  if ((first == 0xE0 && byte(1) < 0xA0) || (first == 0xED && byte(1) > 0x9F) ||
      (first == 0xF0 && byte(1) < 0x90) || (first == 0xF4 && byte(1) > 0x8F)) {
    return 0;
  }
  return size;
}

// With JSON's escapes, without the quotes around.
void AppendEscaped(std::string_view text, std::string* out) {
  while (!text.empty()) {
    const size_t size = CharacterBytes(text);
    const char c = text.front();
    if (size == 0) {
      *out += '?';
    } else if (c == '"' || c == '\\') {
      *out += '\\';
      *out += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
      fmt::format_to(std::back_inserter(*out), "\\u{:04x}", static_cast<unsigned>(c));
    } else {
      *out += text.substr(0, size);
    }
    text.remove_prefix(std::max<size_t>(size, 1));
  }
}

bool IsPlain(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return c > ' ' && c < 0x7F && c != '"' && c != '\\' && c != '=';
  });
}

void AppendQuoted(std::string_view text, std::string* out) {
  *out += '"';
  AppendEscaped(text, out);
  *out += '"';
}

void AppendValue(LogFormat format, const LogField& field, std::string* out) {
  if (const auto* text = std::get_if<std::string_view>(&field.value)) {
    if (format == LogFormat::kText && IsPlain(*text)) {
      *out += *text;
    } else {
      AppendQuoted(*text, out);
    }
  } else if (const auto* whole = std::get_if<int64_t>(&field.value)) {
    fmt::format_to(std::back_inserter(*out), "{}", *whole);
  } else {
    const double number = std::get<double>(field.value);
    if (!std::isfinite(number)) {
      *out += "null";  // JSON has no other number for it
    } else {
      fmt::format_to(std::back_inserter(*out), "{:.6g}", number);
    }
  }
}

std::string TimeText(int64_t unix_ms) {
  const int64_t seconds = unix_ms >= 0 ? unix_ms / 1000 : (unix_ms - 999) / 1000;
  const std::tm parts = fmt::gmtime(static_cast<std::time_t>(seconds));
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", parts, unix_ms - seconds * 1000);
}

}  // namespace

std::string FormatLogLine(LogFormat format, int64_t unix_ms, LogLevel level,
                          std::string_view message, std::span<const LogField> fields) {
  std::string line;
  if (format == LogFormat::kText) {
    line = fmt::format("{} {} ", TimeText(unix_ms), NameOf(level));
    AppendEscaped(message, &line);
    for (const LogField& field : fields) {
      line += ' ';
      line += field.name;
      line += '=';
      AppendValue(format, field, &line);
    }
    return line;
  }
  line = fmt::format(R"({{"time":"{}","level":"{}","message":)", TimeText(unix_ms), NameOf(level));
  AppendQuoted(message, &line);
  for (const LogField& field : fields) {
    line += ",\"";
    line += field.name;
    line += "\":";
    AppendValue(format, field, &line);
  }
  line += '}';
  return line;
}

void Log::Write(LogLevel level, std::string_view message, std::span<const LogField> fields) {
  if (level < least_) return;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const int64_t unix_ms = std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
  lines_->Write(FormatLogLine(format_, unix_ms, level, message, fields));
}

}  // namespace pelton
