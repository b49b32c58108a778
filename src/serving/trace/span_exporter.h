#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/metrics.h"
#include "base/status.h"
#include "serving/trace/span.h"

namespace pelton {

struct SpanExporterOptions {
  std::string url;                   // where spans are posted: ".../v1/traces"
  std::vector<std::string> headers;  // "Name: value"
  std::string service = "pelton";
  std::string version;
  double ratio = 1;  // of the traces that begin here, how many are kept
  int64_t interval_ns = 1'000'000'000;
  // One line when sending begins to fail, and one when it works again. May be empty.
  std::function<void(std::string_view line)> report;
};

// Sends spans to an OpenTelemetry collector by OTLP/HTTP, in JSON, on a thread of its own, so that
// a slow or absent collector delays nobody: at most 8,192 spans wait, and more are dropped and
// counted. What could not be sent is tried again with growing pauses, three times in all.
class SpanExporter {
 public:
  // Borrows the metrics. InvalidArgument if the URL is not http or https, or a header or the ratio
  // is none.
  static Result<std::shared_ptr<SpanExporter>> Start(SpanExporterOptions options,
                                                     MetricRegistry& metrics);
  // Sends what waits, for some four seconds at most.
  ~SpanExporter();
  SpanExporter(const SpanExporter&) = delete;
  SpanExporter& operator=(const SpanExporter&) = delete;

  // Any thread; does not wait.
  void Push(std::vector<Span> spans);
  // Whether a trace that begins here is kept: decided by its id, as other tools decide it.
  bool Samples(const TraceId& id) const;

 private:
  struct Impl;
  explicit SpanExporter(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace pelton
