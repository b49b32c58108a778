#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pelton {

using TraceId = std::array<uint8_t, 16>;
using SpanId = std::array<uint8_t, 8>;

// Of which trace a request is part, as the header "traceparent" says it (W3C Trace Context 1, 3.2).
struct TraceContext {
  TraceId trace_id{};
  SpanId span_id{};  // of the caller's span
  bool sampled = false;
};

// nullopt for everything that is not a valid header: a new trace begins then. A header of a later
// version counts by its first four fields.
std::optional<TraceContext> ParseTraceparent(std::string_view text);

// Random and never all zeros. Any thread.
TraceId NewTraceId();
SpanId NewSpanId();

// Two lower-case hexadecimal digits a byte.
std::string Hex(const TraceId& id);
std::string Hex(const SpanId& id);

}  // namespace pelton
