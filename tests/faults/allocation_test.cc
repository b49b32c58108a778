// Memory that ends at any allocation of a request: row F14 of docs/reliability.md. The server runs
// in this process, whose operator new fails once where the test says so.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <thread>

#include "base/memory_reserve.h"
#include "one_model.h"
#include "serving/http/api_server.h"
#include "serving/model/language_model.h"

namespace {

constexpr size_t kReserve = 1 << 20;
constexpr int64_t kNever = -1;
std::atomic<int64_t> allocations_left{kNever};  // the one that finds 0 fails
std::atomic<bool> large_ones_fail{false};       // so that no reserve can be set aside
std::atomic<size_t> failures{0};
thread_local bool is_client = false;  // the test's own allocations do not count

bool Fails(std::size_t size) {
  if (is_client) return false;
  if (large_ones_fail && size >= kReserve) return true;
  return allocations_left.load(std::memory_order_relaxed) != kNever &&
         allocations_left.fetch_sub(1) == 0;
}

// As the standard wants it of operator new: without memory the handler is asked for some.
void* Allocate(std::size_t size, std::size_t alignment) {
  while (true) {
    void* memory = nullptr;
    if (Fails(size)) {
      ++failures;
    } else if (alignment <= alignof(std::max_align_t)) {
      memory = std::malloc(size);
    } else {
      memory = std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
    }
    if (memory != nullptr) return memory;
    const std::new_handler handler = std::get_new_handler();
    if (handler == nullptr) throw std::bad_alloc();
    handler();
  }
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
    ReserveMemory(kReserve);
    auto model = LoadLanguageModel(
        kModel, {.threads = 1, .context_tokens = 512, .kv_tokens = 4096, .max_sequences = 4});
    EXPECT_TRUE(model.ok()) << model.status().message();
    model_ = std::move(model).value();
    auto facts = ReadModelFacts(kModel);
    EXPECT_TRUE(facts.ok()) << facts.status().message();
    directory_ = std::make_unique<OneModel>(*model_, std::move(facts).value(), "tiny");
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
  std::unique_ptr<OneModel> directory_;
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

bool IsRefusal(const std::string& answer) {
  return answer.starts_with("HTTP/1.1 503 ") && answer.find("out_of_memory") != answer.npos &&
         answer.find("Retry-After: ") != answer.npos;
}

const std::string& Whole() {
  static const std::string request =
      R"({"prompt":[5,6,7],"max_tokens":12,"temperature":0,"n":2,"ignore_eos":true,"logprobs":2,)"
      R"("stop":["zzzz"]})";
  return request;
}

TEST_F(AllocationTest, HarmsNobody) {
  const std::string stream =
      R"({"prompt":"of the","max_tokens":12,"temperature":0,"ignore_eos":true,"stream":true})";
  for (const std::string& body : {Whole(), stream}) {
    const std::string request = Post("/v1/completions", body);
    const std::string wanted = TextOf(Ask(request));
    ASSERT_FALSE(wanted.empty());
    // How many allocations a request makes, the threads' usual ones included.
    allocations_left = 1 << 30;
    Ask(request);
    const int64_t total = (1 << 30) - allocations_left.exchange(kNever);
    ASSERT_GT(total, 100);
    failures = 0;
    const int64_t step = std::max<int64_t>(1, total / 200);
    for (int64_t point = 0; point < total; point += step) {
      allocations_left = point;
      EXPECT_EQ(TextOf(Ask(request)), wanted) << "a failure at allocation " << point;
      allocations_left = kNever;
      EXPECT_EQ(TextOf(Ask(request)), wanted) << "after a failure at allocation " << point;
    }
    std::printf(
        "F14: memory ended at %zu of %lld allocations of a request: it and the next one were "
        "exact each time\n",
        failures.load(), static_cast<long long>(total));
    EXPECT_GE(failures, 100u);
  }
}

TEST_F(AllocationTest, WithoutAReserveNewRequestsAreRefused) {
  const std::string request = Post("/v1/completions", Whole());
  const std::string wanted = TextOf(Ask(request));
  for (int64_t point = 0; point < 200; point += 20) {
    large_ones_fail = true;
    allocations_left = point;
    // What was let in ends as ever, from the reserve.
    const std::string first = Ask(request);
    EXPECT_TRUE(TextOf(first) == wanted || IsRefusal(first)) << first;
    allocations_left = kNever;
    const std::string refused = Ask(request);
    EXPECT_TRUE(IsRefusal(refused)) << refused;
    EXPECT_TRUE(Ask("GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                    .starts_with("HTTP/1.1 200 "));
    large_ones_fail = false;
    EXPECT_EQ(TextOf(Ask(request)), wanted);
  }
  std::printf("F14: while no memory could be set aside, new requests got 503 out_of_memory\n");
}

}  // namespace
}  // namespace pelton
