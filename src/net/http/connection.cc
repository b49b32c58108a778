#include "net/http/connection.h"

#include <algorithm>
#include <new>
#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "net/http/request_id.h"

namespace pelton {
namespace {

constexpr int64_t kLingerNs = 2'000'000'000;
constexpr size_t kMaxPipelined = 16 << 10;  // no more is read while a request is answered

int64_t NowNs() { return MonotonicClock().NowNs(); }

int64_t Nanoseconds(std::chrono::milliseconds time) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time).count();
}

}  // namespace

bool HttpService::Admit(const std::string& peer) {
  if (num_connections.load(std::memory_order_relaxed) >= options.max_connections) return false;
  if (options.max_connections_per_peer > 0) {
    const MutexLock lock(mutex);
    size_t& of_peer = connections_of_peer[peer];
    if (of_peer >= options.max_connections_per_peer) return false;
    ++of_peer;
  }
  num_connections.fetch_add(1, std::memory_order_relaxed);
  return true;
}

void HttpService::Release(const std::string& peer) {
  num_connections.fetch_sub(1, std::memory_order_relaxed);
  if (options.max_connections_per_peer == 0) return;
  const MutexLock lock(mutex);
  const auto it = connections_of_peer.find(peer);
  if (it != connections_of_peer.end() && --it->second == 0) connections_of_peer.erase(it);
}

std::string HttpService::ErrorBody(std::string_view path, int status, std::string_view code,
                                   std::string_view message) const {
  return options.error_body ? options.error_body(path, status, code, message)
                            : HttpErrorJson(status, code, message);
}

HttpConnection::HttpConnection(std::shared_ptr<HttpService> service, std::shared_ptr<HttpLoop> loop,
                               std::string peer, bool tls)
    : service_(std::move(service)),
      loop_(std::move(loop)),
      peer_(std::move(peer)),
      tls_(tls),
      phase_(tls ? Phase::kHandshake : Phase::kIdle),
      parser_({.max_header_bytes = service_->options.max_header_bytes,
               .max_headers = service_->options.max_headers}) {}

HttpConnection::~HttpConnection() = default;

template <typename Work>
void HttpConnection::Guarded(Work work) {
  try {
    work();
  } catch (const std::bad_alloc&) {
    Close(true);
  }
}

void HttpConnection::Start() {
  loop_->Add(shared_from_this());
  if (closed()) return;
  deadline_ns_ = NowNs() + Nanoseconds(service_->options.header_timeout);
  Guarded([this] { Read(); });
}

void HttpConnection::Refuse(int status, std::string_view code, std::string_view message) {
  refused_ = true;
  loop_->Add(shared_from_this());
  if (closed()) return;
  phase_ = Phase::kIdle;
  Guarded([&] { Answer({status, {}, service_->ErrorBody("", status, code, message)}, false); });
}

void HttpConnection::ScheduleTake() { loop_->Schedule(shared_from_this()); }

bool HttpConnection::WantsInput() const {
  if (phase_ == Phase::kClosed || input_ended_) return false;
  return phase_ != Phase::kAnswering || input_.size() < kMaxPipelined;
}

size_t HttpConnection::MaxInput() const {
  return phase_ == Phase::kAnswering ? kMaxPipelined : loop_->scratch().size();
}

void HttpConnection::Read() {
  if (reading_ || !WantsInput()) return;
  reading_ = true;
  StartReading();
}

void HttpConnection::OnReady() {
  phase_ = Phase::kIdle;
  deadline_ns_ = NowNs() + Nanoseconds(service_->options.header_timeout);
}

void HttpConnection::OnInput(std::string_view bytes) {
  Guarded([&] { TakeInput(bytes); });
}

void HttpConnection::TakeInput(std::string_view bytes) {
  switch (phase_) {
    case Phase::kLingering:
      lingered_ += bytes.size();
      // Twice: a client whose body was a little too large is to read why.
      if (lingered_ > 2 * service_->options.max_body) Close(false);
      return;
    case Phase::kAnswering:
      input_.append(bytes);
      return;
    default:
      input_ns_ = NowNs();
      ParseInput(bytes);
      if (phase_ == Phase::kAnswering) input_.assign(bytes);
  }
}

