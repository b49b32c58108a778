// Memory that ends at any allocation of a request: row F14 of docs/reliability.md. The server runs
// in this process, whose operator new fails once where the test says so.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <thread>

#include "serving/http/api_server.h"
#include "serving/model/language_model.h"

namespace {

constexpr int64_t kNever = -1;
std::atomic<int64_t> allocations_left{kNever};  // the one that finds 0 fails
std::atomic<bool> has_failed{false};
thread_local bool is_client = false;  // the test's own allocations do not count

void* Allocate(std::size_t size, std::size_t alignment) {
  if (!is_client && allocations_left.load(std::memory_order_relaxed) != kNever &&
      allocations_left.fetch_sub(1) == 0) {
    has_failed = true;
    throw std::bad_alloc();
  }
  void* memory =
      alignment <= alignof(std::max_align_t)
          ? std::malloc(size)
          : std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

// Not inlined: GCC 12 would take new and free in one function for a mismatch.
[[gnu::noinline]] void* operator new(std::size_t size) { return Allocate(size, 1); }
[[gnu::noinline]] void* operator new(std::size_t size, std::align_val_t alignment) {
  return Allocate(size, static_cast<std::size_t>(alignment));
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}

namespace pelton {
namespace {

constexpr const char* kModel = "tests/data/golden/llama/model-Q4_0.gguf";

class AllocationTest : public ::testing::Test {
 protected:
  AllocationTest() {
    is_client = true;
    auto model = LoadLanguageModel(
        kModel, {.threads = 1, .context_tokens = 512, .kv_tokens = 4096, .max_sequences = 4});
    EXPECT_TRUE(model.ok()) << model.status().message();
    model_ = std::move(model).value();
    directory_ = std::make_unique<SingleModel>(*model_, "tiny");
    tenants_ = std::make_unique<TenantDirectory>(*model_->metrics);
    ApiServerOptions options;
    options.http.port = 0;
    auto server = ApiServer::Start(std::move(options), *directory_, *tenants_, *model_->metrics);
    EXPECT_TRUE(server.ok()) << server.status().message();
    server_ = std::move(server).value();
    const std::string url = server_->url();
    const size_t colon = url.rfind(':') + 1;
    std::from_chars(url.data() + colon, url.data() + url.size(), port_);
  }
  ~AllocationTest() override {
    server_.reset();
    model_->engine.reset();
  }

  // The answer as it came; empty if the connection was closed instead.
  std::string Ask(std::string_view request) const {
    const int client = ::socket(AF_INET, SOCK_STREAM, 0);
    const timeval patience = {.tv_sec = 60, .tv_usec = 0};
    ::setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(port_);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    std::string answer;
    if (::connect(client, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
        ::send(client, request.data(), request.size(), MSG_NOSIGNAL) ==
            static_cast<ssize_t>(request.size())) {
      std::array<char, 4096> piece;
      ssize_t got = 0;
      while ((got = ::recv(client, piece.data(), piece.size(), 0)) > 0) {
        answer.append(piece.data(), static_cast<size_t>(got));
      }
      EXPECT_FALSE(got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) << "no answer came";
    }
    ::close(client);
    return answer;
  }

  static std::string Post(std::string_view path, std::string_view body) {
    return "POST " + std::string(path) +
           " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: " +
           std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
  }

  std::unique_ptr<LanguageModel> model_;
  std::unique_ptr<SingleModel> directory_;
  std::unique_ptr<TenantDirectory> tenants_;
  std::unique_ptr<ApiServer> server_;
  uint16_t port_ = 0;
};

// The text of an answer that is whole, without names and times.
std::string TextOf(const std::string& answer) {
  std::string text;
  for (size_t at = 0; (at = answer.find("\"text\":\"", at)) != std::string::npos;) {
    at += 8;
    text += answer.substr(at, answer.find("\",\"logprobs\"", at) - at);
  }
  return text;
}

TEST_F(AllocationTest, EndsOneRequestAndNoMore) {
  const std::string whole =
      Post("/v1/completions", R"({"prompt":[5,6,7],"max_tokens":12,"temperature":0,"n":2,)"
                              R"("ignore_eos":true,"logprobs":2,"stop":["zzzz"]})");
  const std::string stream =
      Post("/v1/completions", R"({"prompt":"of the","max_tokens":12,"temperature":0,)"
                              R"("ignore_eos":true,"stream":true})");
  for (const std::string& request : {whole, stream}) {
    const std::string wanted = TextOf(Ask(request));
    ASSERT_FALSE(wanted.empty());
    // How many allocations a request makes, the threads' usual ones included.
    allocations_left = 1 << 30;
    Ask(request);
    const int64_t total = (1 << 30) - allocations_left.exchange(kNever);
    ASSERT_GT(total, 100);
    size_t failed = 0, refused = 0, cut = 0, unharmed = 0;
    const int64_t step = std::max<int64_t>(1, total / 150);
    for (int64_t point = 0; point < total; point += step) {
      has_failed = false;
      allocations_left = point;
      const std::string answer = Ask(request);
      allocations_left = kNever;
      failed += has_failed;
      if (answer.find(" 503 ") != std::string::npos && answer.find(" 503 ") < 15) {
        EXPECT_NE(answer.find("out_of_memory"), std::string::npos) << answer;
        ++refused;
      } else if (TextOf(answer) == wanted && answer.find("out_of_memory") == std::string::npos) {
        ++unharmed;
      } else {
        // A stream that had begun says so, or ends without HTTP's proper end.
        EXPECT_TRUE(answer.empty() || answer.find("\r\n0\r\n\r\n") == std::string::npos) << answer;
        ++cut;
      }
      EXPECT_EQ(TextOf(Ask(request)), wanted) << "after a failure at allocation " << point;
    }
    std::printf(
        "F14: allocation failed at %zu of %lld places: %zu answers 503 out_of_memory, %zu "
        "connections closed, %zu unharmed; each next request exact\n",
        failed, static_cast<long long>(total), refused, cut, unharmed);
    EXPECT_GT(refused, failed / 3);
  }
  // Nothing runs on.
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (server_->active_requests() > 0 && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_EQ(server_->active_requests(), 0u);
}

}  // namespace
}  // namespace pelton
