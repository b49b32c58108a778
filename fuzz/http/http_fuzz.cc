// Any bytes as what a client sends: the first byte is a seed for how they are cut, and bit 7 of it
// lets the header check refuse what has a body.
// 1. The parser reads the same requests, with the same bodies and the same verdict, whole, byte by
//    byte and cut at random.
// 2. Another parser (Beast) accepts what ours accepts, and both agree on where a request ends and
//    on its body: nothing can be smuggled past one of them.
// 3. A connection answers each request once and in order, and at most one error after them.

#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"
#include "net/http/connection.h"
#include "net/http/network_loop.h"
#include "net/http/request_parser.h"

namespace pelton {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;

constexpr HttpRequestLimits kLimits = {.max_header_bytes = 512, .max_headers = 8};
constexpr size_t kMaxBody = 256;

struct Outcome {
  struct Request {
    std::string method;
    std::string target;
    std::string path;
    std::string body;
    bool operator==(const Request&) const = default;
  };
  std::vector<Request> requests;
  std::vector<std::pair<size_t, size_t>> places;  // first and last byte of each in the input
  int error = 0;
  bool operator==(const Outcome& other) const {
    return requests == other.requests && error == other.error;
  }
};

class Cuts {
 public:
  explicit Cuts(uint32_t seed) : state_(seed * 2654435761u + 1) {}
  size_t Next(size_t left) {
    state_ = state_ * 1664525u + 1013904223u;
    const size_t size = 1 + (state_ >> 24) % 48;
    return size < left ? size : left;
  }

