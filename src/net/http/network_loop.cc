#include "net/http/network_loop.h"

#include <boost/asio/post.hpp>
#include <new>
#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "net/http/connection.h"

namespace pelton {

HttpLoop::HttpLoop(std::chrono::nanoseconds tick) : tick_(tick), io_(1), timer_(io_) { ArmTimer(); }

HttpLoop::~HttpLoop() { Stop(); }

void HttpLoop::Start() {
  thread_ = std::thread([this] { Run(); });
}

void HttpLoop::Stop() {
  const bool posted = Post([this] {
    closing_ = true;
    while (!connections_.empty()) connections_.back()->Close(false);
    timer_.cancel();
    // What is left runs, and holds nothing afterwards that would hold the loop.
    const MutexLock lock(mutex_);
    stopped_ = true;
  });
  if (!posted) return;
  if (thread_.joinable()) {
    thread_.join();
  } else {
    io_.restart();
    Run();
  }
}

// Connections see to their own want of memory. What else may end here is a task whose own memory
// was missing, or the timer, which is set again.
void HttpLoop::Run() {
  while (true) {
    try {
      if (!armed_ && !closing_) ArmTimer();
      io_.run();
      return;
    } catch (const std::bad_alloc&) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
}

bool HttpLoop::Post(std::function<void()> task) {
  const MutexLock lock(mutex_);
  if (stopped_) return false;
  boost::asio::post(io_, std::move(task));
  return true;
}

void HttpLoop::Schedule(std::shared_ptr<HttpConnection> connection) {
  const MutexLock lock(mutex_);
  if (stopped_) return;
  // In this order: without memory for one of them the next call does both again.
  if (scheduled_.empty()) boost::asio::post(io_, [this] { FlushScheduled(); });
  scheduled_.push_back(std::move(connection));
}

void HttpLoop::FlushScheduled() {
  {
    const MutexLock lock(mutex_);
    flushing_.swap(scheduled_);
  }
  for (const auto& connection : flushing_) connection->Flush();
  flushing_.clear();
}

void HttpLoop::Add(std::shared_ptr<HttpConnection> connection) {
  connection->set_loop_idx(connections_.size());
  connections_.push_back(std::move(connection));
  if (closing_) connections_.back()->Close(false);
}

void HttpLoop::Remove(HttpConnection& connection) {
  const size_t idx = connection.loop_idx();
  PELTON_CHECK(idx < connections_.size() && connections_[idx].get() == &connection,
               "a connection knows its place");
  const std::shared_ptr<HttpConnection> removed = std::move(connections_[idx]);
  if (idx + 1 < connections_.size()) {
    connections_[idx] = std::move(connections_.back());
    connections_[idx]->set_loop_idx(idx);
  }
  connections_.pop_back();
}

void HttpLoop::TickAll() {
  const int64_t now_ns = MonotonicClock().NowNs();
  // Backwards: a connection that closes is replaced by the last one, which had its turn.
  for (size_t i = connections_.size(); i-- > 0;) {
    const std::shared_ptr<HttpConnection> connection = connections_[i];
    connection->Tick(now_ns);
  }
}

void HttpLoop::ArmTimer() {
  timer_.expires_after(tick_);
  timer_.async_wait([this](const boost::system::error_code& error) {
    armed_ = false;
    if (error || closing_) return;
    TickAll();
    ArmTimer();
  });
  armed_ = true;
}

}  // namespace pelton
