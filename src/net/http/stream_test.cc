#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "net/http/server.h"
#include "net/http/test_client.h"
#include "net/http/test_server.h"

namespace pelton {
namespace {

using std::chrono::milliseconds;

TEST(HttpStream, SendsChunksAndGoesOn) {
  TestServer server;
  TestClient client(server.port());
  client.Send(GetRequest("/hold", "X-Request-Id: 1\r\n") + GetRequest("/next"));
  const ResponsePtr response = server.Take().second;
  response->BeginStream(200, {{"Content-Type", "text/event-stream"}}, "");
  EXPECT_TRUE(response->Write("data: 1\n\n"));
  EXPECT_TRUE(response->Write(""));
  EXPECT_EQ(client.ReceiveUntil("\r\n\r\n"),
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Request-Id: 1\r\n"
            "X-Accel-Buffering: no\r\nTransfer-Encoding: chunked\r\n\r\n");
  EXPECT_EQ(client.ReceiveUntil("1\n\n\r\n"), "9\r\ndata: 1\n\n\r\n");
  EXPECT_TRUE(response->Write(std::string(300, 'x')));
  response->End();
  EXPECT_EQ(client.ReceiveUntil("0\r\n\r\n"), "12c\r\n" + std::string(300, 'x') + "\r\n0\r\n\r\n");
  EXPECT_FALSE(response->Write("late"));
  EXPECT_FALSE(response->closed());
  EXPECT_EQ(client.Receive().body, "GET /next ");
}

TEST(HttpStream, TellsAbortFromEnd) {
  TestServer server;
  for (const bool drop : {false, true}) {
    TestClient client(server.port());
    client.Send(GetRequest("/hold"));
    ResponsePtr response = server.Take().second;
    response->BeginStream(200, {}, "");
    response->Write("event");
    if (!drop) response->Abort();
    response = nullptr;
    const TestClient::Answer answer = client.Receive();
    EXPECT_EQ(answer.body, "event");
    EXPECT_FALSE(answer.complete);
  }
}

TEST(HttpStream, EndsWithTheConnectionInHttp10) {
  TestServer server;
  for (const bool abort : {false, true}) {
    TestClient client(server.port());
    client.Send("GET /hold HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    const ResponsePtr response = server.Take().second;
    response->BeginStream(200, {}, "");
    response->Write("plain");
    EXPECT_TRUE(client.ReceiveUntil("plain").ends_with("Connection: close\r\n\r\nplain"));
    abort ? response->Abort() : response->End();
    EXPECT_EQ(client.ReceiveAll(), "");
    EXPECT_EQ(client.reset(), abort);
  }
}

TEST(HttpStream, NoticesThatTheClientLeft) {
  TestServer server;
  auto client = std::make_unique<TestClient>(server.port());
  client->Send(GetRequest("/hold"));
  const ResponsePtr response = server.Take().second;
  std::atomic<int> closes{0};
  response->OnClose([&] { ++closes; });
  response->BeginStream(200, {}, "");
  client->ReceiveUntil("\r\n\r\n");
  client->Close();
  // Without a write.
  EXPECT_TRUE(Eventually([&] { return closes == 1; }));
  EXPECT_TRUE(response->closed());
  EXPECT_FALSE(response->Write("x"));
  response->End();
  EXPECT_EQ(closes, 1);
}

// Writing to a connection that the client has reset raises SIGPIPE unless it is kept from it.
TEST(HttpStream, SurvivesWritesToAClientThatLeft) {
  TestServer server;
  for (int i = 0; i < 50; ++i) {
    auto client = std::make_unique<TestClient>(server.port());
    client->Send(GetRequest("/hold"));
    const ResponsePtr response = server.Take().second;
    response->BeginStream(200, {}, "");
    std::thread writer([&] {
      while (response->Write("some bytes")) std::this_thread::yield();
    });
    client->ReceiveUntil("some bytes");
    client->Close();
    writer.join();
  }
  EXPECT_TRUE(Eventually([&] { return server.server->connections() == 0; }));
}

TEST(HttpStream, CutsOffAReaderThatFillsTheHardLimit) {
  TestServer server({.max_stream_buffer = 64 << 10, .hard_stream_buffer = 64 << 10});
  TestClient client(server.port(), false, 4096);
  client.Send(GetRequest("/hold"));
  const ResponsePtr response = server.Take().second;
  std::atomic<int> closes{0};
  response->OnClose([&] { ++closes; });
  response->BeginStream(200, {}, "");
  const std::string event(200, 'e');
  size_t writes = 0;
  size_t most = 0;
  while (response->Write(event)) {
    most = std::max(most, response->buffered());
    ++writes;
    // Only what the client does not take may pile up.
    if (writes % 100 == 0) std::this_thread::sleep_for(milliseconds(1));
    ASSERT_LT(writes, 10'000'000u);
  }
  EXPECT_GT(most, 32u << 10);
  EXPECT_LE(most, (64u << 10) + 16);
  EXPECT_TRUE(response->closed());
  EXPECT_TRUE(Eventually([&] { return closes == 1; }));
  EXPECT_EQ(response->buffered(), 0u);
  EXPECT_TRUE(Eventually([&] { return server.server->connections() == 0; }));
}

TEST(HttpStream, TellsWhenAReaderHasCaughtUp) {
  TestServer server;
  TestClient client(server.port(), false, 4096);
  client.Send(GetRequest("/hold"));
  const ResponsePtr response = server.Take().second;
  response->BeginStream(200, {}, "");
  std::atomic<int> drains{0};
  response->OnDrained(0, [&] { ++drains; });
  EXPECT_TRUE(Eventually([&] { return drains == 1; })) << "nothing waits";
  // More than the kernel holds, which takes some time to say that it is full.
  for (int round = 0; round < 50; ++round) {
    while (response->buffered() < (32u << 10)) ASSERT_TRUE(response->Write(std::string(1000, 'x')));
    std::this_thread::sleep_for(milliseconds(2));
  }
  size_t left = 0;
  response->OnDrained(4000, [&] {
    left = response->buffered();
    ++drains;
  });
  std::this_thread::sleep_for(milliseconds(20));
  EXPECT_EQ(drains, 1);
  std::thread reader([&] { client.ReceiveUntil("end"); });
  EXPECT_TRUE(Eventually([&] { return drains == 2; }));
  EXPECT_LE(left, 4000u);
  response->Write("end");
  reader.join();
  EXPECT_EQ(drains, 2) << "once for each call";
}

TEST(HttpStream, SaysNothingOfAReaderThatLeft) {
  TestServer server;
  auto client = std::make_unique<TestClient>(server.port(), false, 4096);
  client->Send(GetRequest("/hold"));
  const ResponsePtr response = server.Take().second;
  response->BeginStream(200, {}, "");
  // Until the system takes no more either.
  while (response->buffered() < (32u << 10)) {
    while (response->buffered() < (32u << 10)) ASSERT_TRUE(response->Write(std::string(1000, 'x')));
    std::this_thread::sleep_for(milliseconds(50));
  }
  std::atomic<int> drains{0}, closes{0};
  response->OnDrained(1000, [&] { ++drains; });
  response->OnClose([&] { ++closes; });
  client = nullptr;
  EXPECT_TRUE(Eventually([&] { return closes == 1; }));
  response->OnDrained(1000, [&] { ++drains; });
  std::this_thread::sleep_for(milliseconds(20));
  EXPECT_EQ(drains, 0);
}

TEST(HttpStream, CutsOffAReaderThatStalls) {
  TestServer server({.write_stall = milliseconds(200)});
  TestClient client(server.port(), false, 4096);
  client.Send(GetRequest("/hold"));
  const ResponsePtr response = server.Take().second;
  std::atomic<int> closes{0};
  response->OnClose([&] { ++closes; });
  response->BeginStream(200, {}, "");
  // More than the kernel holds, less than the hard limit.
  while (response->buffered() < (32u << 10)) ASSERT_TRUE(response->Write(std::string(1000, 'x')));
  EXPECT_TRUE(Eventually([&] {
    if (response->buffered() < (32u << 10)) response->Write(std::string(1000, 'x'));
    return closes == 1;
  }));
  EXPECT_FALSE(response->Write("x"));
}

TEST(HttpStream, KeepsAReaderThatTakesEnough) {
  TestServer server({.write_stall = milliseconds(150), .max_stream_buffer = 4096});
  TestClient client(server.port(), false, 4096);
  client.Send(GetRequest("/hold"));
  const ResponsePtr response = server.Take().second;
  const std::string large(200 << 10, 'x');
  response->BeginStream(200, {}, "");
  ASSERT_TRUE(response->Write(large));
  response->End();
  const TestClient::Answer answer = client.Receive();
  EXPECT_TRUE(answer.complete);
  EXPECT_EQ(answer.body, large);
}

TEST(HttpStream, CutsOffAReaderOfAWholeAnswer) {
  TestServer server({.write_stall = milliseconds(100)});
  TestClient client(server.port(), false, 4096);
  client.Send(GetRequest("/hold"));
  server.Take().second->Send(200, {}, std::string(32 << 20, 'x'));
  EXPECT_TRUE(Eventually([&] { return server.server->active_requests() == 1; }));
  EXPECT_TRUE(Eventually([&] { return server.server->connections() == 0; }));
  EXPECT_EQ(server.server->active_requests(), 0u);
}

TEST(HttpStream, PingsWhileNothingIsWritten) {
  TestServer server({.keepalive_interval = milliseconds(40)});
  TestClient client(server.port());
  client.Send(GetRequest("/hold"));
  const ResponsePtr response = server.Take().second;
  response->BeginStream(200, {}, ": ping\n\n");
  EXPECT_TRUE(client.ReceiveUntil("8\r\n: ping\n\n\r\n").starts_with("HTTP/1.1 200"));
  EXPECT_EQ(client.ReceiveUntil("8\r\n: ping\n\n\r\n"), "8\r\n: ping\n\n\r\n");
  response->Write("data");
  response->End();
  EXPECT_TRUE(client.ReceiveUntil("0\r\n\r\n").ends_with("4\r\ndata\r\n0\r\n\r\n"));
}

// Every chunk arrives once and whole, whichever threads write.
TEST(HttpStream, TakesWritesOfSeveralThreads) {
  TestServer server({.threads = 2, .hard_stream_buffer = 64 << 20});
  constexpr size_t kStreams = 8;
  constexpr size_t kThreads = 4;
  constexpr size_t kWrites = 500;
  std::vector<std::unique_ptr<TestClient>> clients;
  std::vector<ResponsePtr> responses;
  for (size_t i = 0; i < kStreams; ++i) {
    clients.push_back(std::make_unique<TestClient>(server.port()));
    clients.back()->Send(GetRequest("/hold"));
    responses.push_back(server.Take().second);
    responses.back()->BeginStream(200, {}, ":");
  }
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  for (size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      const std::string piece(3, static_cast<char>('a' + t));
      for (size_t i = 0; i < kWrites; ++i) {
        for (const ResponsePtr& response : responses) EXPECT_TRUE(response->Write(piece));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const ResponsePtr& response : responses) response->End();
  for (const auto& client : clients) {
    const TestClient::Answer answer = client->Receive();
    EXPECT_TRUE(answer.complete);
    ASSERT_EQ(answer.body.size(), 3 * kThreads * kWrites);
    std::vector<size_t> counts(kThreads);
    for (size_t i = 0; i < answer.body.size(); i += 3) {
      EXPECT_EQ(answer.body.substr(i, 3), std::string(3, answer.body[i]));
      ++counts[static_cast<size_t>(answer.body[i] - 'a')];
    }
    for (const size_t count : counts) EXPECT_EQ(count, kWrites);
  }
}

// Ends, aborts, writes, drops and disconnects in any order from several threads.
TEST(HttpStream, SurvivesRaces) {
  TestServer server({.threads = 2});
  std::atomic<int> closes{0};
  for (int round = 0; round < 60; ++round) {
    auto client = std::make_unique<TestClient>(server.port());
    client->Send(GetRequest("/hold"));
    ResponsePtr response = server.Take().second;
    response->OnClose([&] { ++closes; });
    std::thread begin([response] { response->BeginStream(200, {}, ""); });
    std::thread write([response] {
      for (int i = 0; i < 20; ++i) response->Write("x");
    });
    std::thread end([response, round] {
      if (round % 3 == 0) response->End();
      if (round % 3 == 1) response->Abort();
    });
    response = nullptr;
    if (round % 2 == 0) client->Close();
    begin.join();
    write.join();
    end.join();
  }
  EXPECT_TRUE(Eventually([&] { return server.server->active_requests() == 0; }));
  EXPECT_LE(closes, 60);
}

}  // namespace
}  // namespace pelton
