#include "serving/trace/span_exporter.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <iterator>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "base/mutex.h"
#include "net/download/post.h"

namespace pelton {
namespace {

constexpr size_t kMaxWaiting = 8192;
constexpr size_t kMaxBatch = 512;
constexpr int kTries = 3;
constexpr long kPostMs = 2'000;
constexpr long kLastMs = 2'000;  // for everything, at the end

}  // namespace

struct SpanExporter::Impl {
  Impl(SpanExporterOptions opts, MetricRegistry& metrics)
      : options(std::move(opts)),
        sent(metrics.AddCounter("pelton_trace_spans_total", "result=\"sent\"",
                                "Spans for the OpenTelemetry collector")),
        dropped(metrics.AddCounter("pelton_trace_spans_total", "result=\"dropped\"",
                                   "Spans for the OpenTelemetry collector")) {}

  void Loop() EXCLUDES_LOCK(mutex) {
    while (true) {
      std::vector<Span> batch;
      {
        const MutexLock lock(mutex);
        if (waiting.empty() && stopping) return;
        // Spans come in bursts; one message carries what a second brings.
        if (waiting.size() < kMaxBatch && !stopping) wake.WaitFor(mutex, options.interval_ns);
        const size_t count = std::min(waiting.size(), kMaxBatch);
        const auto end = waiting.begin() + static_cast<std::ptrdiff_t>(count);
        batch.assign(std::make_move_iterator(waiting.begin()), std::make_move_iterator(end));
        waiting.erase(waiting.begin(), end);
      }
      if (!batch.empty()) SendBatch(batch);
    }
  }

  void SendBatch(const std::vector<Span>& batch) EXCLUDES_LOCK(mutex) {
    const PostRequest request = {.url = options.url,
                                 .headers = options.headers,
                                 .body = OtlpJson(options.service, options.version, batch)};
    Status status;
    for (int i = 0; i < kTries; ++i) {
      const long left = TimeLeftMs();
      if (left <= 0) break;
      PostRequest one = request;
      one.timeout_ms = left;
      status = Post(one);
      if (status.code() != StatusCode::kUnavailable) break;
      const MutexLock lock(mutex);
      if (!stopping) wake.WaitFor(mutex, options.interval_ns << i);
    }
    const bool done = status.ok() && TimeLeftMs() > 0;
    (done ? sent : dropped).Add(batch.size());
    if (done == failing && options.report) {
      options.report(done ? "spans are sent again" : "spans are dropped: " + status.message());
    }
    failing = !done;
  }

  long TimeLeftMs() EXCLUDES_LOCK(mutex) {
    const MutexLock lock(mutex);
    return stopping ? static_cast<long>((deadline_ns - MonotonicClock().NowNs()) / 1'000'000)
                    : kPostMs;
  }

  const SpanExporterOptions options;
  Counter& sent;
  Counter& dropped;
  bool failing = false;  // the thread's own

  Mutex mutex;
  CondVar wake;
  std::deque<Span> waiting GUARDED_BY(mutex);
  bool stopping GUARDED_BY(mutex) = false;
  int64_t deadline_ns GUARDED_BY(mutex) = 0;
  std::thread thread;
};

SpanExporter::SpanExporter(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Result<std::shared_ptr<SpanExporter>> SpanExporter::Start(SpanExporterOptions options,
                                                          MetricRegistry& metrics) {
  if (!options.url.starts_with("http://") && !options.url.starts_with("https://")) {
    return InvalidArgument(
        fmt::format("{}: expected an http or https URL of a collector", options.url));
  }
  if (!(options.ratio >= 0 && options.ratio <= 1)) {
    return InvalidArgument(fmt::format("found {}, expected a ratio of 0 to 1", options.ratio));
  }
  for (const std::string& header : options.headers) {
    if (header.find(':') == header.npos || header.find_first_of("\r\n") != header.npos) {
      return InvalidArgument("expected headers as \"name=value,name=value\"");
    }
  }
  options.headers.emplace_back("Content-Type: application/json");
  auto impl = std::make_unique<Impl>(std::move(options), metrics);
  Impl* const self = impl.get();
  self->thread = std::thread([self] { self->Loop(); });
  return std::shared_ptr<SpanExporter>(new SpanExporter(std::move(impl)));
}

SpanExporter::~SpanExporter() {
  {
    const MutexLock lock(impl_->mutex);
    impl_->stopping = true;
    impl_->deadline_ns = MonotonicClock().NowNs() + kLastMs * 1'000'000;
    impl_->wake.WakeAll();
  }
  impl_->thread.join();
}

void SpanExporter::Push(std::vector<Span> spans) {
  const MutexLock lock(impl_->mutex);
  for (Span& span : spans) {
    if (impl_->waiting.size() == kMaxWaiting) {
      impl_->dropped.Add();
    } else {
      impl_->waiting.push_back(std::move(span));
    }
  }
  if (impl_->waiting.size() >= kMaxBatch) impl_->wake.WakeOne();
}

bool SpanExporter::Samples(const TraceId& id) const {
  // As OpenTelemetry's TraceIdRatioBased: the last bytes of the id as a number below the bound.
  uint64_t low = 0;
  for (size_t i = 8; i < id.size(); ++i) low = low << 8 | id[i];
  return static_cast<double>(low >> 11) < impl_->options.ratio * 0x1p53;
}

}  // namespace pelton
