#include "runtime/schedule/request_fit.h"

#include <gtest/gtest.h>

namespace pelton {
namespace {

constexpr FitLimits kLimits = {.max_context = 100, .num_blocks = 10, .block_tokens = 8};

bool Has(const Status& status, const std::string& text) {
  return status.message().find(text) != std::string::npos;
}

TEST(FitRequest, GivesTheLengthThatARequestMayReach) {
  EXPECT_EQ(FitRequest(10, 5, kLimits).value(), 15u);
  EXPECT_EQ(FitRequest(10, 0, kLimits).value(), 10u);
  EXPECT_EQ(FitRequest(10, std::nullopt, kLimits).value(), 80u) << "as far as the blocks go";
  EXPECT_EQ(FitRequest(80, 0, kLimits).value(), 80u);
  const FitLimits roomy = {.max_context = 100, .num_blocks = 100, .block_tokens = 8};
  EXPECT_EQ(FitRequest(10, 4000000000u, roomy).value(), 100u) << "ends at the context";
  EXPECT_EQ(FitRequest(100, 0, roomy).value(), 100u);
}

TEST(FitRequest, RefusesWithBothNumbers) {
  const Status long_prompt = FitRequest(101, 0, kLimits).status();
  EXPECT_EQ(long_prompt.code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(Has(long_prompt, "101") && Has(long_prompt, "100")) << long_prompt.message();

  const Status no_room = FitRequest(100, std::nullopt, kLimits).status();
  EXPECT_EQ(no_room.code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(Has(no_room, "no room")) << no_room.message();

  const Status blocks = FitRequest(70, 20, kLimits).status();
  EXPECT_EQ(blocks.code(), StatusCode::kResourceExhausted);
  EXPECT_TRUE(Has(blocks, "12 KV blocks") && Has(blocks, "are 10 of 8")) << blocks.message();
  EXPECT_EQ(FitRequest(80, std::nullopt, kLimits).status().code(), StatusCode::kResourceExhausted);

  EXPECT_EQ(FitRequest(0, 1, kLimits).status().code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace pelton