// Reads requests until one has to be answered.
void HttpConnection::ParseInput(std::string_view& input) {
  while (phase_ == Phase::kIdle || phase_ == Phase::kHeaders || phase_ == Phase::kBody) {
    switch (parser_.Feed(input)) {
      case HttpRequestParser::Event::kNeedMore:
        FollowParser();
        return;
      case HttpRequestParser::Event::kHeaders:
        if (!TakeHeaders(input)) return;
        break;
      case HttpRequestParser::Event::kComplete:
        CallHandler();
        return;
      case HttpRequestParser::Event::kError:
        input = {};
        Fail(parser_.error_status(), parser_.error_code(), parser_.error_message());
        return;
    }
  }
}

void HttpConnection::FollowParser() {
  if (phase_ != Phase::kIdle || !parser_.started()) return;
  phase_ = Phase::kHeaders;
  deadline_ns_ = input_ns_ + Nanoseconds(service_->options.header_timeout);
}

// False if the request is refused.
bool HttpConnection::TakeHeaders(std::string_view& input) {
  HttpRequest& request = parser_.request();
  request.peer = peer_;
  request.tls = tls_;
  request.received_ns = input_ns_;
  const std::string_view id = request.Header("x-request-id");
  request.id = IsSafeRequestId(id) ? std::string(id) : NewRequestId();
  size_t max_body = service_->options.max_body;
  if (service_->header_check) {
    HttpHeaderVerdict verdict = service_->header_check(request);
    if (verdict.refusal) {
      // The connection goes on only if the body is known not to be in the way.
      const bool skip = !parser_.chunked() && parser_.content_length() <= input.size();
      input.remove_prefix(skip ? parser_.content_length() : input.size());
      Answer(*std::move(verdict.refusal), skip && parser_.keep_alive());
      exchange_->SetLabel(std::move(verdict.label));
      return false;
    }
    max_body = verdict.max_body.value_or(max_body);
  }
  if (!parser_.StartBody(max_body, service_->bodies)) return true;  // Feed reports it
  if (!parser_.has_body()) return true;
  phase_ = Phase::kBody;
  body_start_ns_ = input_ns_;
  if (parser_.expects_continue() && input.empty()) {
    interim_ = "HTTP/1.1 100 Continue\r\n\r\n";
    Flush();
  }
  return true;
}

void HttpConnection::BeginExchange(const HttpRequest* request, bool head, bool http_1_0,
                                   bool keep_alive) {
  phase_ = Phase::kAnswering;
  outcome_ = HttpExchange::Outcome::kOpen;
  written_before_ = written_;
  std::string id;
  if (request != nullptr) {
    id = request->id;
    method_ = request->method;
    path_ = request->path;
    received_ns_ = request->received_ns;
  } else {
    method_.clear();
    path_.clear();
    received_ns_ = 0;
  }
  if (id.empty()) id = NewRequestId();
  if (received_ns_ == 0) received_ns_ = input_ns_ != 0 ? input_ns_ : NowNs();
  exchange_ = std::make_shared<HttpExchange>(
      HttpExchange::Traits{.head = head,
                           .http_1_0 = http_1_0,
                           .keep_alive = keep_alive,
                           .hard_buffer = service_->options.hard_stream_buffer,
                           .request_id = std::move(id)},
      shared_from_this(), loop_);
}

void HttpConnection::CallHandler() {
  const bool http_1_0 = parser_.http_1_0();
  const bool keep_alive = parser_.keep_alive();
  std::shared_ptr<HttpRequest> request = parser_.TakeRequest();
  BeginExchange(request.get(), request->method == "HEAD", http_1_0, keep_alive);
  of_handler_ = true;
  service_->num_exchanges.fetch_add(1, std::memory_order_relaxed);
  service_->handler(std::move(request), std::make_shared<HttpResponse>(exchange_));
}

