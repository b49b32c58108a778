#include "net/http/local_exchange.h"

#include <gtest/gtest.h>

namespace pelton {
namespace {

TEST(LocalExchange, GivesTheAnswerOnce) {
  for (const size_t size : {size_t{3}, size_t{100'000}}) {
    int written = 0;
    LocalExchange exchange("id", [&] { ++written; });
    const auto response = exchange.TakeResponse();
    EXPECT_FALSE(exchange.Take());
    response->AddHeader("X-More", "1");
    response->Send(201, {{"Content-Type", "text/plain"}}, std::string(size, 'a'));
    EXPECT_EQ(written, 1);
    const auto answer = exchange.Take();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->status, 201);
    EXPECT_EQ(answer->body, std::string(size, 'a'));
    EXPECT_FALSE(exchange.Take());
  }
}

TEST(LocalExchange, LeavesLikeAClient) {
  LocalExchange exchange("id");
  const auto response = exchange.TakeResponse();
  int closed = 0;
  response->OnClose([&] { ++closed; });
  EXPECT_FALSE(response->closed());
  exchange.Leave();
  EXPECT_EQ(closed, 1);
  EXPECT_TRUE(response->closed());
  response->Send(200, {}, "late");
  EXPECT_FALSE(exchange.Take());
  // Whoever asks later hears of it at once.
  response->OnClose([&] { ++closed; });
  EXPECT_EQ(closed, 2);
}

TEST(LocalExchange, AnAnswerThatNobodyGivesIsAnError) {
  LocalExchange exchange("id");
  exchange.TakeResponse().reset();
  const auto answer = exchange.Take();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 500);
}

TEST(LocalExchange, TheResponseMayOutliveIt) {
  std::shared_ptr<HttpResponse> response;
  {
    LocalExchange exchange("id");
    response = exchange.TakeResponse();
  }
  EXPECT_TRUE(response->closed());
  response->Send(200, {}, "late");
}

}  // namespace
}  // namespace pelton
