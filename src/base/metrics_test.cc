#include "base/metrics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <thread>

#include "base/clock.h"

namespace pelton {
namespace {

TEST(Metrics, SameNameAndLabelsIsTheSameMetric) {
  MetricRegistry registry;
  Counter& stop = registry.AddCounter("finished_total", "reason=\"stop\"", "Finished requests");
  Counter& length = registry.AddCounter("finished_total", "reason=\"length\"", "Finished requests");
  stop.Add();
  length.Add(3);
  EXPECT_EQ(&stop, &registry.AddCounter("finished_total", "reason=\"stop\"", ""));
  const auto entries = registry.Entries();
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[0]->counter->value(), 1u);
  EXPECT_EQ(entries[1]->counter->value(), 3u);
  EXPECT_EQ(entries[0]->help, "Finished requests");
}

TEST(Metrics, AMetricThatChangesItsKindIsABug) {
  MetricRegistry registry;
  registry.AddGauge("x", "", "");
  EXPECT_DEATH(registry.AddCounter("x", "", ""), "keeps its kind");
}

TEST(Metrics, HistogramBucketsIncludeTheirUpperBound) {
  Histogram histogram({1, 10, 100});
  for (const double value : {-5.0, 1.0, 1.5, 10.0, 100.0, 100.5, 1e9}) histogram.Observe(value);
  EXPECT_EQ(histogram.bucket_count(0), 2u);
  EXPECT_EQ(histogram.bucket_count(1), 2u);
  EXPECT_EQ(histogram.bucket_count(2), 1u);
  EXPECT_EQ(histogram.bucket_count(3), 2u);
  EXPECT_DOUBLE_EQ(histogram.sum(), -5.0 + 1 + 1.5 + 10 + 100 + 100.5 + 1e9);
  histogram.Observe(std::nan(""));
  EXPECT_EQ(histogram.bucket_count(3), 3u);
}

TEST(Metrics, NothingIsLostBetweenThreads) {
  MetricRegistry registry;
  Histogram& histogram = registry.AddHistogram("h", "", "", {0.5});
  Gauge& gauge = registry.AddGauge("g", "", "");
  const auto work = [&] {
    for (int i = 0; i < 10000; ++i) {
      histogram.Observe(1);
      gauge.Add(1);
    }
  };
  std::thread other(work);
  work();
  other.join();
  EXPECT_EQ(histogram.bucket_count(1), 20000u);
  EXPECT_EQ(histogram.sum(), 20000);
  EXPECT_EQ(gauge.value(), 20000);
}

TEST(Clock, ManualMovesOnlyWhenToldAndMonotonicDoesNotGoBack) {
  ManualClock manual(5);
  EXPECT_EQ(manual.NowNs(), 5);
  manual.Advance(10);
  EXPECT_EQ(manual.NowNs(), 15);
  const MonotonicClock monotonic;
  const int64_t first = monotonic.NowNs();
  EXPECT_LE(first, monotonic.NowNs());
}

}  // namespace
}  // namespace pelton
