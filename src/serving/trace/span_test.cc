#include "serving/trace/span.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace pelton {
namespace {

TEST(OtlpJson, HasTheFormOfTheProtocol) {
  Span span;
  span.trace_id.fill(0xab);
  span.span_id.fill(0x01);
  span.name = "POST /v1/chat/completions";
  span.server = true;
  span.start_unix_ns = 1'700'000'000'000'000'001;
  span.end_unix_ns = 1'700'000'000'000'000'999;
  span.attributes = {
      {"text", std::string("bad \xff byte")}, {"number", int64_t{1} << 60}, {"ratio", 0.5}};
  Span part;
  part.parent_id = span.span_id;
  part.failed = true;
  const auto json = nlohmann::json::parse(OtlpJson("me", "1.2", std::vector{span, part}));
  const auto& all = json["resourceSpans"][0];
  EXPECT_EQ(all["resource"]["attributes"][0],
            nlohmann::json::parse(R"({"key":"service.name","value":{"stringValue":"me"}})"));
  const auto& spans = all["scopeSpans"][0]["spans"];
  ASSERT_EQ(spans.size(), 2U);
  EXPECT_EQ(spans[0]["traceId"], "abababababababababababababababab");
  EXPECT_EQ(spans[0]["spanId"], "0101010101010101");
  EXPECT_FALSE(spans[0].contains("parentSpanId"));
  EXPECT_FALSE(spans[0].contains("status"));
  EXPECT_EQ(spans[0]["kind"], 2);
  EXPECT_EQ(spans[0]["startTimeUnixNano"], "1700000000000000001");
  EXPECT_EQ(spans[0]["endTimeUnixNano"], "1700000000000000999");
  EXPECT_EQ(spans[0]["attributes"][0]["value"]["stringValue"], "bad \xef\xbf\xbd byte");
  EXPECT_EQ(spans[0]["attributes"][1]["value"]["intValue"], "1152921504606846976");
  EXPECT_EQ(spans[0]["attributes"][2]["value"]["doubleValue"], 0.5);
  EXPECT_EQ(spans[1]["parentSpanId"], "0101010101010101");
  EXPECT_EQ(spans[1]["kind"], 1);
  EXPECT_EQ(spans[1]["status"]["code"], 2);
}

}  // namespace
}  // namespace pelton
