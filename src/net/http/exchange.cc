#include "net/http/exchange.h"

#include <fmt/format.h>

#include <iterator>
#include <new>
#include <utility>

#include "base/check.h"
#include "net/http/request_parser.h"

namespace pelton {
namespace {

constexpr size_t kCopiedBody = 8 << 10;  // smaller bodies go into one buffer with their headers

std::string_view Reason(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 303:
      return "See Other";
    case 304:
      return "Not Modified";
    case 307:
      return "Temporary Redirect";
    case 308:
      return "Permanent Redirect";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 406:
      return "Not Acceptable";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 411:
      return "Length Required";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 422:
      return "Unprocessable Content";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 499:
      return "Client Closed Request";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 507:
      return "Insufficient Storage";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Status";
  }
}

bool FramesMessage(std::string_view name) {
  for (const std::string_view own :
       {"Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive", "Trailer", "Upgrade"}) {
    if (EqualsIgnoringCase(name, own)) return true;
  }
  return false;
}

}  // namespace

std::string HttpErrorJson(int status, std::string_view code, std::string_view message) {
  const auto escaped = [](std::string_view text) {
    std::string out;
    for (const char c : text) {
      if (c == '"' || c == '\\') out += '\\';
      out += c >= 0x20 && c < 0x7F ? c : '?';
    }
    return out;
  };
  const bool own = status == 500 || (status >= 502 && status <= 504);
  return fmt::format(R"({{"error":{{"message":"{}","type":"{}","param":null,"code":"{}"}}}})",
                     escaped(message), own ? "server_error" : "invalid_request_error",
                     escaped(code));
}

HttpExchange::HttpExchange(Traits traits, std::shared_ptr<HttpExchangeCarrier> carrier,
                           std::weak_ptr<HttpTaskQueue> queue)
    : traits_(std::move(traits)), queue_(std::move(queue)), carrier_(std::move(carrier)) {}

void HttpExchange::AppendHeaders(const std::vector<HttpHeader>& headers) {
  for (const HttpHeader& header : headers) {
    if (FramesMessage(header.name) || !IsHttpToken(header.name) ||
        !IsHttpFieldValue(header.value)) {
      continue;
    }
    pending_ += header.name;
    pending_ += ": ";
    pending_ += header.value;
    pending_ += "\r\n";
  }
}

void HttpExchange::AppendHead(int status, const std::vector<HttpHeader>& headers, bool chunked,
                              size_t content_length) {
  PELTON_CHECK(status >= 200 && status <= 999, "an answer has a final status");
  bodiless_ = traits_.head || status == 204 || status == 304;
  keep_alive_ = traits_.keep_alive && carrier_ != nullptr && carrier_->MayKeepAlive() &&
                !(chunked && traits_.http_1_0 && !bodiless_);
  status_ = status;
  const auto out = std::back_inserter(pending_);
  fmt::format_to(out, "HTTP/1.1 {} {}\r\n", status, Reason(status));
  AppendHeaders(headers);
  AppendHeaders(more_headers_);
  AppendHeaders({{"X-Request-Id", traits_.request_id}});
  if (chunked) pending_ += "X-Accel-Buffering: no\r\n";
  if (status != 204 && status != 304) {
    if (!chunked) {
      fmt::format_to(out, "Content-Length: {}\r\n", content_length);
    } else if (!traits_.http_1_0) {
      pending_ += "Transfer-Encoding: chunked\r\n";
    }
  }
  if (!keep_alive_) {
    pending_ += "Connection: close\r\n";
  } else if (traits_.http_1_0) {
    pending_ += "Connection: keep-alive\r\n";
  }
  pending_ += "\r\n";
}

void HttpExchange::AppendChunk(std::string_view bytes) {
  if (traits_.http_1_0) {
    pending_ += bytes;
    return;
  }
  char size[20];
  char* at = std::end(size);
  *--at = '\n';
  *--at = '\r';
  for (size_t rest = bytes.size(); rest > 0; rest /= 16) *--at = "0123456789abcdef"[rest % 16];
  pending_.append(at, std::end(size));
  pending_ += bytes;
  pending_ += "\r\n";
}

