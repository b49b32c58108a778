#pragma once

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "net/http/exchange.h"

namespace pelton {

class HttpConnection;

// One network thread with the connections that it serves. A connection is touched by its loop's
// thread only; other threads reach it through Post and Schedule.
class HttpLoop : public HttpTaskQueue {
 public:
  // Every connection's Tick is called every `tick`.
  explicit HttpLoop(std::chrono::nanoseconds tick);
  ~HttpLoop() override;

  // Runs on a thread of its own until Stop; without Start, the owner runs io() itself.
  void Start();
  // Closes all connections, finishes what was posted, and ends the thread. Not from the thread.
  void Stop() EXCLUDES_LOCK(mutex_);

  // The task runs unless this is false, also if Stop comes meanwhile.
  bool Post(std::function<void()> task) override EXCLUDES_LOCK(mutex_);
  // Makes the loop call connection->Flush(). One post for all that are scheduled until it runs, so
  // that a step that writes to many streams wakes the thread once.
  void Schedule(std::shared_ptr<HttpConnection> connection) EXCLUDES_LOCK(mutex_);

  bool IsCurrentThread() { return io_.get_executor().running_in_this_thread(); }
  boost::asio::io_context& io() { return io_; }

  // The loop's thread only.
  std::array<char, 64 << 10>& scratch() { return scratch_; }
  void Add(std::shared_ptr<HttpConnection> connection);
  void Remove(HttpConnection& connection);

 private:
  void Run();
  void FlushScheduled() EXCLUDES_LOCK(mutex_);
  void TickAll();
  void ArmTimer();

  const std::chrono::nanoseconds tick_;
  boost::asio::io_context io_;
  boost::asio::steady_timer timer_;
  std::array<char, 64 << 10> scratch_;  // input of whichever connection is being read
  std::vector<std::shared_ptr<HttpConnection>> connections_;
  std::vector<std::shared_ptr<HttpConnection>> flushing_;
  std::thread thread_;
  bool closing_ = false;  // connections that come are closed
  bool armed_ = false;    // the timer

  Mutex mutex_;
  bool stopped_ GUARDED_BY(mutex_) = false;
  std::vector<std::shared_ptr<HttpConnection>> scheduled_ GUARDED_BY(mutex_);
};

}  // namespace pelton
