#include "serving/tenant/tenant.h"

#include <gtest/gtest.h>

namespace pelton {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

TenantTime At(int64_t seconds) { return {(seconds + 1) * kSecond, 1'700'006'400 + seconds}; }

class TenantTest : public testing::Test {
 protected:
  Tenant Make(TenantLimits limits) {
    return {{.name = "a", .salt = "s", .limits = std::move(limits)}, TenantMetrics(registry_, "a")};
  }
  MetricRegistry registry_;
};

TEST_F(TenantTest, RequestsRefillOverAMinute) {
  Tenant tenant = Make({.requests_per_minute = 6});
  for (int i = 0; i < 6; ++i) EXPECT_FALSE(tenant.Enter(At(0)));
  EXPECT_TRUE(tenant.Check(At(0)));
  const auto refusal = tenant.Enter(At(4));
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->status, 429);
  EXPECT_EQ(refusal->retry_after, 6u);
  EXPECT_FALSE(tenant.Enter(At(10)));
  EXPECT_TRUE(tenant.Enter(At(10)));
  for (int i = 0; i < 6; ++i) EXPECT_FALSE(tenant.Enter(At(1000)));
  EXPECT_TRUE(tenant.Enter(At(1000)));  // an idle hour does not add up
}

TEST_F(TenantTest, OnlySoManyRunAtOnce) {
  Tenant tenant = Make({.max_concurrent = 2});
  EXPECT_FALSE(tenant.Enter(At(0)));
  EXPECT_FALSE(tenant.Enter(At(0)));
  EXPECT_EQ(tenant.Enter(At(0))->status, 429);
  tenant.Leave();
  EXPECT_FALSE(tenant.Enter(At(0)));
}

TEST_F(TenantTest, TokensAreSetAsideAndPaidForAsUsed) {
  Tenant tenant = Make({.tokens_per_minute = 600});
  EXPECT_FALSE(tenant.Reserve(500, At(0)));
  const auto refusal = tenant.Reserve(200, At(0));
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->retry_after, 10u);  // 100 more at 10 a second
  tenant.Return(450, At(0), At(0));
  EXPECT_FALSE(tenant.Reserve(200, At(0)));
  tenant.Spend(700);  // more than it said: 400 below nothing, while it runs
  tenant.Spend(50);
  EXPECT_EQ(tenant.Check(At(0))->retry_after, 41u);
  EXPECT_TRUE(tenant.Check(At(40)));
  EXPECT_FALSE(tenant.Check(At(41)));
  // More than a minute's worth runs when the bucket is full.
  EXPECT_TRUE(tenant.Reserve(5000, At(50)));
  EXPECT_FALSE(tenant.Reserve(5000, At(200)));
}

TEST_F(TenantTest, ADaysTokensEndWithTheDay) {
  Tenant tenant = Make({.tokens_per_day = 1000});
  EXPECT_FALSE(tenant.Reserve(900, At(0)));
  const auto refusal = tenant.Reserve(200, At(0));
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->code, "insufficient_quota");
  EXPECT_EQ(refusal->retry_after, 86'400u);  // the moment is a midnight
  tenant.Spend(100);
  EXPECT_TRUE(tenant.Check(At(10)));
  EXPECT_FALSE(tenant.Check(At(86'400)));
  EXPECT_FALSE(tenant.Reserve(1000, At(86'400)));
  EXPECT_TRUE(tenant.Reserve(UINT64_MAX, At(86'400)));  // no overflow
  // What was set aside on the day before does not make this one's allowance larger.
  EXPECT_FALSE(tenant.Reserve(1000, At(2 * 86'400)));
  tenant.Return(990, At(2 * 86'400), At(3 * 86'400));
  EXPECT_FALSE(tenant.Reserve(1000, At(3 * 86'400)));
  EXPECT_TRUE(tenant.Reserve(1, At(3 * 86'400)));
}

TEST_F(TenantTest, WhatIsSpentCountsWhileTheRequestRuns) {
  Tenant tenant = Make({.tokens_per_minute = 600, .tokens_per_day = 1000});
  EXPECT_FALSE(tenant.Reserve(300, At(0)));
  tenant.Spend(299);
  EXPECT_FALSE(tenant.Check(At(0)));
  EXPECT_EQ(tenant.RateHeaders(At(0))[1].value, "1");  // remaining tokens
  tenant.Spend(2);
  const auto rate = tenant.Check(At(0));
  ASSERT_TRUE(rate);
  EXPECT_EQ(rate->code, "rate_limit_exceeded");
  EXPECT_EQ(rate->retry_after, 1u);
  tenant.Spend(399);
  const auto quota = tenant.Check(At(1000));
  ASSERT_TRUE(quota);
  EXPECT_EQ(quota->code, "insufficient_quota");
  EXPECT_EQ(quota->retry_after, 85'400u);
  tenant.Spend(599);  // of the next day, as it is counted there
  EXPECT_FALSE(tenant.Check(At(86'500)));
  tenant.Spend(401);
  EXPECT_EQ(tenant.Check(At(86'700))->code, "insufficient_quota");
}

TEST_F(TenantTest, CountsWhatCachesGave) {
  Tenant tenant = Make({});
  EXPECT_TRUE(tenant.CacheUses().empty());
  tenant.CacheUseOf("a")->prompt_tokens.Add(7);
  tenant.CacheUseOf("a")->cached_tokens.Add(3);
  tenant.CacheUseOf("b");  // was asked, and read nothing
  const auto uses = tenant.CacheUses();
  ASSERT_EQ(uses.size(), 1u);
  EXPECT_EQ(uses.at("a").prompt_tokens, 7u);
  EXPECT_EQ(uses.at("a").cached_tokens, 3u);
  for (int i = 0; i < 998; ++i) EXPECT_NE(tenant.CacheUseOf(std::to_string(i)), nullptr);
  EXPECT_EQ(tenant.CacheUseOf("c"), nullptr);
  EXPECT_NE(tenant.CacheUseOf("a"), nullptr);
}

TEST_F(TenantTest, OtherLimitsForgetNothing) {
  Tenant tenant = Make({.requests_per_minute = 10});
  for (int i = 0; i < 8; ++i) EXPECT_FALSE(tenant.Enter(At(0)));
  tenant.Update({.name = "a", .salt = "s", .limits = {.requests_per_minute = 9}});
  EXPECT_FALSE(tenant.Enter(At(0)));
  EXPECT_TRUE(tenant.Enter(At(0)));
  tenant.Update({.name = "a", .salt = "s"});
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(tenant.Enter(At(0)));
  EXPECT_TRUE(tenant.RateHeaders(At(0)).empty());
}

TEST_F(TenantTest, TellsItsRates) {
  Tenant tenant = Make({.requests_per_minute = 60, .tokens_per_minute = 600});
  EXPECT_FALSE(tenant.Enter(At(0)));
  EXPECT_FALSE(tenant.Reserve(100, At(0)));
  std::string text;
  for (const HttpHeader& header : tenant.RateHeaders(At(0))) {
    text += header.name + ": " + header.value + "\n";
  }
  EXPECT_EQ(text,
            "x-ratelimit-limit-requests: 60\nx-ratelimit-remaining-requests: 59\n"
            "x-ratelimit-reset-requests: 1.0s\nx-ratelimit-limit-tokens: 600\n"
            "x-ratelimit-remaining-tokens: 500\nx-ratelimit-reset-tokens: 10.0s\n");
}

TEST_F(TenantTest, AsksItsModelsOnly) {
  EXPECT_TRUE(Make({}).MayAsk("x"));
  const Tenant tenant = Make({.models = {"a"}});
  EXPECT_TRUE(tenant.MayAsk("a"));
  EXPECT_FALSE(tenant.MayAsk("b"));
}

}  // namespace
}  // namespace pelton
