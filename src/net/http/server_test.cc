#include "net/http/server.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <ctime>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "net/http/test_client.h"
#include "net/http/test_server.h"

namespace pelton {
namespace {

using std::chrono::milliseconds;

TEST(HttpServer, AnswersAndKeepsTheConnection) {
  TestServer server;
  EXPECT_EQ(server.server->url(), "http://127.0.0.1:" + std::to_string(server.port()));
  TestClient client(server.port());
  for (int i = 0; i < 3; ++i) {
    client.Send(PostRequest("/echo", "body"));
    const TestClient::Answer answer = client.Receive();
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.body, "POST /echo body");
    EXPECT_EQ(answer.head.find("Connection:"), std::string::npos);
  }
  EXPECT_EQ(server.server->connections(), 1u);
}

TEST(HttpServer, AnswersPipelinedRequestsInOrder) {
  TestServer server;
  TestClient client(server.port());
  std::string requests;
  for (int i = 0; i < 100; ++i) requests += PostRequest("/" + std::to_string(i), "x");
  client.Send(GetRequest("/hold") + requests);
  const auto [request, response] = server.Take();
  ASSERT_NE(response, nullptr);
  EXPECT_EQ(request->peer, "127.0.0.1");
  EXPECT_FALSE(request->tls);
  EXPECT_GT(request->received_ns, 0);
  response->Send(201, {}, "first");
  EXPECT_EQ(client.Receive().status, 201);
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(client.Receive().body, "POST /" + std::to_string(i) + " x");
  }
}

TEST(HttpServer, BoundsWhatIsReadAheadWhileItAnswers) {
  TestServer server;
  TestClient client(server.port());
  client.Send(GetRequest("/hold"));
  const auto [request, response] = server.Take();
  // Far more than the server may take: the sender is stopped by the kernel's buffers.
  std::atomic<bool> sent{false};
  std::thread sender([&] {
    const std::string post = PostRequest("/x", std::string(1 << 20, 'y'));
    for (int i = 0; i < 32; ++i) client.Send(post);
    sent = true;
  });
  std::this_thread::sleep_for(milliseconds(100));
  EXPECT_FALSE(sent);
  response->Send(200, {}, "");
  EXPECT_EQ(client.Receive().status, 200);
  for (int i = 0; i < 32; ++i) EXPECT_EQ(client.Receive().body.size(), (1u << 20) + 8);
  sender.join();
}

