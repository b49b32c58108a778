#include "serving/tenant/admission.h"

#include <gtest/gtest.h>

#include <memory>

#include "net/http/local_exchange.h"

namespace pelton {
namespace {

class AdmissionTest : public testing::Test {
 protected:
  std::shared_ptr<Admission> Enter() {
    ApiError error;
    exchange_ = std::make_unique<LocalExchange>("id");
    return Admission::Enter(tenant_, std::make_shared<HttpRequest>(), exchange_->TakeResponse(),
                            nullptr, &error);
  }
  // Whether another request of the tenant's would be refused.
  bool Spent() { return tenant_->Check(TenantTime::Now()).has_value(); }

  MetricRegistry registry_;
  std::shared_ptr<Tenant> tenant_ = std::make_shared<Tenant>(
      TenantSpec{.name = "a", .salt = "s", .limits = {.tokens_per_day = 100}},
      TenantMetrics(registry_, "a"));
  std::unique_ptr<LocalExchange> exchange_;
};

TEST_F(AdmissionTest, ChargesWhileTheRequestRuns) {
  auto admission = Enter();
  EXPECT_FALSE(admission->AskModel("m"));
  EXPECT_FALSE(admission->Reserve(30));
  admission->UsePrompt(20, 8);
  EXPECT_EQ(tenant_->metrics().prompt_tokens.value(), 20u);
  EXPECT_EQ(tenant_->metrics().cached_tokens.value(), 8u);
  EXPECT_EQ(tenant_->CacheUses().at("m").prompt_tokens, 20u);
  EXPECT_EQ(tenant_->CacheUses().at("m").cached_tokens, 8u);
  for (uint64_t i = 1; i <= 79; ++i) {
    admission->UseOutput(1);
    EXPECT_EQ(tenant_->metrics().output_tokens.value(), i);
  }
  EXPECT_FALSE(Spent());
  admission->UseOutput(1);
  EXPECT_TRUE(Spent());
  admission->UseOutput(1);  // the answer goes on
  admission.reset();
  EXPECT_TRUE(Spent());
  EXPECT_EQ(tenant_->metrics().prompt_tokens.value(), 20u);
  EXPECT_EQ(tenant_->metrics().output_tokens.value(), 81u);
}

TEST_F(AdmissionTest, WhatIsSetAsideAndNotUsedComesBack) {
  auto admission = Enter();
  EXPECT_FALSE(admission->Reserve(90));
  EXPECT_TRUE(Enter()->Reserve(11));
  admission->UsePrompt(5, 0);
  admission->UseOutput(3);
  EXPECT_TRUE(Enter()->Reserve(11));  // it may still need it
  admission.reset();
  EXPECT_TRUE(Enter()->Reserve(93));
  EXPECT_FALSE(Enter()->Reserve(92));
  // That one used nothing.
  EXPECT_FALSE(Enter()->Reserve(92));
}

TEST_F(AdmissionTest, OneChargeMayPassWhatIsSetAside) {
  auto admission = Enter();
  EXPECT_FALSE(admission->Reserve(10));
  admission->UsePrompt(60, 0);
  admission.reset();
  EXPECT_TRUE(Enter()->Reserve(41));
  EXPECT_FALSE(Enter()->Reserve(40));
}

}  // namespace
}  // namespace pelton
