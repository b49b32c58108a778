#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "runtime/profile/chrome_trace.h"
#include "runtime/profile/profile_recorder.h"

namespace pelton {
namespace {

const std::vector<std::string> kLabels = {"matmul %a\"\xff", "rms_norm %b"};

TEST(ProfileRecorderTest, RecordsOnlyBetweenStartAndStop) {
  ProfileRecorder recorder;
  EXPECT_FALSE(recorder.active());
  recorder.OnOp(0, "x", 1, 2);
  EXPECT_TRUE(recorder.Stop().ops.empty());
  EXPECT_TRUE(recorder.Start());
  EXPECT_TRUE(recorder.active());
  EXPECT_FALSE(recorder.Start());
  recorder.OnOp(1, "x", 3, 4);
  const ProfileRecord record = recorder.Stop();
  EXPECT_FALSE(recorder.active());
  ASSERT_EQ(record.ops.size(), 1u);
  EXPECT_EQ(record.ops[0].op_idx, 1u);
  EXPECT_EQ(record.lost, 0u);
  EXPECT_TRUE(recorder.Start());
  EXPECT_TRUE(recorder.Stop().ops.empty());
}

TEST(ProfileRecorderTest, KeepsTheNewestInOrder) {
  ProfileRecorder recorder;
  for (const int64_t count : {4, 5, 11, 16}) {
    ASSERT_TRUE(recorder.Start(5));
    for (int64_t i = 0; i < count; ++i) recorder.OnOp(0, "x", i, i + 1);
    const ProfileRecord record = recorder.Stop();
    ASSERT_EQ(record.ops.size(), std::min<size_t>(static_cast<size_t>(count), 5));
    EXPECT_EQ(record.lost + record.ops.size(), static_cast<uint64_t>(count));
    for (size_t i = 0; i < record.ops.size(); ++i) {
      EXPECT_EQ(record.ops[i].start_ns, static_cast<int64_t>(record.lost + i));
    }
  }
}

TEST(ProfileRecorderTest, StopAwaitsTheStepInProgress) {
  ProfileRecorder recorder;
  recorder.Start();
  recorder.OnStepBegin();
  std::thread engine([&] {
    recorder.OnOp(0, "x", 1, 2);
    recorder.OnStep({.start_ns = 1, .end_ns = 3});
  });
  EXPECT_EQ(recorder.Stop().steps.size(), 1u);
  engine.join();
}

ProfileRecord SomeRecord() {
  return {.steps = {{.start_ns = 1'000'000, .end_ns = 5'000'000, .tokens = 3, .sequences = 2}},
          .ops = {{.start_ns = 1'000'000, .end_ns = 3'000'000, .op_idx = 0, .impl = "amx"},
                  {.start_ns = 3'000'000, .end_ns = 4'000'000, .op_idx = 1, .impl = "avx2"}},
          .requests = {{.id = 7,
                        .submitted_ns = 500'000,
                        .started_ns = 1'000'000,
                        .first_token_ns = 4'000'000,
                        .end_ns = 5'000'000,
                        .prompt_tokens = 2,
                        .output_tokens = 1},
                       {.id = 8, .submitted_ns = 600'000, .end_ns = 900'000}}};
}

TEST(ChromeTraceTest, HasATrackForEachKind) {
  const auto trace = nlohmann::json::parse(ChromeTrace(SomeRecord(), kLabels));
  std::map<std::string, nlohmann::json> spans;
  for (const auto& event : trace["traceEvents"]) {
    if (event["ph"] == "X" && event["tid"] != 8) spans[event["name"]] = event;
  }
  ASSERT_EQ(spans.size(), 6u);  // step, two ops, queue, prefill, decode
  EXPECT_EQ(spans["step"]["ts"], 500.0);
  EXPECT_EQ(spans["step"]["dur"], 4000.0);
  EXPECT_EQ(spans["step"]["args"]["tokens"], 3);
  EXPECT_EQ(spans["rms_norm %b"]["args"]["kernel"], "avx2");
  EXPECT_EQ(spans["prefill"]["dur"], 3000.0);
  EXPECT_EQ(spans["decode"]["tid"], 7);
  EXPECT_EQ(spans["queue"]["ts"], 0.0);
}

TEST(ChromeTraceTest, SharesAddUp) {
  const std::vector<OpShare> shares = SummarizeOps(SomeRecord(), kLabels);
  ASSERT_EQ(shares.size(), 3u);
  EXPECT_EQ(shares[0].op, "matmul");
  EXPECT_DOUBLE_EQ(shares[0].share, 0.5);
  EXPECT_DOUBLE_EQ(shares[1].share, 0.25);
  EXPECT_EQ(shares[2].op, "(between ops)");
  EXPECT_NEAR(shares[2].share, 0.25, 1e-9);
  EXPECT_NE(ProfileTable(SomeRecord(), kLabels, 1).find("1 steps, 2 requests"), std::string::npos);
}

TEST(ChromeTraceTest, NothingIsATraceToo) {
  EXPECT_TRUE(nlohmann::json::parse(ChromeTrace({}, {}))["traceEvents"].is_array());
  EXPECT_EQ(SummarizeOps({}, {}).back().share, 0);
}

}  // namespace
}  // namespace pelton
