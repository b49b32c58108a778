#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "serving/api/route.h"
#include "serving/hub/hub.h"
#include "serving/pool/model_pool.h"

namespace pelton {

// What a server may do with the models that it keeps.
struct StoreAccess {
  ModelPool* pool = nullptr;  // borrowed; null: nothing of it is allowed
  std::string folder;
  PullOptions pull;
  // The declaration of a model of the store by its name. Any thread.
  std::function<Result<PooledModel>(const std::string& name, const std::string& path)> declare;
};

// Ollama's /api/pull, /api/copy and /api/delete on the model store, for keys that may administer;
// /api/create and /api/push are refused by name. What is fetched or copied is served at once, what
// is deleted no longer. Nothing outside the store's folder is read or written, and nothing is
// fetched from anywhere but the hub. Any thread.
class StoreRoutes {
 public:
  explicit StoreRoutes(StoreAccess access) : access_(std::move(access)) {}
  // Gives up what is being fetched; it may be gone on with.
  ~StoreRoutes();

  // Borrows this.
  RouteSet Routes();

 private:
  struct Pull {
    std::thread thread;
    std::atomic<bool> over{false};
  };
  bool Allowed(const ApiCall& call) const;
  void AnswerPull(const ApiCall& call);
  void AnswerCopy(const ApiCall& call);
  void AnswerDelete(const ApiCall& call);
  void Fetch(const ApiCall& call, const std::string& what, bool stream);
  Status Serve(const std::string& path, const std::string& asked);
  Status ServeStored(const std::string& name, const std::string& path,
                     std::vector<std::string> aliases);

  const StoreAccess access_;
  std::atomic<bool> stopping_{false};
  Mutex mutex_;
  std::vector<std::unique_ptr<Pull>> pulls_ GUARDED_BY(mutex_);
};

}  // namespace pelton
