#include "serving/metrics/process_metrics.h"

#include <gtest/gtest.h>

namespace pelton {
namespace {

double ValueOf(const std::string& text, const std::string& name) {
  const size_t at = text.find("\n" + name + " ");
  EXPECT_NE(at, std::string::npos) << name;
  return at == std::string::npos ? -1 : std::strtod(text.c_str() + at + name.size() + 2, nullptr);
}

TEST(ProcessMetricsTest, TellsWhatTheSystemKnows) {
  const std::string text = ProcessMetricsText();
  EXPECT_GT(ValueOf(text, "process_resident_memory_bytes"), 1e6);
  EXPECT_GE(ValueOf(text, "process_virtual_memory_bytes"),
            ValueOf(text, "process_resident_memory_bytes"));
  EXPECT_GE(ValueOf(text, "process_cpu_seconds_total"), 0);
  EXPECT_GE(ValueOf(text, "process_threads"), 1);
  EXPECT_GT(ValueOf(text, "process_start_time_seconds"), 1.5e9);
  EXPECT_GE(ValueOf(text, "process_open_fds"), 3);
  EXPECT_GE(ValueOf(text, "process_max_fds"), ValueOf(text, "process_open_fds"));
}

TEST(ProcessMetricsTest, BuildInfoEscapesItsLabels) {
  EXPECT_NE(BuildInfoText("1\"\n\\").find(R"(version="1\"\n\\",)"), std::string::npos);
}

}  // namespace
}  // namespace pelton
