#include "serving/trace/span_exporter.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "net/http/server.h"

namespace pelton {
namespace {

// A collector: keeps what it gets, and answers with a status that the test sets.
class Collector {
 public:
  Collector() {
    HttpServerOptions options;
    options.port = 0;
    auto server = HttpServer::Start(options, [this](const auto& request, const auto& response) {
      {
        const MutexLock lock(mutex_);
        bodies_.push_back(request->body);
        header_ = request->Header("x-token");
      }
      response->Send(status, {}, "{}");
    });
    server_ = std::move(server).value();
  }
  std::string url() const { return server_->url() + "/v1/traces"; }
  std::vector<std::string> bodies() {
    const MutexLock lock(mutex_);
    return bodies_;
  }
  std::string header() {
    const MutexLock lock(mutex_);
    return header_;
  }
  std::atomic<int> status{200};

 private:
  Mutex mutex_;
  std::vector<std::string> bodies_ GUARDED_BY(mutex_);
  std::string header_ GUARDED_BY(mutex_);
  std::unique_ptr<HttpServer> server_;
};

uint64_t Spans(MetricRegistry& metrics, const std::string& result) {
  return metrics.AddCounter("pelton_trace_spans_total", "result=\"" + result + "\"", "").value();
}

Span Named(const std::string& name) {
  Span span;
  span.name = name;
  return span;
}

TEST(SpanExporter, SendsWhatWaitsAtItsEnd) {
  Collector collector;
  MetricRegistry metrics;
  auto exporter = SpanExporter::Start(
      {.url = collector.url(), .headers = {"X-Token: secret"}, .version = "1"}, metrics);
  ASSERT_TRUE(exporter.ok());
  (*exporter)->Push({Named("a"), Named("b")});
  exporter->reset();
  ASSERT_FALSE(collector.bodies().empty());
  EXPECT_EQ(collector.header(), "secret");
  size_t count = 0;
  for (const std::string& body : collector.bodies()) {
    const auto json = nlohmann::json::parse(body);
    count += json["resourceSpans"][0]["scopeSpans"][0]["spans"].size();
  }
  EXPECT_EQ(count, 2U);
  EXPECT_EQ(Spans(metrics, "sent"), 2U);
  EXPECT_EQ(Spans(metrics, "dropped"), 0U);
}

TEST(SpanExporter, TriesAgainWhatMaySucceedLater) {
  Collector collector;
  collector.status = 503;
  MetricRegistry metrics;
  std::atomic<int> reports{0};
  auto exporter = SpanExporter::Start({.url = collector.url(),
                                       .version = "1",
                                       .interval_ns = 1'000'000,
                                       .report = [&](std::string_view) { ++reports; }},
                                      metrics);
  ASSERT_TRUE(exporter.ok());
  (*exporter)->Push({Named("a")});
  while (Spans(metrics, "dropped") == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(collector.bodies().size(), 3U);
  collector.status = 200;
  (*exporter)->Push({Named("b")});
  exporter->reset();
  EXPECT_EQ(Spans(metrics, "sent"), 1U);
  EXPECT_EQ(Spans(metrics, "dropped"), 1U);
  EXPECT_EQ(reports, 2);
}

TEST(SpanExporter, DoesNotRepeatWhatIsRefused) {
  Collector collector;
  collector.status = 400;
  MetricRegistry metrics;
  auto exporter = SpanExporter::Start({.url = collector.url(), .interval_ns = 1'000'000}, metrics);
  ASSERT_TRUE(exporter.ok());
  (*exporter)->Push({Named("a")});
  exporter->reset();
  EXPECT_EQ(collector.bodies().size(), 1U);
  EXPECT_EQ(Spans(metrics, "dropped"), 1U);
}

TEST(SpanExporter, AnAbsentCollectorDelaysNobody) {
  MetricRegistry metrics;
  auto exporter = SpanExporter::Start({.url = "http://127.0.0.1:1/v1/traces"}, metrics);
  ASSERT_TRUE(exporter.ok());
  for (int i = 0; i < 20'000; ++i) (*exporter)->Push({Named("a")});
  exporter->reset();
  EXPECT_EQ(Spans(metrics, "dropped"), 20'000U);
}

TEST(SpanExporter, ChoosesByTheTraceId) {
  MetricRegistry metrics;
  const auto none = *SpanExporter::Start({.url = "http://127.0.0.1:1", .ratio = 0}, metrics);
  const auto half = *SpanExporter::Start({.url = "http://127.0.0.1:1", .ratio = 0.5}, metrics);
  const auto all = *SpanExporter::Start({.url = "http://127.0.0.1:1", .ratio = 1}, metrics);
  TraceId id;
  id.fill(0xff);
  EXPECT_TRUE(all->Samples(id));
  EXPECT_FALSE(half->Samples(id));
  EXPECT_FALSE(none->Samples(id));
  id.fill(0);
  EXPECT_TRUE(half->Samples(id));
  EXPECT_FALSE(none->Samples(id));
}

TEST(SpanExporter, RefusesWhatIsNoSetting) {
  MetricRegistry metrics;
  EXPECT_FALSE(SpanExporter::Start({.url = "file:///x"}, metrics).ok());
  EXPECT_FALSE(SpanExporter::Start({.url = "http://x", .ratio = 1.5}, metrics).ok());
  EXPECT_FALSE(SpanExporter::Start({.url = "http://x", .headers = {"no colon"}}, metrics).ok());
  EXPECT_FALSE(SpanExporter::Start({.url = "http://x", .headers = {"a: b\r\nc: d"}}, metrics).ok());
}

}  // namespace
}  // namespace pelton
