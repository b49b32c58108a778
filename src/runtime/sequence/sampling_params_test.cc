#include "runtime/sequence/sampling_params.h"

#include <gtest/gtest.h>

#include <functional>
#include <limits>

namespace pelton {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr size_t kVocab = 100;

TEST(SamplingParams, DefaultsAreValid) { EXPECT_TRUE(SamplingParams().Validate(1).ok()); }

TEST(SamplingParams, LimitsAreInclusive) {
  SamplingParams p;
  p.temperature = 0;
  p.top_k = std::numeric_limits<uint32_t>::max();
  p.top_p = std::numeric_limits<float>::denorm_min();
  p.min_p = 1;
  p.repetition_penalty = 0.01f;
  p.presence_penalty = -100;
  p.frequency_penalty = 100;
  p.penalty_window = -1;
  p.logit_bias = {{99, -100.0f}, {0, 100.0f}};
  p.max_tokens = 0;
  p.stop_ids = {0, 99};
  p.stop_strings = {std::string(1024, 'x')};
  p.logprobs = 100;
  p.prompt_logprobs = 0;
  EXPECT_TRUE(p.Validate(kVocab).ok()) << p.Validate(kVocab).message();
}

TEST(SamplingParams, EveryBadValueIsRefusedByName) {
  struct Case {
    const char* field;
    std::function<void(SamplingParams&)> spoil;
  };
  std::vector<Case> cases;
  const auto floats = [&](const char* field, float SamplingParams::*member,
                          std::vector<float> values) {
    values.insert(values.end(), {kNan, kInf, -kInf, 1e38f, -1e38f});
    for (const float value : values) {
      cases.push_back({field, [=](SamplingParams& p) { p.*member = value; }});
    }
  };
  floats("temperature", &SamplingParams::temperature, {-1e-6f, 100.1f});
  floats("top_p", &SamplingParams::top_p, {0.0f, -1.0f, 1.0001f});
  floats("min_p", &SamplingParams::min_p, {-0.1f, 1.1f});
  floats("typical_p", &SamplingParams::typical_p, {0.0f, 1.1f});
  floats("repetition_penalty", &SamplingParams::repetition_penalty, {0.0f, -1.0f, 100.1f});
  floats("presence_penalty", &SamplingParams::presence_penalty, {-100.1f, 100.1f});
  floats("frequency_penalty", &SamplingParams::frequency_penalty, {-100.1f, 100.1f});
  for (const int32_t id :
       {-1, 100, std::numeric_limits<int32_t>::max(), std::numeric_limits<int32_t>::min()}) {
    cases.push_back({"logit_bias", [=](SamplingParams& p) { p.logit_bias = {{id, 0.0f}}; }});
    cases.push_back({"stop_ids", [=](SamplingParams& p) { p.stop_ids = {5, id}; }});
  }
  for (const float bias : {kNan, kInf, -kInf, 100.1f}) {
    cases.push_back({"logit_bias", [=](SamplingParams& p) { p.logit_bias = {{3, bias}}; }});
  }
  cases.push_back({"logit_bias", [](SamplingParams& p) { p.logit_bias.resize(1025, {1, 0.0f}); }});
  cases.push_back({"penalty_window", [](SamplingParams& p) { p.penalty_window = -2; }});
  cases.push_back({"min_tokens", [](SamplingParams& p) {
                     p.max_tokens = 3;
                     p.min_tokens = 4;
                   }});
  cases.push_back({"stop", [](SamplingParams& p) { p.stop_strings = {""}; }});
  cases.push_back({"stop", [](SamplingParams& p) { p.stop_strings = {std::string(1025, 'x')}; }});
  cases.push_back({"stop", [](SamplingParams& p) { p.stop_strings.resize(65, "x"); }});
  cases.push_back({"stop_ids", [](SamplingParams& p) { p.stop_ids.resize(257, 1); }});
  cases.push_back({"logprobs", [](SamplingParams& p) { p.logprobs = 101; }});
  cases.push_back({"prompt_logprobs", [](SamplingParams& p) { p.prompt_logprobs = ~0u; }});

  for (size_t i = 0; i < cases.size(); ++i) {
    SamplingParams params;
    cases[i].spoil(params);
    const Status status = params.Validate(kVocab);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << cases[i].field << " case " << i;
    EXPECT_EQ(status.message().rfind(std::string(cases[i].field) + " ", 0), 0u)
        << cases[i].field << ": " << status.message();
  }
}

}  // namespace
}  // namespace pelton
