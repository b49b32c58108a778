#include "serving/metrics/vllm_metrics.h"

#include <gtest/gtest.h>

#include "runtime/engine/engine_metrics.h"

namespace pelton {
namespace {

bool Has(const std::string& text, const std::string& line) {
  return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

class VllmMetricsTest : public testing::Test {
 protected:
  std::string Text(size_t max_context) {
    const VllmSource source{
        .registry = registry_, .model_name = "a \"model\"", .max_context = max_context};
    return VllmMetricsText(std::span(&source, 1));
  }
  MetricRegistry registry_;
};

TEST_F(VllmMetricsTest, EveryHistogramOfTheEngineHasVllmsBounds) {
  for (const size_t max_context : {1, 2, 100, 8192, 131072, 3000000}) {
    MetricRegistry registry;
    const EngineMetrics metrics(registry, max_context);
    // Writing checks the bounds.
    const VllmSource source{.registry = registry, .max_context = max_context};
    EXPECT_FALSE(VllmMetricsText(std::span(&source, 1)).empty());
  }
}

TEST_F(VllmMetricsTest, CountsGoToVllmsBuckets) {
  const EngineMetrics metrics(registry_, 100);
  for (const double seconds : {0.0004, 0.003, 0.3, 0.75, 9000.0}) {
    metrics.first_token_seconds.Observe(seconds);
  }
  const std::string text = Text(100);
  const std::string name = "vllm:time_to_first_token_seconds";
  const std::string labels = R"(model_name="a \"model\"",engine="0")";
  EXPECT_TRUE(Has(text, name + "_bucket{" + labels + ",le=\"0.001\"} 1"));
  EXPECT_TRUE(Has(text, name + "_bucket{" + labels + ",le=\"0.005\"} 2"));
  EXPECT_TRUE(Has(text, name + "_bucket{" + labels + ",le=\"0.5\"} 3"));
  EXPECT_TRUE(Has(text, name + "_bucket{" + labels + ",le=\"1.0\"} 4"));
  EXPECT_TRUE(Has(text, name + "_bucket{" + labels + ",le=\"2560.0\"} 4"));
  EXPECT_TRUE(Has(text, name + "_bucket{" + labels + ",le=\"+Inf\"} 5"));
  EXPECT_TRUE(Has(text, name + "_count{" + labels + "} 5"));
  EXPECT_EQ(text.find("le=\"0.0025\""), std::string::npos);  // is Pelton's own
}

TEST_F(VllmMetricsTest, LargeBoundsAreWrittenAsPythonsClientDoes) {
  const EngineMetrics metrics(registry_, 2'500'000);
  const std::string text = Text(2'500'000);
  for (const char* bound : {"500000.0", "1e+06", "2e+06"}) {
    EXPECT_NE(text.find(std::string("le=\"") + bound + "\""), std::string::npos) << bound;
  }
}

TEST_F(VllmMetricsTest, GaugesReasonsAndConfiguration) {
  const EngineMetrics metrics(registry_, 100);
  metrics.blocks.Set(40);
  metrics.block_tokens.Set(64);
  metrics.held_blocks.Set(10);
  metrics.finished[static_cast<size_t>(FinishReason::kCancelled)]->Add(2);
  metrics.finished[static_cast<size_t>(FinishReason::kDeadline)]->Add();
  const std::string text = Text(100);
  const std::string labels = R"({model_name="a \"model\"",engine="0")";
  EXPECT_TRUE(Has(text, "vllm:kv_cache_usage_perc" + labels + "} 0.25"));
  EXPECT_TRUE(Has(text, "vllm:request_success_total" + labels + R"(,finished_reason="abort"} 3)"));
  EXPECT_TRUE(Has(text, "vllm:request_success_total" + labels + R"(,finished_reason="stop"} 0)"));
  EXPECT_NE(text.find(R"(vllm:cache_config_info{block_size="64",)"), std::string::npos);
}

TEST_F(VllmMetricsTest, SeveralModelsShareOneHead) {
  MetricRegistry other;
  const EngineMetrics metrics(registry_, 100), more(other, 50);
  metrics.output_tokens.Add(3);
  more.output_tokens.Add(4);
  const VllmSource sources[] = {{.registry = registry_, .model_name = "a", .max_context = 100},
                                {.registry = other, .model_name = "b", .max_context = 50}};
  const std::string text = VllmMetricsText(sources);
  for (const std::string name : {"vllm:generation_tokens_total", "vllm:request_prompt_tokens",
                                 "vllm:request_success_total", "vllm:cache_config_info"}) {
    const size_t head = text.find("# TYPE " + name + " ");
    EXPECT_NE(head, std::string::npos) << name;
    EXPECT_EQ(text.find("# TYPE " + name + " ", head + 1), std::string::npos) << name;
  }
  EXPECT_TRUE(Has(text, R"(vllm:generation_tokens_total{model_name="a",engine="0"} 3)"));
  EXPECT_TRUE(Has(text, R"(vllm:generation_tokens_total{model_name="b",engine="0"} 4)"));
}

}  // namespace
}  // namespace pelton