void HttpExchange::Schedule() {
  if (scheduled_ || carrier_ == nullptr) return;
  carrier_->ScheduleTake();
  scheduled_ = true;
}

void HttpExchange::AddHeader(std::string_view name, std::string_view value) {
  const MutexLock lock(mutex_);
  more_headers_.push_back({std::string(name), std::string(value)});
}

void HttpExchange::SetLabel(std::string label) {
  const MutexLock lock(mutex_);
  label_ = std::move(label);
}

void HttpExchange::Send(int status, const std::vector<HttpHeader>& headers, std::string body) {
  const MutexLock lock(mutex_);
  if (state_ != State::kWaiting) return;
  AppendHead(status, headers, false, body.size());
  if (!bodiless_) {
    if (body.size() <= kCopiedBody) {
      pending_ += body;
    } else {
      body_ = std::move(body);
    }
  }
  state_ = State::kEnded;
  Schedule();
}

void HttpExchange::BeginStream(int status, const std::vector<HttpHeader>& headers,
                               std::string keepalive) {
  const MutexLock lock(mutex_);
  if (state_ != State::kWaiting) return;
  AppendHead(status, headers, true, 0);
  keepalive_ = std::move(keepalive);
  state_ = State::kStreaming;
  Schedule();
}

bool HttpExchange::Write(std::string_view bytes) {
  const MutexLock lock(mutex_);
  if (state_ != State::kStreaming) return false;
  if (bytes.empty() || bodiless_) return true;  // an empty chunk would be the last one
  const size_t held = pending_.size() + in_flight_;
  if (held > 0 && held + bytes.size() > traits_.hard_buffer) {
    state_ = State::kClosed;
    // A write is in progress, so the connection will not look by itself.
    if (carrier_ != nullptr) carrier_->ScheduleTake();
    return false;
  }
  AppendChunk(bytes);
  written_since_tick_ = true;
  Schedule();
  return true;
}

void HttpExchange::End() {
  const MutexLock lock(mutex_);
  if (state_ != State::kStreaming) return;
  if (!bodiless_ && !traits_.http_1_0) pending_ += "0\r\n\r\n";
  state_ = State::kEnded;
  Schedule();
}

void HttpExchange::Abort() {
  const MutexLock lock(mutex_);
  if (state_ != State::kWaiting && state_ != State::kStreaming) return;
  state_ = State::kAborted;
  Schedule();
}

void HttpExchange::Drop() {
  {
    const MutexLock lock(mutex_);
    if (state_ != State::kWaiting) {
      if (state_ != State::kStreaming) return;
      state_ = State::kAborted;
      Schedule();
      return;
    }
  }
  // Nobody else can begin an answer meanwhile: the last handle is going.
  try {
    Send(500, {{"Content-Type", "application/json"}},
         HttpErrorJson(500, "no_answer", "The server gave no answer to this request."));
  } catch (const std::bad_alloc&) {
    Abort();
  }
}

bool HttpExchange::closed() const {
  const MutexLock lock(mutex_);
  return state_ == State::kClosed;
}

bool HttpExchange::answered() const {
  const MutexLock lock(mutex_);
  return state_ == State::kEnded || state_ == State::kAborted;
}

int HttpExchange::status() const {
  const MutexLock lock(mutex_);
  return status_;
}

std::string HttpExchange::label() const {
  const MutexLock lock(mutex_);
  return label_;
}

bool HttpExchange::ends_with_connection() const { return traits_.http_1_0; }

void HttpExchange::OnClose(std::function<void()> callback) {
  {
    const MutexLock lock(mutex_);
    // A stalled exchange that was not detached yet runs it there.
    if (state_ != State::kClosed || carrier_ != nullptr) {
      on_close_ = std::move(callback);
      return;
    }
  }
  if (callback == nullptr) return;
  const std::shared_ptr<HttpTaskQueue> queue = queue_.lock();
  if (queue == nullptr || !queue->Post(callback)) callback();
}

size_t HttpExchange::buffered() const {
  const MutexLock lock(mutex_);
  return Buffered();
}

