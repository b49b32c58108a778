#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/mutex.h"
#include "net/http/server.h"

namespace pelton {

// Runs tasks on one network thread. Any thread may post.
class HttpTaskQueue {
 public:
  virtual ~HttpTaskQueue() = default;
  // False if the thread has ended; the task is then dropped.
  virtual bool Post(std::function<void()> task) = 0;
};

// What an exchange needs of the connection that carries it. Any thread.
class HttpExchangeCarrier {
 public:
  virtual ~HttpExchangeCarrier() = default;
  // Makes the connection's thread call Take soon.
  virtual void ScheduleTake() = 0;
  // Whether the server goes on with connections after their answers.
  virtual bool MayKeepAlive() const = 0;
};

// One answer on its way from any thread to the connection's. The public methods of HttpResponse
// write into a buffer under the lock; the connection is told once, and takes what has gathered.
class HttpExchange {
 public:
  struct Traits {
    bool head = false;      // the answer has no body
    bool http_1_0 = false;  // no chunks: the end of the connection ends a stream
    bool keep_alive = true;
    size_t hard_buffer = 256 << 10;
    std::string request_id;  // for the header X-Request-Id
  };

  HttpExchange(Traits traits, std::shared_ptr<HttpExchangeCarrier> carrier,
               std::weak_ptr<HttpTaskQueue> queue);

  // HttpResponse's methods.
  void AddHeader(std::string_view name, std::string_view value);
  void SetLabel(std::string label);
  void Send(int status, const std::vector<HttpHeader>& headers, std::string body);
  void BeginStream(int status, const std::vector<HttpHeader>& headers, std::string keepalive);
  bool Write(std::string_view bytes);
  void End();
  void Abort();
  void Drop();  // nobody can answer any more
  bool closed() const;
  void OnClose(std::function<void()> callback);
  size_t buffered() const;
  void OnDrained(size_t bytes, std::function<void()> callback);

  // What the connection finds, on its thread.
  enum class Outcome {
    kOpen,     // more may come
    kWhole,    // the answer is complete, and the connection may go on
    kLast,     // the answer is complete, and the connection ends
    kAborted,  // the connection ends, and the client must be able to tell
    kStalled,  // close at once
  };
  // Swaps what waits into `head`, which must be empty, and moves a large body into `body`. The
  // outcome is about what follows these bytes; if there are none, the next write calls
  // ScheduleTake.
  Outcome Take(std::string& head, std::string& body);
  void OnSent(size_t bytes);
  // Whether the answer's end is that of the connection.
  bool ends_with_connection() const;
  // Adds the keepalive if nothing was written for `interval_ns`.
  void Tick(int64_t now_ns, int64_t interval_ns);
  // Whether Send, End or Abort were called.
  bool answered() const;
  int status() const;  // 0: no answer began
  std::string label() const;
  const std::string& request_id() const { return traits_.request_id; }
  // The connection has ended, or the answer was sent whole; the carrier is let go. Runs the
  // callback if the answer was not complete.
  void Detach();

 private:
  enum class State { kWaiting, kStreaming, kEnded, kAborted, kClosed };

  void AppendHead(int status, const std::vector<HttpHeader>& headers, bool chunked,
                  size_t content_length) REQUIRES_LOCK(mutex_);
  void AppendHeaders(const std::vector<HttpHeader>& headers) REQUIRES_LOCK(mutex_);
  void AppendChunk(std::string_view bytes) REQUIRES_LOCK(mutex_);
  void Schedule() REQUIRES_LOCK(mutex_);
  size_t Buffered() const REQUIRES_LOCK(mutex_) {
    return pending_.size() + body_.size() + in_flight_;
  }

  const Traits traits_;
  const std::weak_ptr<HttpTaskQueue> queue_;  // the server may end before the answer is let go

  mutable Mutex mutex_;
  std::shared_ptr<HttpExchangeCarrier> carrier_ GUARDED_BY(mutex_);  // until Detach
  State state_ GUARDED_BY(mutex_) = State::kWaiting;
  bool scheduled_ GUARDED_BY(mutex_) = false;  // ScheduleTake was called, Take found no end yet
  bool keep_alive_ GUARDED_BY(mutex_) = false;
  bool bodiless_ GUARDED_BY(mutex_) = false;
  bool written_since_tick_ GUARDED_BY(mutex_) = true;
  int64_t last_write_ns_ GUARDED_BY(mutex_) = 0;  // as far as ticks tell
  size_t in_flight_ GUARDED_BY(mutex_) = 0;       // taken and not sent
  std::string pending_ GUARDED_BY(mutex_);
  std::string body_ GUARDED_BY(mutex_);  // follows pending_
  std::string keepalive_ GUARDED_BY(mutex_);
  std::vector<HttpHeader> more_headers_ GUARDED_BY(mutex_);
  std::string label_ GUARDED_BY(mutex_);
  int status_ GUARDED_BY(mutex_) = 0;
  std::function<void()> on_close_ GUARDED_BY(mutex_);
  size_t drained_bytes_ GUARDED_BY(mutex_) = 0;  // for on_drained_
  std::function<void()> on_drained_ GUARDED_BY(mutex_);
};

}  // namespace pelton
