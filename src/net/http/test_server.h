#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "net/http/server.h"

namespace pelton {

// Waits up to ten seconds for the condition.
inline bool Eventually(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

using RequestPtr = std::shared_ptr<const HttpRequest>;
using ResponsePtr = std::shared_ptr<HttpResponse>;

// A server on any free port. Its handler echoes "METHOD PATH BODY", except that it keeps requests
// for /hold, to be answered by the test.
class TestServer {
 public:
  explicit TestServer(HttpServerOptions options = {}, HttpHeaderCheck check = nullptr) {
    options.port = 0;
    options.log = [this](std::string_view line) {
      const MutexLock lock(mutex_);
      log_ += line;
      log_ += '\n';
    };
    auto started = HttpServer::Start(
        std::move(options),
        [this](RequestPtr request, ResponsePtr response) {
          Handle(std::move(request), std::move(response));
        },
        std::move(check));
    server = std::move(started).value();
  }

  uint16_t port() const { return server->port(); }

  // Waits for the next request to /hold and hands it over.
  std::pair<RequestPtr, ResponsePtr> Take() {
    std::pair<RequestPtr, ResponsePtr> held;
    Eventually([&] {
      const MutexLock lock(mutex_);
      if (held_.empty()) return false;
      held = std::move(held_.front());
      held_.erase(held_.begin());
      return true;
    });
    return held;
  }
  size_t num_held() {
    const MutexLock lock(mutex_);
    return held_.size();
  }
  std::string log() {
    const MutexLock lock(mutex_);
    return log_;
  }

 private:
  void Handle(RequestPtr request, ResponsePtr response) {
    if (request->path == "/hold") {
      const MutexLock lock(mutex_);
      held_.emplace_back(std::move(request), std::move(response));
      return;
    }
    response->Send(200, {{"Content-Type", "text/plain"}},
                   request->method + " " + request->path + " " + request->body);
  }

  Mutex mutex_;
  std::string log_ GUARDED_BY(mutex_);
  std::vector<std::pair<RequestPtr, ResponsePtr>> held_ GUARDED_BY(mutex_);

 public:
  std::unique_ptr<HttpServer> server;  // goes first: its handler uses the rest
};

inline std::string GetRequest(const std::string& target, const std::string& headers = "") {
  return "GET " + target + " HTTP/1.1\r\nHost: a\r\n" + headers + "\r\n";
}
inline std::string PostRequest(const std::string& target, const std::string& body,
                               const std::string& headers = "") {
  return "POST " + target +
         " HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
         headers + "\r\n" + body;
}

}  // namespace pelton
