#include "serving/metrics/metrics_text.h"

#include <gtest/gtest.h>

namespace pelton {
namespace {

TEST(MetricsTextTest, IsPrometheusTextFormat) {
  MetricRegistry registry;
  registry.AddCounter("a_total", "x=\"1\"", "things").Add(3);
  registry.AddGauge("b", "", "level").Set(-2);
  Histogram& seconds = registry.AddHistogram("c_seconds", "x=\"y\"", "time", {0.5, 1});
  seconds.Observe(0.25);
  seconds.Observe(0.75);
  seconds.Observe(8);
  registry.AddCounter("a_total", "x=\"2\"", "things").Add(4);
  EXPECT_EQ(MetricsText(registry), R"(# HELP a_total things
# TYPE a_total counter
a_total{x="1"} 3
a_total{x="2"} 4
# HELP b level
# TYPE b gauge
b -2
# HELP c_seconds time
# TYPE c_seconds histogram
c_seconds_bucket{x="y",le="0.5"} 1
c_seconds_bucket{x="y",le="1"} 2
c_seconds_bucket{x="y",le="+Inf"} 3
c_seconds_sum{x="y"} 9
c_seconds_count{x="y"} 3
)");
}

TEST(MetricsTextTest, SourcesAreToldApartByTheirLabels) {
  MetricRegistry shared, a, b;
  shared.AddGauge("level", "", "a level").Set(1);
  a.AddCounter("things_total", "", "things").Add(2);
  a.AddCounter("ends_total", "reason=\"stop\"", "ends").Add(3);
  b.AddCounter("ends_total", "reason=\"stop\"", "ends").Add(4);
  b.AddCounter("things_total", "", "things").Add(5);
  b.AddHistogram("c_seconds", "", "time", {1}).Observe(0.5);
  const MetricSource sources[] = {{shared}, {a, "model=\"a\""}, {b, "model=\"b\""}};
  EXPECT_EQ(MetricsText(sources), R"(# HELP level a level
# TYPE level gauge
level 1
# HELP things_total things
# TYPE things_total counter
things_total{model="a"} 2
things_total{model="b"} 5
# HELP ends_total ends
# TYPE ends_total counter
ends_total{model="a",reason="stop"} 3
ends_total{model="b",reason="stop"} 4
# HELP c_seconds time
# TYPE c_seconds histogram
c_seconds_bucket{model="b",le="1"} 1
c_seconds_bucket{model="b",le="+Inf"} 1
c_seconds_sum{model="b"} 0.5
c_seconds_count{model="b"} 1
)");
}

}  // namespace
}  // namespace pelton
