#include "serving/trace/trace_context.h"

#include <sys/random.h>

#include <algorithm>
#include <cstddef>

namespace pelton {
namespace {

// Upper-case digits are refused, as the specification demands.
bool ParseHex(std::string_view text, uint8_t* bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (size_t i = 0; i < text.size(); i += 2) {
    const size_t high = kDigits.find(text[i]);
    const size_t low = kDigits.find(text[i + 1]);
    if (high == kDigits.npos || low == kDigits.npos) return false;
    bytes[i / 2] = static_cast<uint8_t>(high << 4 | low);
  }
  return true;
}

template <typename Id>
bool IsZero(const Id& id) {
  return std::all_of(id.begin(), id.end(), [](uint8_t byte) { return byte == 0; });
}

template <typename Id>
Id NewId() {
  Id id{};
  while (IsZero(id)) {
    size_t filled = 0;
    while (filled < id.size()) {
      const ssize_t got = ::getrandom(id.data() + filled, id.size() - filled, 0);
      if (got > 0) filled += static_cast<size_t>(got);
    }
  }
  return id;
}

template <typename Id>
std::string HexOf(const Id& id) {
  std::string text;
  for (const uint8_t byte : id) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

}  // namespace

std::optional<TraceContext> ParseTraceparent(std::string_view text) {
  // version "-" trace id "-" span id "-" flags
  constexpr size_t kLength = 2 + 1 + 32 + 1 + 16 + 1 + 2;
  if (text.size() < kLength || text[2] != '-' || text[35] != '-' || text[52] != '-') {
    return std::nullopt;
  }
  std::array<uint8_t, 1> version{};
  std::array<uint8_t, 1> flags{};
  TraceContext context;
  if (!ParseHex(text.substr(0, 2), version.data()) || version[0] == 0xff ||
      !ParseHex(text.substr(3, 32), context.trace_id.data()) || IsZero(context.trace_id) ||
      !ParseHex(text.substr(36, 16), context.span_id.data()) || IsZero(context.span_id) ||
      !ParseHex(text.substr(53, 2), flags.data())) {
    return std::nullopt;
  }
  if (text.size() > kLength && (version[0] == 0 || text[kLength] != '-')) return std::nullopt;
  context.sampled = (flags[0] & 1) != 0;
  return context;
}

TraceId NewTraceId() { return NewId<TraceId>(); }
SpanId NewSpanId() { return NewId<SpanId>(); }
std::string Hex(const TraceId& id) { return HexOf(id); }
std::string Hex(const SpanId& id) { return HexOf(id); }

}  // namespace pelton
