#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/log.h"
#include "base/metrics.h"
#include "serving/generate/served_model.h"
#include "serving/pool/pooled_model.h"

namespace pelton {

struct ModelPoolOptions {
  size_t memory_bytes = 0;    // of all models together
  size_t max_waiting = 1024;  // requests that wait for models to be loaded
  size_t max_waiting_bytes = 256 << 20;
  int64_t max_wait_ns = int64_t{600} * 1'000'000'000;
  // After a load that failed the next one is tried so much later, twice as much each time.
  int64_t first_retry_ns = 1'000'000'000;
  int64_t most_retry_ns = int64_t{60} * 1'000'000'000;
  Log* log = nullptr;  // borrowed; may be null
};

// Any number of models behind one port, loaded when they are asked for and unloaded when nobody has
// asked for long, or when another one needs their memory.
//
// A thread of the pool loads and unloads, one model at a time and under no lock. Whoever uses a
// model holds a share of it (OpenedModel); a model goes only when there is none. Giving a share
// back counts it and no more, so an engine's own thread may do it: the engine is always destroyed
// on the pool's thread, or by Stop.
class ModelPool final : public ModelDirectory {
 public:
  // Borrows metrics. Requires: names and aliases differ; each model has its facts.
  ModelPool(const ModelPoolOptions& options, std::vector<PooledModel> models,
            std::unique_ptr<ModelLoader> loader, MetricRegistry& metrics);
  // Stop().
  ~ModelPool() override;
  ModelPool(const ModelPool&) = delete;
  ModelPool& operator=(const ModelPool&) = delete;

  // Waits for a model; the reason if it cannot be loaded. Not from a callback.
  Result<OpenedModel> OpenAndWait(const std::string& name);

  std::vector<ListedModel> List() const override;
  std::shared_ptr<const ServedModel> Only() const override;
  std::string Resolve(std::string_view asked, ModelKind kind, ApiError* error) const override;
  uint64_t Open(const std::string& name, size_t bytes, Use use) override;
  void Leave(uint64_t ticket) override;
  void KeepAlive(const std::string& name, int64_t ns) override;

  // Another model from here on. InvalidArgument if one of its names is taken. Requires: it has its
  // facts.
  Status Add(PooledModel model);
  // Nobody finds the model from here on. Waits for it end; who uses it goes on, and then it leaves
  // memory. NotFound.
  Status Remove(const std::string& name);

  // Ends every wait and a load in progress, and opens nothing from here on; what is open stays.
  // When this returns no callback runs any more. Not from a callback.
  void Close();
  // Close(), and then the engines end: requests that run are cancelled. Shares that somebody still
  // holds may be given back later, but not used. Not from a callback or an engine's thread.
  void Stop();

  size_t memory_bytes() const { return options_.memory_bytes; }

 private:
  struct Resident;
  struct Waiter;
  struct Entry;
  struct State;
  class Share;

  // With the state's lock held.
  static OpenedModel ShareOf(const std::shared_ptr<State>& state, Entry& entry, bool is_use);

  void Run();
  void WatchWaits();
  void LoadOne(Entry& entry);
  Result<LoadedModel> LoadWithRoom(Entry& entry);
  Status MakeRoom(const Entry& entry, const MemoryNeed& need);
  bool EvictOldest();
  void Unload(Entry& entry, const char* why);
  void Finish(Entry& entry, Result<LoadedModel> loaded, int64_t started_ns);

  const ModelPoolOptions options_;
  const std::unique_ptr<ModelLoader> loader_;
  MetricRegistry& metrics_;
  // Shares keep it, so that they can be given back when the pool has gone.
  const std::shared_ptr<State> state_;
  std::atomic<bool> cancelled_{false};
  std::thread watcher_;
  std::thread thread_;  // that loads
};

}  // namespace pelton