// An answer of the connection itself.
void HttpConnection::Answer(HttpAnswer answer, bool keep_alive) {
  const bool has_request = parser_.has_request();
  BeginExchange(has_request ? &parser_.request() : nullptr,
                has_request && parser_.request().method == "HEAD",
                has_request && parser_.http_1_0(), keep_alive);
  parser_.Reset();
  const bool typed = std::ranges::any_of(answer.headers, [](const HttpHeader& header) {
    return EqualsIgnoringCase(header.name, "Content-Type");
  });
  if (!typed) answer.headers.push_back({"Content-Type", "application/json"});
  exchange_->Send(answer.status, answer.headers, std::move(answer.body));
}

void HttpConnection::Fail(int status, std::string_view code, std::string_view message) {
  const std::string_view path = parser_.has_request() ? parser_.request().path : std::string_view();
  std::vector<HttpHeader> headers;
  if (status == 503) headers.push_back({"Retry-After", "1"});
  Answer({status, std::move(headers), service_->ErrorBody(path, status, code, message)}, false);
}

void HttpConnection::Flush() {
  Guarded([this] { SendNext(); });
}

void HttpConnection::SendNext() {
  if (phase_ == Phase::kClosed) return;
  if (writing_) {
    if (exchange_ != nullptr && exchange_->closed()) Close(true);  // stalled
    return;
  }
  // A loop, not a recursion: finishing one exchange may begin the next one's answer.
  while (out_.empty() && body_.empty()) {
    of_exchange_ = interim_.empty();
    if (!of_exchange_) {
      out_.swap(interim_);
      break;
    }
    if (exchange_ == nullptr) return;
    outcome_ = exchange_->Take(out_, body_);
    if (outcome_ == HttpExchange::Outcome::kStalled) return Close(true);
    if (!out_.empty() || !body_.empty()) break;
    if (outcome_ == HttpExchange::Outcome::kOpen) return;
    FinishExchange(outcome_ == HttpExchange::Outcome::kWhole);
    if (phase_ == Phase::kClosed) return;
  }
  WriteRest();
}

void HttpConnection::WriteRest() {
  const size_t from_head = std::min(out_sent_, out_.size());
  const size_t from_body = out_sent_ - from_head;
  writing_ = true;
  StartWriting({boost::asio::buffer(out_.data() + from_head, out_.size() - from_head),
                boost::asio::buffer(body_.data() + from_body, body_.size() - from_body)});
}

void HttpConnection::OnWritten(const boost::system::error_code& error, size_t bytes) {
  writing_ = false;
  if (phase_ == Phase::kClosed) return;
  if (error) return Close(false);
  Guarded([&] { TakeWritten(bytes); });
}

void HttpConnection::TakeWritten(size_t bytes) {
  out_sent_ += bytes;
  written_ += bytes;
  if (of_exchange_ && exchange_ != nullptr) exchange_->OnSent(bytes);
  if (out_sent_ < out_.size() + body_.size()) return WriteRest();
  out_.clear();
  body_ = std::string();
  out_sent_ = 0;
  Flush();
}

void HttpConnection::FinishExchange(bool keep_alive) {
  const bool aborted = outcome_ == HttpExchange::Outcome::kAborted;
  const bool was_of_handler = std::exchange(of_handler_, false);
  const bool unframed = exchange_->ends_with_connection();
  ReportAccess(!aborted);
  exchange_->Detach();
  exchange_ = nullptr;
  if (was_of_handler) service_->num_exchanges.fetch_sub(1, std::memory_order_relaxed);
  // Without chunks only a reset tells that something is missing.
  if (aborted && unframed) return Close(true);
  if (!keep_alive || input_ended_) return Linger();
  phase_ = Phase::kIdle;
  out_ = std::string();  // idle connections hold no buffers
  input_ns_ = NowNs();
  deadline_ns_ = input_ns_ + Nanoseconds(service_->options.keepalive_idle);
  if (!input_.empty()) {
    const std::string bytes = std::move(input_);
    input_.clear();
    std::string_view rest = bytes;
    ParseInput(rest);
    if (phase_ == Phase::kAnswering) input_.assign(rest);
  }
  Read();
}

