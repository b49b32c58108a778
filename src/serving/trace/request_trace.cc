#include "serving/trace/request_trace.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "base/clock.h"

namespace pelton {
namespace {

// A request has few parts; one with hundreds of choices must not fill the exporter's queue.
constexpr size_t kMaxParts = 64;

int64_t UnixNowNs() {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(since).count();
}

}  // namespace

RequestTrace::RequestTrace(std::shared_ptr<SpanExporter> exporter,
                           std::shared_ptr<const HttpRequest> request,
                           std::shared_ptr<HttpResponse> response)
    : exporter_(std::move(exporter)),
      request_(std::move(request)),
      response_(std::move(response)),
      unix_offset_ns_(UnixNowNs() - MonotonicClock().NowNs()) {}

std::shared_ptr<RequestTrace> RequestTrace::Begin(std::shared_ptr<SpanExporter> exporter,
                                                  std::shared_ptr<const HttpRequest> request,
                                                  std::shared_ptr<HttpResponse> response,
                                                  std::string_view route) {
  if (exporter == nullptr) return nullptr;
  const std::optional<TraceContext> caller = ParseTraceparent(request->Header("traceparent"));
  const TraceId trace_id = caller ? caller->trace_id : NewTraceId();
  if (!(caller ? caller->sampled : exporter->Samples(trace_id))) return nullptr;
  std::shared_ptr<RequestTrace> trace(
      new RequestTrace(std::move(exporter), std::move(request), std::move(response)));
  const HttpRequest& asked = *trace->request_;
  const MutexLock lock(trace->mutex_);
  Span& whole = trace->whole_;
  whole.trace_id = trace_id;
  whole.span_id = NewSpanId();
  if (caller) whole.parent_id = caller->span_id;
  whole.name = asked.method + " " + std::string(route);
  whole.server = true;
  whole.start_unix_ns = asked.received_ns + trace->unix_offset_ns_;
  whole.attributes = {{"http.request.method", asked.method},
                      {"http.route", std::string(route)},
                      {"client.address", asked.peer},
                      {"pelton.request_id", asked.id}};
  return trace;
}

RequestTrace::~RequestTrace() {
  std::vector<Span> spans;
  {
    const MutexLock lock(mutex_);
    // An answer that is dropped before it began becomes status 500, if anyone is there to get it.
    int status = response_->status();
    if (status == 0 && !response_->closed()) status = 500;
    if (status != 0) whole_.attributes.emplace_back("http.response.status_code", int64_t{status});
    whole_.failed = status >= 500 || status == 0;
    whole_.end_unix_ns = MonotonicClock().NowNs() + unix_offset_ns_;
    spans = std::move(parts_);
    spans.push_back(std::move(whole_));
  }
  exporter_->Push(std::move(spans));
}

void RequestTrace::Set(std::string_view name, std::variant<std::string, int64_t, double> value) {
  const MutexLock lock(mutex_);
  auto& all = whole_.attributes;
  const auto same = std::find_if(all.begin(), all.end(),
                                 [&](const SpanAttribute& each) { return each.first == name; });
  if (same != all.end()) {
    same->second = std::move(value);
  } else {
    all.emplace_back(std::string(name), std::move(value));
  }
}

void RequestTrace::AddPart(std::string_view name, int64_t end_ns, int64_t duration_ns,
                           std::vector<SpanAttribute> attributes) {
  if (duration_ns <= 0) return;
  const MutexLock lock(mutex_);
  if (parts_.size() == kMaxParts) return;
  parts_.push_back({.trace_id = whole_.trace_id,
                    .span_id = NewSpanId(),
                    .parent_id = whole_.span_id,
                    .name = std::string(name),
                    .start_unix_ns = end_ns - duration_ns + unix_offset_ns_,
                    .end_unix_ns = end_ns + unix_offset_ns_,
                    .attributes = std::move(attributes)});
}

}  // namespace pelton