 private:
  uint32_t state_;
};

// `piece` says how much of the rest comes at once.
template <typename Piece>
Outcome Parse(std::string_view input, const Piece& piece) {
  Outcome outcome;
  HttpRequestParser parser(kLimits);
  size_t begin = 0;
  size_t fed = 0;
  bool keep_alive = true;
  while (fed < input.size() && keep_alive) {
    const std::string_view part = input.substr(fed, piece(input.size() - fed));
    fed += part.size();
    std::string_view rest = part;
    for (bool more = true; more && keep_alive;) {
      switch (parser.Feed(rest)) {
        case HttpRequestParser::Event::kNeedMore:
          PELTON_CHECK(rest.empty(), "all is taken before more is asked for");
          more = false;
          break;
        case HttpRequestParser::Event::kHeaders:
          parser.StartBody(kMaxBody);
          break;
        case HttpRequestParser::Event::kComplete: {
          keep_alive = parser.keep_alive();
          const auto request = parser.TakeRequest();
          PELTON_CHECK(request->body.size() <= kMaxBody, "bodies are limited");
          PELTON_CHECK(request->Header("Content-Length").empty() ||
                           request->Header("Transfer-Encoding").empty(),
                       "one length at most");
          outcome.requests.push_back(
              {request->method, request->target, request->path, request->body});
          outcome.places.emplace_back(begin, fed - rest.size());
          begin = fed - rest.size();
          break;
        }
        case HttpRequestParser::Event::kError:
          outcome.error = parser.error_status();
          return outcome;
      }
    }
  }
  return outcome;
}

void CompareWithBeast(std::string_view input, const Outcome& outcome) {
  for (size_t i = 0; i < outcome.requests.size(); ++i) {
    auto [begin, end] = outcome.places[i];
    while (input[begin] == '\r' || input[begin] == '\n') ++begin;
    http::request_parser<http::string_body> parser;
    parser.eager(true);
    parser.header_limit(1 << 20);
    parser.body_limit(1 << 20);
    boost::system::error_code error;
    size_t used = 0;
    // Beast takes headers and body in steps.
    while (begin + used < input.size() && !parser.is_done() && !error) {
      const size_t taken =
          parser.put(asio::buffer(input.data() + begin + used, input.size() - begin - used), error);
      if (taken == 0) break;
      used += taken;
    }
    // It reads the lists in Connection and Upgrade, which frame nothing.
    if (error == http::error::bad_value) continue;
    PELTON_CHECK(!error, "the other parser accepts what ours does");
    PELTON_CHECK(parser.is_done(), "the other parser sees the end, too");
    PELTON_CHECK(begin + used == end, "both parsers see the same end");
    PELTON_CHECK(parser.get().body() == outcome.requests[i].body,
                 "both parsers read the same body");
    PELTON_CHECK(parser.get().target() == outcome.requests[i].target, "and the same target");
  }
}

// The statuses of the answers in `output`, which must be nothing but whole answers; 100 is left
// out. Answers to HEAD are told by `heads`, one entry for each answer that the handler gave.
std::vector<int> ReadAnswers(std::string_view output, const std::vector<bool>& heads) {
  std::vector<int> statuses;
  while (!output.empty()) {
    const size_t head_size = output.find("\r\n\r\n") + 4;
    PELTON_CHECK(output.starts_with("HTTP/1.1 ") && head_size >= 16, "an answer has a head");
    const std::string_view head = output.substr(0, head_size);
    int status = 0;
    std::from_chars(head.data() + 9, head.data() + 12, status);
    output.remove_prefix(head_size);
    if (status == 100) continue;
    const std::string_view name = "\r\nContent-Length: ";
    const size_t at = head.find(name);
    PELTON_CHECK(at != head.npos, "an answer has a length");
    size_t length = 0;
    std::from_chars(head.data() + at + name.size(), head.data() + head.size(), length);
    const bool bodiless =
        statuses.size() < heads.size() ? heads[statuses.size()] : output.size() < length;
    if (!bodiless) {
      PELTON_CHECK(output.size() >= length, "an answer is whole");
      output.remove_prefix(length);
    }
    statuses.push_back(status);
  }
  return statuses;
}

// One loop for all inputs: making one costs more than an input.
const std::shared_ptr<HttpLoop>& Loop() {
  static const auto loop = std::make_shared<HttpLoop>(std::chrono::hours(1));
  return loop;
}

void Poll() {
  Loop()->io().restart();
  while (Loop()->io().poll() > 0) {
  }
}

void CheckConnection(std::string_view input, const Outcome& expected, uint32_t seed) {
  auto service = std::make_shared<HttpService>();
  service->options.max_header_bytes = kLimits.max_header_bytes;
  service->options.max_headers = kLimits.max_headers;
  service->options.max_body = kMaxBody;
  service->options.max_connections = 1;
  const bool refuses = (seed & 0x80) != 0;
  std::vector<Outcome::Request> handled;
  std::vector<bool> heads;
  std::shared_ptr<HttpResponse> held;
  bool hold = false;
  service->handler = [&](const std::shared_ptr<const HttpRequest>& request,
                         std::shared_ptr<HttpResponse> response) {
    PELTON_CHECK(held == nullptr, "one request at a time");
    handled.push_back({request->method, request->target, request->path, request->body});
    heads.push_back(request->method == "HEAD");
    // Every other request is answered only when nothing else is left to do.
    hold = !hold;
    if (hold) {
      held = std::move(response);
    } else {
      response->Send(200, {}, request->body);
    }
  };
  size_t refused = 0;
  if (refuses) {
    service->header_check = [&](const HttpRequest& request) {
      HttpHeaderVerdict verdict;
      if (!request.Header("Content-Length").empty()) {
        ++refused;
        heads.push_back(request.method == "HEAD");
        verdict.refusal = HttpAnswer{403, {}, "no"};
      }
      return verdict;
    };
  }
  int ends[2];
  PELTON_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0, "sockets");
  asio::ip::tcp::socket socket(Loop()->io());
  socket.assign(asio::ip::tcp::v4(), ends[0]);  // only reads and writes: any stream socket will do
  PELTON_CHECK(service->Admit("peer"), "there is room");
  NewPlainConnection(service, Loop(), "peer", std::move(socket))->Start();
  std::string output;
  const auto turn = [&] {
    Poll();
    while (held != nullptr) {
      std::exchange(held, nullptr)->Send(200, {}, "held");
      Poll();
    }
    char bytes[4096];
    for (ssize_t count; (count = ::recv(ends[1], bytes, sizeof bytes, 0)) > 0;) {
      output.append(bytes, static_cast<size_t>(count));
      Poll();
    }
  };
  Cuts cuts(seed);
  for (size_t sent = 0; sent < input.size();) {
    const ssize_t count =
        ::send(ends[1], input.data() + sent, cuts.Next(input.size() - sent), MSG_NOSIGNAL);
    if (count <= 0) break;
    sent += static_cast<size_t>(count);
    turn();
  }
  turn();
  ::close(ends[1]);
  Poll();
  PELTON_CHECK(service->num_connections == 0 && service->num_exchanges == 0, "all is released");
  const std::vector<int> statuses = ReadAnswers(output, heads);
  if (refuses) {
    const size_t answers = handled.size() + refused;
    PELTON_CHECK(statuses.size() == answers || statuses.size() == answers + 1, "one answer each");
    return;
  }
  PELTON_CHECK(handled == expected.requests, "the handler gets what the parser reads");
  PELTON_CHECK(statuses.size() == handled.size() + (expected.error != 0 ? 1 : 0),
               "one answer for each request, and one for the error");
  for (size_t i = 0; i < handled.size(); ++i) PELTON_CHECK(statuses[i] == 200, "in order");
  if (expected.error != 0) PELTON_CHECK(statuses.back() == expected.error, "the same error");
}

}  // namespace
}  // namespace pelton

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0 || size > 4096) return 0;
  const uint32_t seed = data[0];
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  const pelton::Outcome whole = pelton::Parse(input, [](size_t left) { return left; });
  const pelton::Outcome bytes = pelton::Parse(input, [](size_t) { return size_t{1}; });
  pelton::Cuts cuts(seed);
  const pelton::Outcome cut = pelton::Parse(input, [&](size_t left) { return cuts.Next(left); });
  PELTON_CHECK(whole == bytes && whole == cut, "the framing does not depend on the cuts");
  pelton::CompareWithBeast(input, whole);
  pelton::CheckConnection(input, whole, seed);
  return 0;
}
