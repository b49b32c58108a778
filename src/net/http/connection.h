#pragma once

#include <array>
#include <atomic>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/system/error_code.hpp>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/mutex.h"
#include "net/http/exchange.h"
#include "net/http/network_loop.h"
#include "net/http/request_parser.h"
#include "net/http/server.h"

namespace pelton {

// What the connections of a server share; each keeps it alive.
struct HttpService {
  HttpServerOptions options;
  HttpHandler handler;
  HttpHeaderCheck header_check;  // may be empty
  std::shared_ptr<BodyBudget> bodies;
  std::atomic<bool> draining{false};
  std::atomic<size_t> num_connections{0};
  std::atomic<size_t> num_exchanges{0};  // of the handler, not completely answered
  std::atomic<size_t> num_refused{0};    // connections that are being told so
  Mutex mutex;
  std::map<std::string, size_t, std::less<>> connections_of_peer GUARDED_BY(mutex);

  // Counts a connection; false, and nothing is counted, if a limit is reached.
  bool Admit(const std::string& peer) EXCLUDES_LOCK(mutex);
  void Release(const std::string& peer) EXCLUDES_LOCK(mutex);
  std::string ErrorBody(std::string_view path, int status, std::string_view code,
                        std::string_view message) const;
};

// The protocol of one connection: input to requests, answers to output, and all time limits. The
// bytes are moved by a subclass for each kind of stream. Its loop's thread only, except for the
// methods of HttpExchangeCarrier.
class HttpConnection : public HttpExchangeCarrier,
                       public std::enable_shared_from_this<HttpConnection> {
 public:
  HttpConnection(std::shared_ptr<HttpService> service, std::shared_ptr<HttpLoop> loop,
                 std::string peer, bool tls);
  ~HttpConnection() override;

  // Joins the loop and begins to read. Requires: HttpService::Admit said yes.
  void Start();
  // Joins the loop, answers without waiting for a request, and ends. Requires: it was counted in
  // num_refused instead.
  void Refuse(int status, std::string_view code, std::string_view message);
  // Sends what the exchange has, unless a write is in progress.
  void Flush();
  void Tick(int64_t now_ns);
  // At once; with `reset` the client sees that it was not in order.
  void Close(bool reset);

  size_t loop_idx() const { return loop_idx_; }
  void set_loop_idx(size_t idx) { loop_idx_ = idx; }

  void ScheduleTake() override;
  bool MayKeepAlive() const override { return !service_->draining.load(std::memory_order_relaxed); }

 protected:
  using WriteBuffers = std::array<boost::asio::const_buffer, 2>;

  // Subclasses: each begins one operation, or nothing if the stream is closed.
  virtual void StartReading() = 0;  // until WantsInput() is false or the stream ends
  virtual void StartWriting(const WriteBuffers& buffers) = 0;  // some of it, then OnWritten
  virtual void ShutdownSend() = 0;
  virtual void CloseStream(bool reset) = 0;
  virtual bool PeerHasLeft() = 0;  // without reading; false if that is not known

  // Calls of subclasses.
  bool closed() const { return phase_ == Phase::kClosed; }
  bool WantsInput() const;
  size_t MaxInput() const;  // bytes to read at once
  void OnReady();           // the handshake is done
  void OnInput(std::string_view bytes);
  void OnInputEnd(bool orderly);
  void OnReadingStopped() { reading_ = false; }
  void OnWritten(const boost::system::error_code& error, size_t bytes);
  HttpLoop& loop() { return *loop_; }

 private:
  enum class Phase {
    kHandshake,
    kIdle,       // between requests
    kHeaders,    // some of a request's headers
    kBody,       // some of its body
    kAnswering,  // exchange_ is set
    kLingering,  // sent all; waits for the client's end, so that its reset destroys no answer
    kClosed,
  };

  // Runs a part of the connection's work. Without memory for it the connection ends, and the server
  // goes on.
  template <typename Work>
  void Guarded(Work work);
  void TakeInput(std::string_view bytes);
  void TakeWritten(size_t bytes);
  void SendNext();
  void Check(int64_t now_ns);
  void ParseInput(std::string_view& input);
  void FollowParser();
  bool TakeHeaders(std::string_view& input);
  void CallHandler();
  void BeginExchange(const HttpRequest* request, bool head, bool http_1_0, bool keep_alive);
  void Answer(HttpAnswer answer, bool keep_alive);
  void Fail(int status, std::string_view code, std::string_view message);
  void FinishExchange(bool keep_alive);
  void ReportAccess(bool whole);
  void CallAccess(bool whole);
  void Linger();
  void Read();
  void WriteRest();
  bool HasStalled(int64_t now_ns);

  const std::shared_ptr<HttpService> service_;
  const std::shared_ptr<HttpLoop> loop_;
  const std::string peer_;
  const bool tls_;
  size_t loop_idx_ = 0;
  Phase phase_;
  bool reading_ = false;
  bool input_ended_ = false;
  bool refused_ = false;       // not one of HttpService::num_connections
  int64_t deadline_ns_ = 0;    // of the phase
  int64_t body_start_ns_ = 0;  // of phase kBody
  int64_t input_ns_ = 0;       // when the last input came
  size_t lingered_ = 0;        // bytes of input thrown away

  HttpRequestParser parser_;
  std::string input_;                       // of later requests, while one is answered
  std::shared_ptr<HttpExchange> exchange_;  // shared with the HttpResponse
  // Of the request that exchange_ answers, for HttpServerOptions::access.
  std::string method_, path_;
  int64_t received_ns_ = 0;
  uint64_t written_before_ = 0;
  bool of_handler_ = false;  // exchange_ was handed to the handler
  HttpExchange::Outcome outcome_ = HttpExchange::Outcome::kOpen;  // after what is being written

  bool writing_ = false;
  std::string interim_;  // 100 Continue, to be written before the exchange
  std::string out_;      // being written: out_ and body_ from out_sent_ on
  std::string body_;
  size_t out_sent_ = 0;
  bool of_exchange_ = false;  // the bytes being written are exchange_'s
  uint64_t written_ = 0;      // bytes in the connection's life
  int64_t stall_check_ns_ = 0;
  uint64_t stall_target_ = 0;  // what written_ must have reached at the next check
};

std::shared_ptr<HttpConnection> NewPlainConnection(std::shared_ptr<HttpService> service,
                                                   std::shared_ptr<HttpLoop> loop, std::string peer,
                                                   boost::asio::ip::tcp::socket socket);
std::shared_ptr<HttpConnection> NewTlsConnection(
    std::shared_ptr<HttpService> service, std::shared_ptr<HttpLoop> loop, std::string peer,
    boost::asio::ip::tcp::socket socket, std::shared_ptr<boost::asio::ssl::context> context);

}  // namespace pelton