TEST(HttpServer, SpeaksHttp10) {
  TestServer server;
  TestClient client(server.port());
  client.Send("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  const TestClient::Answer kept = client.Receive();
  EXPECT_EQ(kept.body, "GET /a ");
  EXPECT_NE(kept.head.find("Connection: keep-alive\r\n"), std::string::npos);
  client.Send("GET /b HTTP/1.0\r\n\r\n");
  EXPECT_NE(client.ReceiveAll().find("GET /b "), std::string::npos);
}

TEST(HttpServer, ClosesWhenAsked) {
  TestServer server;
  TestClient client(server.port());
  client.Send(GetRequest("/", "Connection: close\r\n"));
  const std::string all = client.ReceiveAll();
  EXPECT_NE(all.find("Connection: close\r\n"), std::string::npos);
  EXPECT_TRUE(all.ends_with("GET / "));
  EXPECT_FALSE(client.reset());
}

TEST(HttpServer, AnswersHeadWithoutBody) {
  TestServer server;
  TestClient client(server.port());
  client.Send("HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n" + GetRequest("/y"));
  const TestClient::Answer head = client.Receive(true);
  EXPECT_NE(head.head.find("Content-Length: 8\r\n"), std::string::npos);
  EXPECT_EQ(client.Receive().body, "GET /y ");
  client.Send("HEAD /hold HTTP/1.1\r\nHost: a\r\n\r\n" + GetRequest("/z"));
  const auto [request, response] = server.Take();
  response->BeginStream(200, {}, "");
  EXPECT_TRUE(response->Write("not sent"));
  response->End();
  EXPECT_EQ(client.Receive(true).status, 200);
  EXPECT_EQ(client.Receive().body, "GET /z ");
}

TEST(HttpServer, SendsLargeBodies) {
  TestServer server;
  TestClient client(server.port());
  const std::string body(5 << 20, 'b');
  client.Send(PostRequest("/big", body));
  EXPECT_EQ(client.Receive().body, "POST /big " + body);
}

TEST(HttpServer, TakesNoHeadersThatBreakTheAnswer) {
  TestServer server;
  TestClient client(server.port());
  client.Send(GetRequest("/hold", "X-Request-Id: a-1\r\n"));
  const ResponsePtr response = server.Take().second;
  response->AddHeader("X-D", "4");
  response->AddHeader("X-E", "5\r\nX-F: 6");
  response->Send(
      200, {{"X-A", "1\r\nX-B: 2"}, {"Bad Name", "1"}, {"Content-Length", "99"}, {"X-C", "3"}},
      "ok");
  const TestClient::Answer answer = client.Receive();
  EXPECT_EQ(answer.head,
            "HTTP/1.1 200 OK\r\nX-C: 3\r\nX-D: 4\r\nX-Request-Id: a-1\r\n"
            "Content-Length: 2\r\n\r\n");
  EXPECT_EQ(answer.body, "ok");
}

// The value of the header in an answer's head.
std::string RequestIdOf(const std::string& head) {
  const std::string name = "X-Request-Id: ";
  const size_t at = head.find(name);
  if (at == std::string::npos) return "";
  return head.substr(at + name.size(), head.find('\r', at) - at - name.size());
}

TEST(HttpServer, NamesEveryRequestAndReportsItsEnd) {
  Mutex mutex;
  std::vector<std::string> ended;
  HttpServerOptions options;
  options.access = [&](const HttpAccess& access) {
    const MutexLock lock(mutex);
    EXPECT_GE(access.duration_ns, 0);
    ended.push_back(std::string(access.id) + " " + std::string(access.method) + " " +
                    std::string(access.path) + " " + std::string(access.label) + " " +
                    std::to_string(access.status) + (access.whole ? " whole" : " broken"));
  };
  std::string made, refused;
  {
    TestServer server(options);
    TestClient client(server.port());
    client.Send(GetRequest("/hold", "X-Request-Id: mine\r\n"));
    auto [request, response] = server.Take();
    EXPECT_EQ(request->id, "mine");
    response->SetLabel("somebody");
    response->Send(204, {}, "");
    EXPECT_EQ(RequestIdOf(client.Receive().head), "mine");
    client.Send(GetRequest("/made", "X-Request-Id: not safe\r\n"));
    made = RequestIdOf(client.Receive().head);
    EXPECT_EQ(made.size(), 32u);
    client.Send("nonsense\r\n\r\n");
    refused = RequestIdOf(client.Receive().head);
    EXPECT_EQ(refused.size(), 32u);
    EXPECT_NE(refused, made);
    TestClient leaver(server.port());
    leaver.Send(GetRequest("/hold", "X-Request-Id: left\r\n"));
    server.Take().second->OnClose([] {});
    leaver.Close();
    EXPECT_TRUE(Eventually([&] {
      const MutexLock lock(mutex);
      return ended.size() == 4;
    }));
  }
  EXPECT_EQ(ended[0], "mine GET /hold somebody 204 whole");
  EXPECT_EQ(ended[1], made + " GET /made  200 whole");
  EXPECT_EQ(ended[2].substr(0, 32), refused);
  EXPECT_NE(ended[2].find(" 400 whole"), std::string::npos);
  EXPECT_EQ(ended[3].substr(0, 15), "left GET /hold ");
}

TEST(HttpServer, ContinuesWhenExpected) {
  TestServer server({.max_body = 10});
  TestClient client(server.port());
  client.Send("POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
  EXPECT_EQ(client.ReceiveUntil("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.Send("abc");
  EXPECT_EQ(client.Receive().body, "POST /a abc");
  client.Send("POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 11\r\n\r\n");
  EXPECT_EQ(client.Receive().status, 413);
}

TEST(HttpServer, RefusesBadRequestsInOpenAisForm) {
  TestServer server({.max_body = 100, .max_header_bytes = 1000, .max_headers = 5});
  struct Case {
    std::string request;
    int status;
  };
  const Case cases[] = {
      {"GET / HTTP/1.1\r\n\r\n", 400},
      {GetRequest("/a//b"), 400},
      {GetRequest("/", "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"), 400},
      {GetRequest("/", "A: 1\r\n 2\r\n"), 400},
      {GetRequest("/", "A: " + std::string(2000, 'x') + "\r\n"), 431},
      {GetRequest("/", "A: 1\r\nA: 1\r\nA: 1\r\nA: 1\r\nA: 1\r\n"), 431},
      {PostRequest("/", std::string(101, 'x')), 413},
      {GetRequest("/", "Expect: more\r\n"), 417},
      {"GET / HTTP/3.0\r\n\r\n", 505},
      {"\x16\x03\x01\x02", 400},
  };
  for (const Case& c : cases) {
    TestClient client(server.port());
    client.Send(c.request);
    const TestClient::Answer answer = client.Receive();
    EXPECT_EQ(answer.status, c.status) << c.request;
    EXPECT_TRUE(answer.body.starts_with(R"({"error":{"message":")")) << answer.body;
    EXPECT_NE(answer.body.find(R"("type":"invalid_request_error","param":null,"code":")"),
              std::string::npos)
        << c.status;
    EXPECT_NE(answer.head.find("Connection: close\r\n"), std::string::npos);
    client.EndSending();
    EXPECT_EQ(client.ReceiveAll(), "");
    EXPECT_FALSE(client.reset()) << c.request;
  }
  EXPECT_TRUE(Eventually([&] { return server.server->connections() == 0; }));
}

TEST(HttpServer, DeliversARefusalToAClientThatIsStillSending) {
  TestServer server({.max_body = 4 << 20});
  TestClient client(server.port());
  client.Send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8000000\r\n\r\n");
  client.Send(std::string(2 << 20, 'x'));
  EXPECT_EQ(client.Receive().status, 413);
}

TEST(HttpServer, AsksTheHeaderCheckBeforeTheBody) {
  TestServer server({}, [](const HttpRequest& request) {
    EXPECT_TRUE(request.body.empty());
    HttpHeaderVerdict verdict;
    if (request.Header("Authorization").empty()) {
      verdict.refusal = HttpAnswer{401, {{"WWW-Authenticate", "Bearer"}}, R"({"no":"key"})"};
    } else if (request.path == "/small") {
      verdict.max_body = 3;
    }
    return verdict;
  });
  TestClient client(server.port());
  client.Send(GetRequest("/a") + PostRequest("/a", "whole body"));
  for (int i = 0; i < 2; ++i) {
    const TestClient::Answer answer = client.Receive();
    EXPECT_EQ(answer.status, 401);
    EXPECT_EQ(answer.body, R"({"no":"key"})");
    EXPECT_NE(answer.head.find("WWW-Authenticate: Bearer\r\n"), std::string::npos);
  }
  client.Send(PostRequest("/small", "abc", "Authorization: x\r\n"));
  EXPECT_EQ(client.Receive().body, "POST /small abc");
  client.Send(PostRequest("/small", "abcd", "Authorization: x\r\n"));
  EXPECT_EQ(client.Receive().status, 413);
  // Before a body that has not come, the connection ends.
  TestClient early(server.port());
  early.Send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n");
  EXPECT_EQ(early.Receive().status, 401);
  early.EndSending();
  EXPECT_EQ(early.ReceiveAll(), "");
}

TEST(HttpServer, UsesTheGivenErrorBody) {
  TestServer server({.error_body = [](std::string_view path, int status, std::string_view code,
                                      std::string_view) {
    return std::string(path) + std::to_string(status) + std::string(code);
  }});
  TestClient client(server.port());
  client.Send("GET /a%62 HTTP/1.1\r\n\r\n");
  EXPECT_EQ(client.Receive().body, "/ab400missing_host");
  TestClient lost(server.port());
  lost.Send("nonsense\r\n\r\n");
  EXPECT_EQ(lost.Receive().body.find("400"), 0u);
}

TEST(HttpServer, EndsSlowHeadersBodiesAndIdleConnections) {
  TestServer server({.header_timeout = milliseconds(100),
                     .body_timeout = milliseconds(100),
                     .keepalive_idle = milliseconds(200)});
  TestClient silent(server.port());
  TestClient slow_head(server.port());
  TestClient slow_body(server.port());
  TestClient idle(server.port());
  slow_head.Send("GET / HT");
  slow_body.Send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab");
  idle.Send(GetRequest("/"));
  EXPECT_EQ(slow_head.Receive().status, 408);
  EXPECT_EQ(slow_body.Receive().status, 408);
  EXPECT_EQ(silent.ReceiveAll(), "");
  EXPECT_EQ(idle.Receive().status, 200);
  EXPECT_EQ(idle.ReceiveAll(), "");
}

TEST(HttpServer, LetsABodyTakeLongerIfItComesAtTheRate) {
  TestServer server({.body_timeout = milliseconds(200), .min_body_rate = 10});
  TestClient client(server.port());
  client.Send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 60\r\n\r\n");
  for (int i = 0; i < 6; ++i) {
    client.Send("0123456789");  // worth a second
    std::this_thread::sleep_for(milliseconds(60));
  }
  EXPECT_EQ(client.Receive().status, 200);
}

TEST(HttpServer, NoticesThatAWaitingClientLeft) {
  TestServer server;
  for (const bool pipelined : {false, true}) {
    auto client = std::make_unique<TestClient>(server.port());
    client->Send(GetRequest("/hold"));
    const auto [request, response] = server.Take();
    std::atomic<int> closes{0};
    response->OnClose([&] { ++closes; });
    // With so much behind it the server does not read on, and must look in another way.
    if (pipelined) client->Send(PostRequest("/x", std::string(40 << 10, 'x')));
    EXPECT_FALSE(response->closed());
    client->Close();
    EXPECT_TRUE(Eventually([&] { return closes == 1; }));
    EXPECT_TRUE(response->closed());
    response->Send(200, {}, "too late");
    response->OnClose([&] { ++closes; });
    EXPECT_TRUE(Eventually([&] { return closes == 2; }));
    EXPECT_TRUE(Eventually([&] { return server.server->active_requests() == 0; }));
  }
}

TEST(HttpServer, NeverCallsOnCloseAfterAnAnswer) {
  TestServer server;
  std::atomic<int> closes{0};
  {
    TestClient client(server.port());
    client.Send(GetRequest("/hold"));
    const auto [request, response] = server.Take();
    response->OnClose([&] { ++closes; });
    response->Send(200, {}, "");
    EXPECT_EQ(client.Receive().status, 200);
  }
  EXPECT_TRUE(Eventually([&] { return server.server->connections() == 0; }));
  server.server->Stop(milliseconds(0));
  EXPECT_EQ(closes, 0);
}

TEST(HttpServer, AnswersForAHandlerThatForgets) {
  TestServer server;
  TestClient client(server.port());
  client.Send(GetRequest("/hold") + GetRequest("/next"));
  server.Take();
  const TestClient::Answer answer = client.Receive();
  EXPECT_EQ(answer.status, 500);
  EXPECT_NE(answer.body.find("server_error"), std::string::npos);
  EXPECT_EQ(client.Receive().body, "GET /next ");
}

TEST(HttpServer, AnswersAClientThatOnlyEndedItsSide) {
  TestServer server;
  TestClient client(server.port());
  client.Send(PostRequest("/big", std::string(8 << 20, 'x')));
  client.EndSending();
  // The answer is complete before the end of the client's side can be seen.
  EXPECT_EQ(client.Receive().status, 200);
}

TEST(HttpServer, LimitsConnections) {
  TestServer server({.max_connections = 3});
  std::vector<std::unique_ptr<TestClient>> clients;
  for (int i = 0; i < 3; ++i) {
    clients.push_back(std::make_unique<TestClient>(server.port()));
    clients.back()->Send(GetRequest("/"));
    EXPECT_EQ(clients.back()->Receive().status, 200);
  }
  TestClient excess(server.port());
  const TestClient::Answer answer = excess.Receive();
  EXPECT_EQ(answer.status, 503);
  EXPECT_NE(answer.body.find("too_many_connections"), std::string::npos);
  excess.EndSending();
  EXPECT_EQ(excess.ReceiveAll(), "");
  clients.pop_back();
  EXPECT_TRUE(Eventually([&] { return server.server->connections() == 2; }));
  TestClient again(server.port());
  again.Send(GetRequest("/"));
  EXPECT_EQ(again.Receive().status, 200);
}

TEST(HttpServer, LimitsConnectionsOfAPeer) {
  TestServer server({.max_connections_per_peer = 2});
  {
    TestClient a(server.port());
    TestClient b(server.port());
    TestClient c(server.port());
    EXPECT_EQ(c.Receive().status, 503);
  }
  EXPECT_TRUE(Eventually([&] { return server.server->connections() == 0; }));
  TestClient d(server.port());
  d.Send(GetRequest("/"));
  EXPECT_EQ(d.Receive().status, 200);
}

TEST(HttpServer, ServesManyConnectionsOnTwoThreads) {
  TestServer server({.threads = 2});
  std::vector<std::unique_ptr<TestClient>> clients;
  clients.reserve(400);
  for (int i = 0; i < 400; ++i) clients.push_back(std::make_unique<TestClient>(server.port()));
  for (int round = 0; round < 3; ++round) {
    for (size_t i = 0; i < clients.size(); ++i)
      clients[i]->Send(PostRequest("/", std::to_string(i)));
    for (size_t i = 0; i < clients.size(); ++i) {
      EXPECT_EQ(clients[i]->Receive().body, "POST / " + std::to_string(i));
    }
  }
  EXPECT_EQ(server.server->connections(), clients.size());
}

// Uses up the descriptors of the process while a connection waits to be accepted.
TEST(HttpServer, PausesWithoutDescriptors) {
#if defined(__clang__)  // g++ does not know __has_feature
#if __has_feature(undefined_behavior_sanitizer)
  GTEST_SKIP() << "the sanitizer needs descriptors of its own to look at memory";
#endif
#endif
  TestServer server;
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  std::vector<int> files;
  TestClient client(server.port());
  client.Send(GetRequest("/"));
  EXPECT_EQ(client.Receive().status, 200);
  const int waiting = ::socket(AF_INET, SOCK_STREAM, 0);
  const rlimit few = {.rlim_cur = static_cast<rlim_t>(waiting) + 1, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  for (int file; (file = ::dup(0)) >= 0;) files.push_back(file);
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  // The server's address is the peer of the open connection; ask it through any socket of ours.
  ASSERT_TRUE(client.PeerAddress(address, size));
  ASSERT_EQ(::connect(waiting, reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_TRUE(Eventually([&] { return server.log().find("cannot accept") != std::string::npos; }));
  timespec start{};
  timespec end{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
  std::this_thread::sleep_for(milliseconds(300));
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
  const double used = static_cast<double>(end.tv_sec - start.tv_sec) +
                      1e-9 * static_cast<double>(end.tv_nsec - start.tv_nsec);
  EXPECT_LT(used, 0.15);  // a spin would use all of the 0.3 s
  client.Send(GetRequest("/still"));
  EXPECT_EQ(client.Receive().body, "GET /still ");
  for (const int file : files) ::close(file);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_TRUE(Eventually([&] { return server.server->connections() == 2; }));
  ::close(waiting);
}

TEST(HttpServer, Drains) {
  TestServer server;
  TestClient idle(server.port());
  TestClient busy(server.port());
  idle.Send(GetRequest("/"));
  EXPECT_EQ(idle.Receive().status, 200);
  busy.Send(GetRequest("/hold"));
  const auto [request, response] = server.Take();
  server.server->StopAccepting();
  EXPECT_FALSE(TestClient(server.port()).connected());
  idle.Send(GetRequest("/last") + GetRequest("/not served"));
  const TestClient::Answer answer = idle.Receive();
  EXPECT_EQ(answer.body, "GET /last ");
  EXPECT_NE(answer.head.find("Connection: close\r\n"), std::string::npos);
  idle.EndSending();
  EXPECT_EQ(idle.ReceiveAll(), "");
  std::thread stopper([&] { server.server->Stop(std::chrono::seconds(10)); });
  response->Send(200, {}, "finished");
  EXPECT_EQ(busy.Receive().body, "finished");
  busy.EndSending();
  EXPECT_EQ(busy.ReceiveAll(), "");
  stopper.join();
  EXPECT_EQ(server.server->connections(), 0u);
}

TEST(HttpServer, StopsWithAnswersOpen) {
  std::atomic<int> closes{0};
  ResponsePtr waiting;
  ResponsePtr streaming;
  {
    TestServer server({.threads = 2});
    TestClient a(server.port());
    TestClient b(server.port());
    a.Send(GetRequest("/hold"));
    waiting = server.Take().second;
    b.Send(GetRequest("/hold"));
    streaming = server.Take().second;
    streaming->BeginStream(200, {}, "");
    waiting->OnClose([&] { ++closes; });
    streaming->OnClose([&] { ++closes; });
    server.server->Stop(milliseconds(20));
    EXPECT_EQ(closes, 2);
    EXPECT_FALSE(b.Receive().complete);
  }
  // The server has gone; the answers are still safe to use.
  waiting->Send(200, {}, "");
  EXPECT_FALSE(streaming->Write("x"));
  streaming->End();
  EXPECT_TRUE(streaming->closed());
  streaming->OnClose([&] { ++closes; });
  EXPECT_EQ(closes, 3);
}

TEST(HttpServer, ReportsWhyItCannotStart) {
  TestServer taken;
  const auto start = [](HttpServerOptions options) {
    return HttpServer::Start(std::move(options), [](const RequestPtr&, const ResponsePtr&) {})
        .status();
  };
  const std::string name = "127.0.0.1:" + std::to_string(taken.port());
  const Status in_use = start({.port = taken.port()});
  EXPECT_EQ(in_use.code(), StatusCode::kUnavailable);
  EXPECT_NE(in_use.message().find(name), std::string::npos);
  EXPECT_EQ(start({.address = "example.org"}).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(start({.address = "192.0.2.1", .port = 0}).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(start({.port = 0, .threads = 0}).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(start({.port = 0, .header_timeout = milliseconds(0)}).code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(start({.port = 0, .tls_key = "x"}).code(), StatusCode::kInvalidArgument);
}

TEST(HttpErrorJson, EscapesTheMessage) {
  EXPECT_EQ(HttpErrorJson(400, "c", "a\"b\\\n"),
            R"({"error":{"message":"a\"b\\?","type":"invalid_request_error","param":null,)"
            R"("code":"c"}})");
}

}  // namespace
}  // namespace pelton
