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

}  // namespace
}  // namespace pelton
