#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "net/http/server.h"

namespace pelton {

class HttpExchange;

// The answer to a request that came over no connection: it stays in this process. Any thread.
class LocalExchange {
 public:
  // `written` may be null; it is called when the answer comes further, by whoever answers and with
  // a lock held: it must be short and must not call the exchange or the response.
  explicit LocalExchange(std::string request_id, std::function<void()> written = nullptr);
  // Leave().
  ~LocalExchange();
  LocalExchange(const LocalExchange&) = delete;
  LocalExchange& operator=(const LocalExchange&) = delete;

  // For whoever answers; once. Does not need the exchange to live.
  std::shared_ptr<HttpResponse> TakeResponse() { return std::move(response_); }

  // As a client does that leaves: unless the answer is complete, its OnClose runs, in this thread.
  void Leave();

  // The answer, once, after it is complete; a stream's body is its chunks as HTTP frames them.
  // Nothing before, and after Leave.
  std::optional<HttpAnswer> Take();

 private:
  const std::shared_ptr<HttpExchange> exchange_;
  std::shared_ptr<HttpResponse> response_;
  bool taken_ = false;
};

}  // namespace pelton
