#include "net/http/request_parser.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pelton {
namespace {

struct Parsed {
  std::vector<std::shared_ptr<HttpRequest>> requests;
  int error = 0;
  std::string code;
  bool waiting = false;  // in the middle of a request
};

constexpr HttpRequestLimits kLimits = {.max_header_bytes = 400, .max_headers = 8};

// Feeds the text in pieces of at most `piece` bytes.
Parsed Parse(std::string_view text, size_t piece, size_t max_body = 64) {
  Parsed parsed;
  HttpRequestParser parser(kLimits);
  while (!text.empty()) {
    std::string_view part = text.substr(0, piece);
    text.remove_prefix(part.size());
    for (bool more = true; more;) {
      switch (parser.Feed(part)) {
        case HttpRequestParser::Event::kNeedMore:
          EXPECT_TRUE(part.empty());
          more = false;
          break;
        case HttpRequestParser::Event::kHeaders:
          parser.StartBody(max_body);
          break;
        case HttpRequestParser::Event::kComplete:
          parsed.requests.push_back(parser.TakeRequest());
          break;
        case HttpRequestParser::Event::kError:
          parsed.error = parser.error_status();
          parsed.code = parser.error_code();
          EXPECT_FALSE(parser.error_message().empty());
          return parsed;
      }
    }
  }
  parsed.waiting = parser.started();
  return parsed;
}

// Parses whole and in pieces of every size up to 7, and expects the same outcome.
Parsed ParseAnyhow(std::string_view text, size_t max_body = 64) {
  const Parsed whole = Parse(text, text.size(), max_body);
  for (size_t piece = 1; piece < 8; ++piece) {
    const Parsed other = Parse(text, piece, max_body);
    EXPECT_EQ(other.error, whole.error) << text;
    EXPECT_EQ(other.code, whole.code) << text;
    EXPECT_EQ(other.waiting, whole.waiting) << text;
    EXPECT_EQ(other.requests.size(), whole.requests.size()) << text;
    for (size_t i = 0; i < std::min(other.requests.size(), whole.requests.size()); ++i) {
      EXPECT_EQ(other.requests[i]->target, whole.requests[i]->target) << text;
      EXPECT_EQ(other.requests[i]->body, whole.requests[i]->body) << text;
    }
  }
  return whole;
}

int ErrorOf(std::string_view text) { return ParseAnyhow(text).error; }

std::string Get(std::string_view target) {
  return "GET " + std::string(target) + " HTTP/1.1\r\nHost: a\r\n\r\n";
}
std::string Post(std::string_view headers, std::string_view body) {
  return "POST / HTTP/1.1\r\nHost: a\r\n" + std::string(headers) + "\r\n" + std::string(body);
}

TEST(HttpRequestParser, ReadsARequest) {
  const Parsed parsed = ParseAnyhow(
      "POST /v1/chat%20x?a=b%20c HTTP/1.1\r\nHost: a:80\r\nX-A:  1 2\t\r\nx-a: 3\r\n"
      "content-length: 5\r\n\r\nhello");
  ASSERT_EQ(parsed.requests.size(), 1u);
  const HttpRequest& request = *parsed.requests[0];
  EXPECT_EQ(request.method, "POST");
  EXPECT_EQ(request.target, "/v1/chat%20x?a=b%20c");
  EXPECT_EQ(request.path, "/v1/chat x");
  EXPECT_EQ(request.query, "a=b%20c");
  EXPECT_EQ(request.body, "hello");
  EXPECT_EQ(request.headers.size(), 4u);
  EXPECT_EQ(request.Header("X-a"), "1 2");
  EXPECT_EQ(request.Header("absent"), "");
}

TEST(HttpRequestParser, ReadsPipelinedRequestsAndSkipsEmptyLines) {
  const Parsed parsed = ParseAnyhow("\r\n" + Get("/1") + Post("Content-Length: 2\r\n", "ab") +
                                    "\r\n\r\n" + Get("/3"));
  ASSERT_EQ(parsed.requests.size(), 3u);
  EXPECT_EQ(parsed.requests[2]->path, "/3");
  EXPECT_EQ(parsed.error, 0);
  EXPECT_FALSE(ParseAnyhow(Get("/1") + "\r\n").waiting);
  EXPECT_EQ(ErrorOf("\r\n\r\n\r\n" + Get("/1")), 400);
  EXPECT_EQ(ErrorOf("\n" + Get("/1")), 400);
  EXPECT_EQ(ErrorOf("\rGET"), 400);
}

TEST(HttpRequestParser, ReadsChunks) {
  const Parsed parsed =
      ParseAnyhow(Post("Transfer-Encoding: Chunked\r\n",
                       "3\r\nabc\r\n00A;x;y=z;q=\"s t\"\r\n0123456789\r\n0\r\nTrailer: 1\r\n\r\n") +
                  Get("/2"));
  ASSERT_EQ(parsed.requests.size(), 2u);
  EXPECT_EQ(parsed.requests[0]->body, "abc0123456789");
  EXPECT_EQ(parsed.requests[0]->Header("Trailer"), "");
}

TEST(HttpRequestParser, RefusesBadChunks) {
  for (const char* body : {"x\r\n",
                           "\r\n",
                           "-1\r\n",
                           "+1\r\n",
                           "0x1\r\n",
                           " 1\r\n",
                           "1 \r\n",
                           "1;\r\n",
                           "1;=a\r\n",
                           "1;a=\r\n",
                           "1;a=\"b\r\n",
                           "1\na",
                           "1\r\nab\r\n",
                           "1\r\na\n",
                           "1\r\na\rb\r\n",
                           "00000000000000001\r\n",
                           "11111111111111111\r\n",
                           "0\r\nno colon\r\n",
                           "0\r\n folded\r\n",
                           "0\r\nContent-Length: 1\r\n"}) {
    EXPECT_EQ(ErrorOf(Post("Transfer-Encoding: chunked\r\n", body)), 400) << body;
  }
  EXPECT_EQ(ErrorOf(Post("Transfer-Encoding: chunked\r\n", "1;a=" + std::string(300, 'x'))), 400);
  EXPECT_EQ(ErrorOf(Post("Transfer-Encoding: chunked\r\n", "0\r\na: " + std::string(500, 'x'))),
            431);
}

TEST(HttpRequestParser, LimitsBodies) {
  EXPECT_EQ(ErrorOf(Post("Content-Length: 65\r\n", "")), 413);
  EXPECT_EQ(ErrorOf(Post("Content-Length: 18446744073709551615\r\n", "")), 413);
  EXPECT_EQ(ErrorOf(Post("Transfer-Encoding: chunked\r\n", "41\r\n")), 413);
  EXPECT_EQ(ErrorOf(Post("Transfer-Encoding: chunked\r\n", "ffffffffffffffff\r\n")), 413);
  // Chunks of one byte: their framing is limited like the body, but never below 256 bytes.
  std::string chunks;
  for (int i = 0; i < 64; ++i) chunks += "1\r\nx\r\n";
  EXPECT_EQ(ErrorOf(Post("Transfer-Encoding: chunked\r\n", chunks)), 413);
  EXPECT_EQ(ParseAnyhow(Post("Transfer-Encoding: chunked\r\n", chunks + "0\r\n\r\n"), 64 * 6).error,
            0);
}

// Reads headers and body of one POST; the parser keeps the request if that is not complete.
HttpRequestParser::Event ReadPost(HttpRequestParser& parser, std::string_view text,
                                  const std::shared_ptr<BodyBudget>& budget) {
  if (parser.Feed(text) != HttpRequestParser::Event::kHeaders) ADD_FAILURE();
  parser.StartBody(64, budget);
  return parser.Feed(text);
}

TEST(HttpRequestParser, TakesTheMemoryOfBodiesFromTheirBudget) {
  using Event = HttpRequestParser::Event;
  const auto budget = std::make_shared<BodyBudget>(60);
  const std::string announced = "Content-Length: 40\r\n";
  HttpRequestParser first(kLimits), second(kLimits), third(kLimits);
  // Room is taken when the body comes, not when it is announced.
  EXPECT_EQ(ReadPost(first, Post(announced, ""), budget), Event::kNeedMore);
  EXPECT_EQ(budget->used(), 0u);
  EXPECT_EQ(ReadPost(second, Post(announced, std::string(40, 'x')), budget), Event::kComplete);
  EXPECT_EQ(budget->used(), 40u);
  std::string_view part = "yyyyyyyyyyyyyyyyyyyy";
  EXPECT_EQ(first.Feed(part), Event::kError);
  EXPECT_EQ(first.error_status(), 503);
  EXPECT_EQ(first.error_code(), "out_of_memory");
  // The request keeps it until it goes.
  std::shared_ptr<HttpRequest> request = second.TakeRequest();
  EXPECT_EQ(budget->used(), 40u);
  request = nullptr;
  EXPECT_EQ(budget->used(), 0u);
  const std::string chunks = "14\r\n" + std::string(20, 'z') + "\r\n14\r\n" + std::string(20, 'z');
  EXPECT_EQ(ReadPost(third, Post("Transfer-Encoding: chunked\r\n", chunks), budget),
            Event::kNeedMore);
  EXPECT_GE(budget->used(), 40u);
  third.Reset();
  EXPECT_EQ(budget->used(), 0u);
}

TEST(HttpRequestParser, RefusesBodiesBeyondTheWholeBudget) {
  HttpRequestParser parser(kLimits);
  EXPECT_EQ(ReadPost(parser, Post("Content-Length: 40\r\n", ""), std::make_shared<BodyBudget>(30)),
            HttpRequestParser::Event::kError);
  EXPECT_EQ(parser.error_status(), 413);
}

TEST(HttpRequestParser, LimitsHeaders) {
  EXPECT_EQ(ErrorOf(Get("/" + std::string(500, 'x'))), 414);
  EXPECT_EQ(ErrorOf("GET /" + std::string(500, 'x')), 414);
  EXPECT_EQ(ErrorOf(Post("A: " + std::string(500, 'x') + "\r\n", "")), 431);
  EXPECT_EQ(ErrorOf(Post("A: 1\r\nA: 1\r\nA: 1\r\nA: 1\r\nA: 1\r\nA: 1\r\nA: 1\r\n", "")), 0);
  EXPECT_EQ(ErrorOf(Post("A: 1\r\nA: 1\r\nA: 1\r\nA: 1\r\nA: 1\r\nA: 1\r\nA: 1\r\nA: 1\r\n", "")),
            431);
}

TEST(HttpRequestParser, RefusesAmbiguousLengths) {
  for (const char* headers :
       {"Content-Length: 1\r\nContent-Length: 1\r\n", "Content-Length: 1, 1\r\n",
        "Content-Length: +1\r\n", "Content-Length: -1\r\n", "Content-Length: 0x1\r\n",
        "Content-Length: 1 1\r\n", "Content-Length:\r\n", "Content-Length: 1.0\r\n",
        "Content-Length: 18446744073709551616\r\n",
        "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"}) {
    EXPECT_EQ(ErrorOf(Post(headers, "")), 400) << headers;
  }
  for (const char* headers :
       {"Transfer-Encoding: gzip, chunked\r\n", "Transfer-Encoding: chunked, gzip\r\n",
        "Transfer-Encoding: identity\r\n", "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding:\r\n", "Transfer-Encoding: chunked,\r\n"}) {
    EXPECT_EQ(ErrorOf(Post(headers, "")), 501) << headers;
  }
  EXPECT_EQ(ErrorOf("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
}

TEST(HttpRequestParser, RefusesBadLinesAndHeaders) {
  for (const std::string& text :
       {std::string("GET / HTTP/1.1\nHost: a\r\n\r\n"),
        std::string("GET /\r\n"),
        std::string("GET  / HTTP/1.1\r\n"),
        std::string("GET / x HTTP/1.1\r\n"),
        std::string("GET / HTTP/1.1 \r\n"),
        std::string(" GET / HTTP/1.1\r\n"),
        std::string("G\x01T / HTTP/1.1\r\n"),
        std::string("GET / http/1.1\r\n"),
        std::string("GET /\r HTTP/1.1\r\n"),
        std::string("\x16\x03\x01"),
        std::string("GET / HTTP/1.1\r\nHost: a\r\nA : 1\r\n\r\n"),
        std::string("GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\n 2\r\n\r\n"),
        std::string("GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
        "GET / HTTP/1.1\r\nHost: a\r\nA: 1" + std::string(1, 0) + "\r\n\r\n",
        std::string("GET / HTTP/1.1\r\nHost: a\r\nA: 1\rB: 2\r\n\r\n"),
        std::string("GET / HTTP/1.1\r\nHost: a\r\n: 1\r\n\r\n"),
        std::string("GET / HTTP/1.1\r\nHost: a\r\nnothing\r\n\r\n"),
        std::string("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
        std::string("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
        std::string("GET / HTTP/1.1\r\n\r\n")}) {
    EXPECT_EQ(ErrorOf(text), 400) << text;
  }
  EXPECT_EQ(ErrorOf("GET / HTTP/2.0\r\n"), 505);
  EXPECT_EQ(ErrorOf("GET / HTTP/1.2\r\n"), 505);
  EXPECT_EQ(ErrorOf("GET / HTTP/1.1\r\nHost: a\r\nExpect: more\r\n\r\n"), 417);
  EXPECT_EQ(ErrorOf("GET / HTTP/1.0\r\n\r\n"), 0);
}

TEST(HttpRequestParser, NormalisesOrRefusesPaths) {
  const auto path = [](std::string_view target) -> std::optional<std::string> {
    const Parsed parsed = ParseAnyhow(Get(target));
    if (parsed.requests.size() != 1) return std::nullopt;
    return parsed.requests[0]->path;
  };
  EXPECT_EQ(path("/"), "/");
  EXPECT_EQ(path("/a/"), "/a/");
  EXPECT_EQ(path("/..a/b..c/..."), "/..a/b..c/...");
  EXPECT_EQ(path("/a%2Fb%c3%A9"), "/a/b\xC3\xA9");
  EXPECT_EQ(path("http://host:1/x?y"), "/x");
  EXPECT_EQ(path("https://host"), "/");
  EXPECT_EQ(path("http://host?y"), "/");
  for (const char* target : {"//",          "/a//b",
                             "/.",          "/a/..",
                             "/../a",       "/%2e%2e/a",
                             "/a%2f%2fb",   "/%00",
                             "/%0a",        "/%7F",
                             "/%",          "/%4",
                             "/%zz",        "a",
                             "?a",          "*",
                             "/a#b",        "/%c3",
                             "/%ed%a0%80",  "/%f5%80%80%80",
                             "/%c0%af",     "/%e0%80%80",
                             "http://",     "http:///a",
                             "http://a@b/", "http://hosta//",
                             "ftp://a/b",   "host:80",
                             "/\xC3\xA9"}) {
    EXPECT_EQ(path(target), std::nullopt) << target;
  }
  const Parsed options = ParseAnyhow("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
  ASSERT_EQ(options.requests.size(), 1u);
  EXPECT_EQ(options.requests[0]->path, "*");
}

TEST(HttpRequestParser, TellsHowTheConnectionGoesOn) {
  const auto keeps = [](std::string_view head) {
    HttpRequestParser parser(kLimits);
    const std::string text = std::string(head) + "\r\n";
    std::string_view input = text;
    EXPECT_EQ(parser.Feed(input), HttpRequestParser::Event::kHeaders) << head;
    return parser.keep_alive();
  };
  EXPECT_TRUE(keeps("GET / HTTP/1.1\r\nHost: a\r\n"));
  EXPECT_FALSE(keeps("GET / HTTP/1.1\r\nHost: a\r\nConnection: foo, CLOSE\r\n"));
  EXPECT_FALSE(
      keeps("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nConnection: keep-alive\r\n"));
  EXPECT_FALSE(keeps("GET / HTTP/1.0\r\n"));
  EXPECT_TRUE(keeps("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n"));
}

}  // namespace
}  // namespace pelton
