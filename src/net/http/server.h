#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "net/http/body_budget.h"

namespace pelton {

class HttpExchange;

struct HttpHeader {
  std::string name;
  std::string value;
};

// A complete request; nothing changes it once a handler has it.
struct HttpRequest {
  std::string method;  // as sent, for example "POST"; methods are case-sensitive
  std::string target;  // as sent
  // The path of the target, percent-decoded: begins with "/", is UTF-8 without control characters,
  // and has no empty segment but the last and no segment "." or "..". "*" for "OPTIONS *".
  std::string path;
  std::string query;  // behind "?", not decoded; empty if there is none
  std::vector<HttpHeader> headers;
  std::string body;
  // X-Request-Id, if the client gave one that is safe (request_id.h), else a new one.
  std::string id;
  std::string peer;  // numeric address without the port, for example "127.0.0.1"
  bool tls = false;
  int64_t received_ns = 0;  // steady clock, when its first bytes were read
  BodyLease lease;          // what the body has of HttpServerOptions::max_bodies

  // Value of the first header with this name, in any case; empty if there is none.
  std::string_view Header(std::string_view name) const;
};

// The answer to one request. Any thread may call any method at any time; none blocks. Headers that
// frame a message (Content-Length, Transfer-Encoding, Connection) are the server's: those given are
// left out, and so are headers with characters that HTTP does not allow. An answer that is dropped
// before it began becomes status 500; a stream that is dropped before its end is aborted.
class HttpResponse {
 public:
  explicit HttpResponse(std::shared_ptr<HttpExchange> exchange);
  ~HttpResponse();
  HttpResponse(const HttpResponse&) = delete;
  HttpResponse& operator=(const HttpResponse&) = delete;

  // A header of the answer beside those that it is begun with; no effect once it began.
  void AddHeader(std::string_view name, std::string_view value);

  // What HttpAccess::label will be.
  void SetLabel(std::string label);
  // Of the answer; 0: none began.
  int status() const;

  // The whole answer. Ignored if an answer began already. Requires: 200 <= status <= 999.
  void Send(int status, const std::vector<HttpHeader>& headers, std::string body);

  // Begins an answer in pieces; "X-Accel-Buffering: no" is added. `keepalive`, if not empty, is
  // sent whenever nothing was written for HttpServerOptions::keepalive_interval. Ignored if an
  // answer began already. Requires: 200 <= status <= 999.
  void BeginStream(int status, const std::vector<HttpHeader>& headers, std::string keepalive);

  // Sends a piece as one chunk. False, and nothing is sent, if the client is gone or stalled, or if
  // no stream is open. Makes no system call and takes no allocation in the long run.
  bool Write(std::string_view bytes);

  // Ends the stream, so that the client knows that it is whole.
  void End();

  // Sends what was written and closes the connection, so that the client knows that more was to
  // come. Ends an answer that has not begun, too.
  void Abort();

  // Whether the client left or stalled, or the server stopped, before the answer was complete.
  bool closed() const;

  // `callback` runs once, on a network thread, soon after closed() became true; at once if it is
  // true already (in the calling thread if the server has ended). Never runs after Send, End or
  // Abort. It must not block. Another call replaces a callback that has not run.
  void OnClose(std::function<void()> callback);

  // Bytes that wait to be sent, framing included.
  size_t buffered() const;

  // `callback` runs once, on a network thread, when at most this many bytes wait to be sent; soon
  // if that is so already. Never runs once closed() is true. It must not block. Another call
  // replaces a callback that has not run. So a writer can stop and go on at the pace of its client.
  void OnDrained(size_t bytes, std::function<void()> callback);

