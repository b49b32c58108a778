#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <string>

#include "base/mutex.h"
#include "serving/api/route.h"
#include "serving/generate/served_model.h"

namespace pelton {

// What operators need: /health, /ready, /version and /metrics. Any thread.
class OperatorRoutes {
 public:
  // `metrics_page` writes what /metrics answers. Borrows the models.
  OperatorRoutes(const ModelDirectory& models, std::string version,
                 std::function<std::string()> metrics_page);

  // Borrows this.
  RouteSet Routes();

  void Drain() { draining_.store(true); }
  bool draining() const { return draining_.load(); }

 private:
  // What was last seen of a model's engine.
  struct Progress {
    uint64_t steps = 0;
    std::chrono::steady_clock::time_point since;
  };
  void AnswerReady(const ApiCall& call);
  std::string StuckModel();

  const ModelDirectory& models_;
  const std::string version_;
  const std::function<std::string()> metrics_page_;
  std::atomic<bool> draining_{false};
  Mutex mutex_;
  std::map<std::string, Progress> progress_ GUARDED_BY(mutex_);  // of models in memory, by name
};

}  // namespace pelton
