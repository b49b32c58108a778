#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/mutex.h"
#include "net/http/server.h"
#include "serving/trace/span.h"
#include "serving/trace/span_exporter.h"

namespace pelton {

// The spans of one request: one for the whole, which ends when the last that holds the trace lets
// go of it, and those of its parts. Any thread.
class RequestTrace {
 public:
  // Null if the request is not traced: the caller's "traceparent" decides, or the exporter's ratio
  // where there is none. `route` is the path as the table of routes has it. An exporter may be
  // null.
  static std::shared_ptr<RequestTrace> Begin(std::shared_ptr<SpanExporter> exporter,
                                             std::shared_ptr<const HttpRequest> request,
                                             std::shared_ptr<HttpResponse> response,
                                             std::string_view route);
  ~RequestTrace();
  RequestTrace(const RequestTrace&) = delete;
  RequestTrace& operator=(const RequestTrace&) = delete;

  // An attribute of the whole; a later value of a name replaces the one before.
  void Set(std::string_view name, std::variant<std::string, int64_t, double> value);
  // A part that took `duration_ns` until `end_ns` of the monotonic clock; none without duration.
  void AddPart(std::string_view name, int64_t end_ns, int64_t duration_ns,
               std::vector<SpanAttribute> attributes = {});

 private:
  RequestTrace(std::shared_ptr<SpanExporter> exporter, std::shared_ptr<const HttpRequest> request,
               std::shared_ptr<HttpResponse> response);

  const std::shared_ptr<SpanExporter> exporter_;
  const std::shared_ptr<const HttpRequest> request_;
  const std::shared_ptr<HttpResponse> response_;
  const int64_t unix_offset_ns_;  // of the monotonic clock

  Mutex mutex_;
  Span whole_ GUARDED_BY(mutex_);
  std::vector<Span> parts_ GUARDED_BY(mutex_);
};

}  // namespace pelton