 private:
  std::shared_ptr<HttpExchange> exchange_;
};

// Called on a network thread with a complete request. Must not block or throw; keeps `response` and
// answers whenever it likes.
using HttpHandler = std::function<void(std::shared_ptr<const HttpRequest> request,
                                       std::shared_ptr<HttpResponse> response)>;

struct HttpAnswer {
  int status = 500;
  std::vector<HttpHeader> headers;
  std::string body;
};

struct HttpHeaderVerdict {
  std::optional<HttpAnswer> refusal;  // sent instead of reading the body and calling the handler
  std::optional<size_t> max_body;     // for this request; else HttpServerOptions::max_body
  std::string label;                  // HttpAccess::label of a refusal
};

// Called on a network thread when the headers are complete and nothing of the body was read. Must
// not block or throw.
using HttpHeaderCheck = std::function<HttpHeaderVerdict(const HttpRequest& request)>;

// One request and how it ended, for a log.
struct HttpAccess {
  std::string_view id;
  std::string_view method;  // empty, like the path, if no request line was read
  std::string_view path;
  std::string_view peer;
  std::string_view label;  // HttpResponse::SetLabel
  int status;              // 0: the client left before an answer began
  bool whole;              // the client got all of the answer
  uint64_t sent_bytes;
  int64_t duration_ns;  // from the first bytes of the request
};

struct HttpServerOptions {
  std::string address = "127.0.0.1";  // numeric IPv4 or IPv6, or "localhost"
  uint16_t port = 8080;               // 0: any free one
  size_t threads = 1;                 // network threads; each serves its own connections

  size_t max_body = 16 << 20;          // of one request, and of the framing of its chunks
  size_t max_bodies = 0;               // of all requests at a time, bytes; 0: no limit
  size_t max_header_bytes = 32 << 10;  // request line and headers; also of trailers
  size_t max_headers = 100;

  std::chrono::milliseconds header_timeout{10'000};  // also for the TLS handshake
  // A body may take this long and the time that it needs at the rate.
  std::chrono::milliseconds body_timeout{30'000};
  size_t min_body_rate = 16 << 10;  // bytes a second
  std::chrono::milliseconds keepalive_idle{75'000};
  // A client is stalled if it does not take within this time what waited at its begin (of more than
  // max_stream_buffer, that much): 60 s and 64 KiB allow about 1 KiB/s.
  std::chrono::milliseconds write_stall{60'000};
  size_t max_stream_buffer = 64 << 10;
  // A stream that has this much waiting is stalled at once; a single larger piece is allowed.
  size_t hard_stream_buffer = 256 << 10;
  std::chrono::milliseconds keepalive_interval{15'000};

  // More get status 503. 0: what the limit of open files allows less 128 (at least half of it), at
  // most 16,384.
  size_t max_connections = 0;
  size_t max_connections_per_peer = 0;  // 0: no limit

  // PEM files; both or none. They are read anew when they change, which is looked for at a new
  // connection, at most once a second; a pair that does not fit is logged and the old one kept.
  std::string tls_certificate;
  std::string tls_key;

  // Body of the server's own answers (JSON); the path is as in HttpRequest, and empty where none
  // was read. Empty: HttpErrorJson.
  std::function<std::string(std::string_view path, int status, std::string_view code,
                            std::string_view message)>
      error_body;
  // Called on a network thread when a request has ended; must not block. May be empty.
  std::function<void(const HttpAccess& access)> access;
  // One line about the server's own trouble, from any thread. Empty: standard error.
  std::function<void(std::string_view line)> log;
};

// {"error":{"message":…,"type":…,"param":null,"code":…}} as OpenAI's API has it; the type is
// "server_error" for status 500 and 502 to 504, and else "invalid_request_error". Bytes of
// `message` that are not printable ASCII are replaced.
std::string HttpErrorJson(int status, std::string_view code, std::string_view message);

// An HTTP/1.1 (and 1.0) server. Requests of a connection are answered in order; framing that is
// ambiguous in any way is refused and ends the connection. Every answer carries X-Request-Id.
class HttpServer {
 public:
  // Listens and serves until Stop. Unavailable if the port is taken, InvalidArgument if address,
  // port, options or the TLS files are not usable; messages name address and port, or the file.
  static Result<std::unique_ptr<HttpServer>> Start(HttpServerOptions options, HttpHandler handler,
                                                   HttpHeaderCheck header_check = nullptr);
  ~HttpServer();  // Stop(0)
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  uint16_t port() const;
  std::string url() const;  // "http://127.0.0.1:8080"

  // New connections are refused from here on; requests on open connections are still served, and
  // their connections closed with the answer. Any thread.
  void StopAccepting();

  // StopAccepting, waits up to `grace` for answers in progress, then closes everything: open
  // answers get their OnClose before this returns. Not from a network thread; once.
  void Stop(std::chrono::milliseconds grace);

  size_t connections() const;      // open ones
  size_t active_requests() const;  // handed to the handler and not answered completely

 private:
  struct Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace pelton