void HttpConnection::ReportAccess(bool whole) {
  if (!service_->options.access) return;
  try {
    CallAccess(whole);
  } catch (const std::bad_alloc&) {
    return;  // a line less in the log
  }
}

void HttpConnection::CallAccess(bool whole) {
  const std::string label = exchange_->label();
  service_->options.access({.id = exchange_->request_id(),
                            .method = method_,
                            .path = path_,
                            .peer = peer_,
                            .label = label,
                            .status = exchange_->status(),
                            .whole = whole,
                            .sent_bytes = written_ - written_before_,
                            .duration_ns = NowNs() - received_ns_});
}

void HttpConnection::Linger() {
  if (input_ended_) return Close(false);
  phase_ = Phase::kLingering;
  deadline_ns_ = NowNs() + kLingerNs;
  input_ = std::string();
  ShutdownSend();
  Read();
}

void HttpConnection::OnInputEnd(bool orderly) {
  reading_ = false;
  input_ended_ = true;
  // An answer that is complete is still sent to a client that only ended its own side.
  if (orderly && phase_ == Phase::kAnswering && exchange_->answered()) return;
  Close(false);
}

void HttpConnection::Close(bool reset) {
  if (phase_ == Phase::kClosed) return;
  const std::shared_ptr<HttpConnection> self = shared_from_this();
  phase_ = Phase::kClosed;
  CloseStream(reset);
  loop_->Remove(*this);
  if (refused_) {
    service_->num_refused.fetch_sub(1, std::memory_order_relaxed);
  } else {
    service_->Release(peer_);
  }
  if (exchange_ != nullptr) {
    ReportAccess(false);
    const std::shared_ptr<HttpExchange> exchange = std::move(exchange_);
    if (of_handler_) service_->num_exchanges.fetch_sub(1, std::memory_order_relaxed);
    exchange->Detach();
  }
}

// Whether the client took less since the last check than waited then.
bool HttpConnection::HasStalled(int64_t now_ns) {
  const size_t waiting = exchange_ != nullptr && of_exchange_
                             ? exchange_->buffered()
                             : out_.size() + body_.size() - out_sent_;
  if (waiting == 0) {
    stall_check_ns_ = 0;
    return false;
  }
  if (stall_check_ns_ != 0) {
    if (now_ns - stall_check_ns_ < Nanoseconds(service_->options.write_stall)) return false;
    if (written_ < stall_target_) return true;
  }
  stall_check_ns_ = now_ns;
  stall_target_ = written_ + std::min(waiting, service_->options.max_stream_buffer);
  return false;
}

void HttpConnection::Tick(int64_t now_ns) {
  Guarded([&] { Check(now_ns); });
}

void HttpConnection::Check(int64_t now_ns) {
  if (phase_ == Phase::kClosed) return;
  if (HasStalled(now_ns)) return Close(true);
  const HttpServerOptions& options = service_->options;
  switch (phase_) {
    case Phase::kHandshake:
    case Phase::kIdle:
    case Phase::kLingering:
      if (now_ns >= deadline_ns_) Close(false);
      return;
    case Phase::kHeaders:
      if (now_ns < deadline_ns_) return;
      return Fail(408, "header_timeout", "The headers did not arrive in time.");
    case Phase::kBody: {
      const int64_t allowed_ns =
          Nanoseconds(options.body_timeout) +
          static_cast<int64_t>(1e9 * static_cast<double>(parser_.request().body.size()) /
                               static_cast<double>(options.min_body_rate));
      if (now_ns - body_start_ns_ < allowed_ns) return;
      return Fail(408, "body_timeout", "The body did not arrive in time.");
    }
    case Phase::kAnswering:
      exchange_->Tick(now_ns, Nanoseconds(options.keepalive_interval));
      if (!reading_ && !input_ended_ && PeerHasLeft()) OnInputEnd(true);
      return;
    case Phase::kClosed:
      return;
  }
}

}  // namespace pelton
