#include "runtime/schedule/first_token_forecast.h"

#include <gtest/gtest.h>

namespace pelton {
namespace {

EngineLoad Idle() {
  EngineLoad load;
  load.max_sequences = 4;
  load.max_step_tokens = 100;
  load.mean_output_tokens = 50;
  load.cost = {.fixed_ns = 10, .prefill_token_ns = 1, .decode_row_ns = 2, .attended_ns = 0.01};
  return load;
}

TEST(ForecastFirstToken, CountsThePromptsBeforeAndTheirSteps) {
  EngineLoad load = Idle();
  EXPECT_EQ(ForecastFirstToken(load, ServiceClass::kStandard, 150), 2 * 10 + 150);
  load.classes[1] = {.waiting = 1, .running = 1, .prompt_tokens = 40, .attended_tokens = 100};
  // 190 tokens in chunks of 99, beside a decoding row that attends to 100.
  EXPECT_EQ(ForecastFirstToken(load, ServiceClass::kStandard, 150), 2 * (10 + 2 + 1) + 190);
  EXPECT_EQ(ForecastFirstToken(load, ServiceClass::kRealtime, 150), 2 * 10 + 150)
      << "less urgent ones give way";
  load.cost = {};
  EXPECT_FALSE(ForecastFirstToken(load, ServiceClass::kRealtime, 150).has_value());
}

TEST(ForecastFirstToken, WaitsForEndingsWhereAllPlacesAreTaken) {
  EngineLoad load = Idle();
  load.classes[1] = {.waiting = 2, .running = 4, .prompt_tokens = 0, .attended_tokens = 0};
  const double step = 10 + 4 * 2;
  EXPECT_EQ(ForecastFirstToken(load, ServiceClass::kStandard, 50), step + 50 + 3 * (50 * step / 4));
  EXPECT_EQ(ForecastFirstToken(load, ServiceClass::kRealtime, 50), 10 + 50);
}

}  // namespace
}  // namespace pelton
