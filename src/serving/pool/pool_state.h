#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/metrics.h"
#include "base/mutex.h"
#include "serving/pool/model_pool.h"

// What a ModelPool knows of its models. Its own files only.

namespace pelton {

enum class ModelState : uint8_t { kCold, kLoading, kReady, kUnloading };

inline constexpr int64_t kSecondNs = 1'000'000'000;

// A model in memory as its users see it.
struct ModelPool::Resident {
  Resident(LoadedModel model, const ServedName& called);

  LoadedModel loaded;
  std::optional<ServedModel> language;
  std::optional<ServedEncoder> encoder;
};

struct ModelPool::Waiter {
  uint64_t ticket;
  size_t bytes;
  int64_t until_ns;
  bool reports;  // a failure itself
  std::function<void(Result<OpenedModel>, uint32_t retry_after)> done;
};

// Of one model, in the registry that all of them share.
struct ModelCounts {
  ModelCounts(MetricRegistry& registry, const std::string& name);

  Gauge& loaded;
  Gauge& memory_bytes;
  Gauge& waiting;
  Counter& loads;
  Counter& failures;
  Counter& unloads;
  Histogram& load_seconds;
};

// Guarded by the state's mutex, but for what only the pool's thread touches.
struct ModelPool::Entry {
  Entry(PooledModel declared, MetricRegistry& registry)
      : model(std::move(declared)),
        keep_alive_ns(model.keep_alive_ns),
        counts(registry, model.called.name) {}

  const PooledModel model;
  ModelState state = ModelState::kCold;
  std::unique_ptr<Resident> resident;  // kReady
  size_t shares = 0;
  int64_t last_used_ns = 0;
  int64_t keep_alive_ns;
  bool removed = false;  // nobody finds it; it is forgotten once nobody uses it
  bool leaving = false;  // goes as soon as nobody uses it, unless somebody asks for it before
  std::vector<Waiter> waiters;
  Status failure;  // of the last load
  int64_t retry_ns = 0;
  int64_t backoff_ns = 0;
  size_t bytes = 0;  // of the budget; kLoading, kReady and kUnloading
  size_t context_tokens = 0;
  bool prefix_cache = false;
  std::shared_ptr<MetricRegistry> metrics;  // made with the first load; stays
  ModelCounts counts;
  std::optional<MemoryNeed> need;  // the pool's thread only

  // Below 0: for ever.
  int64_t KeepNs() const { return removed ? 0 : model.pinned ? -1 : leaving ? 0 : keep_alive_ns; }
  bool MayGo() const {
    return state == ModelState::kReady && shares == 0 && (removed || !model.pinned) &&
           waiters.empty();
  }
};

struct ModelPool::State {
  Mutex mutex;
  CondVar wake;   // the pool's thread
  CondVar watch;  // the thread that ends waits
  bool closed GUARDED_BY(mutex) = false;
  uint64_t last_ticket GUARDED_BY(mutex) = 0;
  size_t waiting GUARDED_BY(mutex) = 0;  // of all models
  size_t waiting_bytes GUARDED_BY(mutex) = 0;
  std::vector<std::shared_ptr<Entry>> entries GUARDED_BY(mutex);

  Entry* Find(std::string_view asked) const REQUIRES_LOCK(mutex);
  // Lets go of removed models that are out of use.
  void Forget() REQUIRES_LOCK(mutex);
  // Takes an entry's waiters out.
  std::vector<Waiter> TakeWaiters(Entry& entry) REQUIRES_LOCK(mutex);
  void CountOut(Entry& entry, const Waiter& waiter) REQUIRES_LOCK(mutex);
  // The model for which somebody has waited longest.
  Entry* NextToLoad() const REQUIRES_LOCK(mutex);
  // A model whose time is over; else *wake_ns is when one's may be, or as it was.
  Entry* NextIdle(int64_t now_ns, int64_t* wake_ns) const REQUIRES_LOCK(mutex);
  // What holds the memory, for a refusal.
  std::string HoldersText() const REQUIRES_LOCK(mutex);
};

}  // namespace pelton