void HttpExchange::OnDrained(size_t bytes, std::function<void()> callback) {
  {
    const MutexLock lock(mutex_);
    if (state_ == State::kClosed || carrier_ == nullptr) return;
    if (Buffered() > bytes) {
      drained_bytes_ = bytes;
      on_drained_ = std::move(callback);
      return;
    }
  }
  if (const std::shared_ptr<HttpTaskQueue> queue = queue_.lock()) queue->Post(std::move(callback));
}

HttpExchange::Outcome HttpExchange::Take(std::string& head, std::string& body) {
  const MutexLock lock(mutex_);
  head.swap(pending_);
  body.swap(body_);
  in_flight_ = head.size() + body.size();
  if (in_flight_ == 0) scheduled_ = false;
  switch (state_) {
    case State::kWaiting:
    case State::kStreaming:
      return Outcome::kOpen;
    case State::kEnded:
      return keep_alive_ ? Outcome::kWhole : Outcome::kLast;
    case State::kAborted:
      return Outcome::kAborted;
    case State::kClosed:
      break;
  }
  return Outcome::kStalled;
}

void HttpExchange::OnSent(size_t bytes) {
  std::function<void()> drained;
  {
    const MutexLock lock(mutex_);
    in_flight_ -= bytes;
    if (on_drained_ == nullptr || Buffered() > drained_bytes_) return;
    drained.swap(on_drained_);
  }
  drained();
}

void HttpExchange::Tick(int64_t now_ns, int64_t interval_ns) {
  const MutexLock lock(mutex_);
  if (written_since_tick_) {
    written_since_tick_ = false;
    last_write_ns_ = now_ns;
  }
  if (state_ != State::kStreaming || keepalive_.empty() || bodiless_) return;
  if (now_ns - last_write_ns_ < interval_ns || pending_.size() + in_flight_ > 0) return;
  last_write_ns_ = now_ns;
  AppendChunk(keepalive_);
  Schedule();
}

void HttpExchange::Detach() {
  std::function<void()> callback;
  std::shared_ptr<HttpExchangeCarrier> carrier;  // let go outside the lock
  {
    const MutexLock lock(mutex_);
    if (carrier_ == nullptr) return;
    carrier.swap(carrier_);
    pending_ = std::string();
    body_ = std::string();
    in_flight_ = 0;
    if (state_ == State::kWaiting || state_ == State::kStreaming) state_ = State::kClosed;
    if (state_ == State::kClosed) callback = std::move(on_close_);
    on_close_ = nullptr;
    on_drained_ = nullptr;
  }
  if (callback) callback();
}

HttpResponse::HttpResponse(std::shared_ptr<HttpExchange> exchange)
    : exchange_(std::move(exchange)) {}
HttpResponse::~HttpResponse() { exchange_->Drop(); }
void HttpResponse::AddHeader(std::string_view name, std::string_view value) {
  exchange_->AddHeader(name, value);
}
int HttpResponse::status() const { return exchange_->status(); }
void HttpResponse::SetLabel(std::string label) { exchange_->SetLabel(std::move(label)); }
void HttpResponse::Send(int status, const std::vector<HttpHeader>& headers, std::string body) {
  exchange_->Send(status, headers, std::move(body));
}
void HttpResponse::BeginStream(int status, const std::vector<HttpHeader>& headers,
                               std::string keepalive) {
  exchange_->BeginStream(status, headers, std::move(keepalive));
}
bool HttpResponse::Write(std::string_view bytes) { return exchange_->Write(bytes); }
void HttpResponse::End() { exchange_->End(); }
void HttpResponse::Abort() { exchange_->Abort(); }
bool HttpResponse::closed() const { return exchange_->closed(); }
void HttpResponse::OnClose(std::function<void()> callback) {
  exchange_->OnClose(std::move(callback));
}
size_t HttpResponse::buffered() const { return exchange_->buffered(); }
void HttpResponse::OnDrained(size_t bytes, std::function<void()> callback) {
  exchange_->OnDrained(bytes, std::move(callback));
}

}  // namespace pelton
