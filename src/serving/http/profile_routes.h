#pragma once

#include <chrono>
#include <memory>
#include <thread>

#include "base/mutex.h"
#include "serving/api/route.h"
#include "serving/generate/served_model.h"

namespace pelton {

// POST /debug/profile?seconds=N&model=NAME records a model, the first one without a name, for so
// long, 1 to 60 s, and answers with the timeline. One at a time. Any thread.
class ProfileRoutes {
 public:
  // Borrows the models.
  explicit ProfileRoutes(ModelDirectory& models) : models_(models) {}
  // Ends a recording.
  ~ProfileRoutes();

  // Borrows this.
  RouteSet Routes();

 private:
  void Answer(const ApiCall& call);
  void Begin(const ApiCall& call, std::chrono::seconds length,
             std::shared_ptr<const ServedModel> served);
  void Record(const ApiCall& call, std::chrono::seconds length, const ServedModel& served);

  ModelDirectory& models_;
  Mutex mutex_;
  bool recording_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_ GUARDED_BY(mutex_);
};

}  // namespace pelton
