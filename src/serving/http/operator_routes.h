#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <string>

#include "base/metrics.h"
#include "serving/api/route.h"

namespace pelton {

// What operators need: /health, /ready, /version and /metrics. Any thread.
class OperatorRoutes {
 public:
  // `metrics_page` writes what /metrics answers.
  OperatorRoutes(MetricRegistry& metrics, std::string version,
                 std::function<std::string()> metrics_page);

  // Borrows this.
  RouteSet Routes();

  void Drain() { draining_.store(true); }
  bool draining() const { return draining_.load(); }

 private:
  void AnswerReady(const ApiCall& call);
  bool IsStuck();

  const std::string version_;
  const std::function<std::string()> metrics_page_;
  const Counter& steps_;
  const Gauge& running_;
  std::atomic<bool> draining_{false};
  std::mutex progress_mutex_;
  uint64_t last_steps_ = 0;
  std::chrono::steady_clock::time_point last_progress_ = std::chrono::steady_clock::now();
};

}  // namespace pelton
