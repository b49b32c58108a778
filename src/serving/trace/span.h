#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "serving/trace/trace_context.h"

namespace pelton {

// A named value, in the words of OpenTelemetry's semantic conventions where they have one.
using SpanAttribute = std::pair<std::string, std::variant<std::string, int64_t, double>>;

// A part of a request's life.
struct Span {
  TraceId trace_id{};
  SpanId span_id{};
  SpanId parent_id{};  // all zeros: none
  std::string name;
  bool server = false;  // it answers a caller; else it is inside of such a one
  bool failed = false;
  int64_t start_unix_ns = 0;
  int64_t end_unix_ns = 0;
  std::vector<SpanAttribute> attributes;
};

// The body of an export as OTLP/HTTP has it in JSON (OTLP 1.0, ExportTraceServiceRequest).
std::string OtlpJson(const std::string& service, const std::string& version,
                     std::span<const Span> spans);

}  // namespace pelton
