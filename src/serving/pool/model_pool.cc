#include "serving/pool/model_pool.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <utility>

#include "base/checked_math.h"
#include "base/clock.h"
#include "serving/pool/pool_state.h"
#include "serving/pool/room.h"

namespace pelton {
namespace {

int64_t NowNs() { return MonotonicClock().NowNs(); }

uint32_t Seconds(int64_t ns) {
  return static_cast<uint32_t>(std::clamp<int64_t>((ns + kSecondNs - 1) / kSecondNs, 1, 3600));
}

// What a client is told. Messages of loaders name files, which are nobody's business but the log's.
ApiError ErrorOf(const Status& status, const std::string& name, uint32_t retry_after) {
  ApiError error{.status = 503,
                 .message = status.message(),
                 .param = "model",
                 .code = "",
                 .retry_after = retry_after};
  if (status.code() == StatusCode::kResourceExhausted) {
    error.code = "out_of_memory";
  } else if (status.code() != StatusCode::kUnavailable) {
    error.code = "model_load_failed";
    error.message =
        fmt::format("model: \"{}\" could not be loaded; the server's log says why", name);
  }
  return error;
}

Status ShuttingDown() { return Unavailable("the server is shutting down"); }

}  // namespace

// One share of a model in memory.
class ModelPool::Share {
 public:
  Share(std::shared_ptr<State> state, Entry& entry, bool is_use)
      : state_(std::move(state)), entry_(entry), is_use_(is_use) {}
  Share(const Share&) = delete;
  Share& operator=(const Share&) = delete;
  ~Share() {
    const MutexLock lock(state_->mutex);
    --entry_.shares;
    if (is_use_) entry_.last_used_ns = NowNs();
    // Longer times are looked at when they are over.
    if (entry_.KeepNs() >= 0 && entry_.KeepNs() < kSecondNs) state_->wake.WakeOne();
  }

 private:
  const std::shared_ptr<State> state_;
  Entry& entry_;
  const bool is_use_;
};

ModelPool::ModelPool(const ModelPoolOptions& options, std::vector<PooledModel> models,
                     std::unique_ptr<ModelLoader> loader, MetricRegistry& metrics)
    : options_(options),
      loader_(std::move(loader)),
      metrics_(metrics),
      state_(std::make_shared<State>()) {
  metrics.AddGauge("pelton_model_memory_limit_bytes", "", "Memory for all models together")
      .Set(static_cast<int64_t>(options_.memory_bytes));
  {
    const MutexLock lock(state_->mutex);
    for (PooledModel& model : models) {
      state_->entries.push_back(std::make_shared<Entry>(std::move(model), metrics));
    }
  }
  watcher_ = std::thread([this] { WatchWaits(); });
  thread_ = std::thread([this] { Run(); });
}

ModelPool::~ModelPool() { Stop(); }

OpenedModel ModelPool::ShareOf(const std::shared_ptr<State>& state, Entry& entry, bool is_use) {
  ++entry.shares;
  if (is_use) entry.leaving = false;
  const auto share = std::make_shared<Share>(state, entry, is_use);
  OpenedModel opened;
  Resident& resident = *entry.resident;
  if (resident.language) opened.language = {share, &*resident.language};
  if (resident.encoder) opened.encoder = {share, &*resident.encoder};
  return opened;
}

std::vector<ListedModel> ModelPool::List() const {
  const int64_t now_ns = NowNs();
  const int64_t unix_seconds = std::chrono::duration_cast<std::chrono::seconds>(
                                   std::chrono::system_clock::now().time_since_epoch())
                                   .count();
  std::vector<ListedModel> list;
  const MutexLock lock(state_->mutex);
  for (const auto& entry : state_->entries) {
    if (entry->removed) continue;
    ListedModel listed{.called = entry->model.called,
                       .kind = entry->model.kind(),
                       .facts = entry->model.facts,
                       .metrics = entry->metrics,
                       .context_tokens = entry->context_tokens,
                       .prefix_cache = entry->prefix_cache};
    if (entry->state == ModelState::kReady) {
      if (entry->KeepNs() >= 0) {
        const int64_t since_ns = entry->shares > 0 ? now_ns : entry->last_used_ns;
        const int64_t left_ns = std::max<int64_t>(since_ns + entry->KeepNs() - now_ns, 0);
        listed.unload_at = unix_seconds + left_ns / kSecondNs;
      }
      listed.memory_bytes = entry->bytes;
      listed.opened = ShareOf(state_, *entry, false);
    }
    list.push_back(std::move(listed));
  }
  return list;
}

std::shared_ptr<const ServedModel> ModelPool::Only() const {
  OpenedModel only;  // an encoder's share is given back here, which takes the lock again
  const MutexLock lock(state_->mutex);
  if (state_->entries.size() != 1) return nullptr;
  Entry& entry = *state_->entries[0];
  if (entry.removed || entry.state != ModelState::kReady) return nullptr;
  only = ShareOf(state_, entry, false);
  return only.language;
}

std::string ModelPool::Resolve(std::string_view asked, ModelKind kind, ApiError* error) const {
  bool other_kind = false, any = false;
  {
    const MutexLock lock(state_->mutex);
    for (const auto& entry : state_->entries) {
      if (entry->removed) continue;
      const ServedName& called = entry->model.called;
      const bool fits = entry->model.kind() == kind;
      any |= fits;
      if (fits && (asked.empty() || called.Is(asked))) return called.name;
      other_kind |= !fits && (asked.empty() || called.Is(asked));
    }
  }
  if (kind == ModelKind::kEncoder && !any) {
    *error = {.status = 404,
              .message = "no embedding model is served; start with --embedding-model MODEL",
              .param = asked.empty() ? "" : "model",
              .code = "model_not_found"};
  } else if (kind == ModelKind::kLanguage && other_kind) {
    *error = {.message = fmt::format("{} gives embeddings and no text; ask /v1/embeddings",
                                     asked.empty() ? std::string("what is served")
                                                   : fmt::format("\"{}\"", asked.substr(0, 100))),
              .param = "model"};
  } else {
    *error = UnknownModel(asked, *this);
  }
  return "";
}

uint64_t ModelPool::Open(const std::string& name, size_t bytes, Use use) {
  const int64_t now_ns = NowNs();
  OpenedModel opened;
  Status refusal;
  uint32_t retry_after = 1;
  {
    const MutexLock lock(state_->mutex);
    Entry* const entry = state_->Find(name);
    if (state_->closed) {
      refusal = ShuttingDown();
    } else if (entry == nullptr) {
      refusal = Unavailable(fmt::format("model: \"{}\" is no longer served", name));
    } else if (entry->state == ModelState::kReady) {
      opened = ShareOf(state_, *entry, true);
    } else if (now_ns < entry->retry_ns) {
      refusal = entry->failure;
      retry_after = Seconds(entry->retry_ns - now_ns);
    } else if (state_->waiting >= options_.max_waiting ||
               bytes > options_.max_waiting_bytes - state_->waiting_bytes) {
      refusal = Unavailable("too many requests wait for models to be loaded; try again later");
      retry_after = 5;
    } else {
      const uint64_t ticket = ++state_->last_ticket;
      entry->waiters.push_back(
          {.ticket = ticket,
           .bytes = bytes,
           .until_ns = now_ns + options_.max_wait_ns,
           .reports = false,
           .done = [name, use = std::move(use)](const Result<OpenedModel>& model, uint32_t retry) {
             model.ok() ? use(*model, {}) : use({}, ErrorOf(model.status(), name, retry));
           }});
      ++state_->waiting;
      state_->waiting_bytes += bytes;
      entry->counts.waiting.Add(1);
      state_->wake.WakeOne();
      state_->watch.WakeOne();
      return ticket;
    }
  }
  use(std::move(opened), refusal.ok() ? ApiError() : ErrorOf(refusal, name, retry_after));
  return 0;
}

Result<OpenedModel> ModelPool::OpenAndWait(const std::string& name) {
  std::promise<Result<OpenedModel>> promise;
  {
    const MutexLock lock(state_->mutex);
    Entry* const entry = state_->Find(name);
    if (entry == nullptr) return NotFound(fmt::format("model: \"{}\" is not served", name));
    if (state_->closed) return ShuttingDown();
    if (entry->state == ModelState::kReady) return ShareOf(state_, *entry, true);
    entry->waiters.push_back({.ticket = ++state_->last_ticket,
                              .bytes = 0,
                              .until_ns = INT64_MAX,
                              .reports = true,
                              .done = [&promise](Result<OpenedModel> model, uint32_t) {
                                promise.set_value(std::move(model));
                              }});
    ++state_->waiting;
    entry->counts.waiting.Add(1);
    state_->wake.WakeOne();
  }
  return promise.get_future().get();
}

void ModelPool::Leave(uint64_t ticket) {
  if (ticket == 0) return;
  Waiter gone;  // let go without the lock: it may hold the last share of another model
  const MutexLock lock(state_->mutex);
  for (const auto& entry : state_->entries) {
    const auto found = std::find_if(entry->waiters.begin(), entry->waiters.end(),
                                    [&](const Waiter& waiter) { return waiter.ticket == ticket; });
    if (found == entry->waiters.end()) continue;
    state_->CountOut(*entry, *found);
    gone = std::move(*found);
    entry->waiters.erase(found);
    return;
  }
}

void ModelPool::KeepAlive(const std::string& name, int64_t ns) {
  const MutexLock lock(state_->mutex);
  if (Entry* const entry = state_->Find(name)) {
    entry->leaving = ns == 0;
    if (ns != 0) entry->keep_alive_ns = ns;
  }
  state_->wake.WakeOne();
}

Status ModelPool::Add(PooledModel model) {
  const MutexLock lock(state_->mutex);
  std::vector<std::string> names = model.called.aliases;
  names.push_back(model.called.name);
  for (const std::string& name : names) {
    if (state_->Find(name) == nullptr) continue;
    return InvalidArgument(fmt::format("model: \"{}\" is served already", name));
  }
  state_->entries.push_back(std::make_shared<Entry>(std::move(model), metrics_));
  return OkStatus();
}

Status ModelPool::Remove(const std::string& name) {
  std::vector<Waiter> ended;
  {
    const MutexLock lock(state_->mutex);
    Entry* const entry = state_->Find(name);
    if (entry == nullptr) return NotFound(fmt::format("model: \"{}\" is not served", name));
    entry->removed = true;
    ended = state_->TakeWaiters(*entry);
    state_->wake.WakeOne();
  }
  for (const Waiter& waiter : ended) {
    waiter.done(Unavailable("the model was taken away"), 1);
  }
  return OkStatus();
}

void ModelPool::Close() {
  std::vector<Waiter> ended;
  {
    const MutexLock lock(state_->mutex);
    state_->closed = true;
    cancelled_.store(true);
    for (const auto& entry : state_->entries) {
      for (Waiter& waiter : state_->TakeWaiters(*entry)) ended.push_back(std::move(waiter));
    }
    state_->wake.WakeAll();
    state_->watch.WakeAll();
  }
  for (const Waiter& waiter : ended) waiter.done(ShuttingDown(), 1);
  if (thread_.joinable()) thread_.join();
  if (watcher_.joinable()) watcher_.join();
}

void ModelPool::Stop() {
  Close();
  std::vector<std::unique_ptr<Resident>> residents;
  {
    const MutexLock lock(state_->mutex);
    for (const auto& entry : state_->entries) {
      if (entry->resident == nullptr) continue;
      residents.push_back(std::move(entry->resident));
      entry->state = ModelState::kCold;
    }
  }
  // Observers give their shares back here, on the engines' threads, while this one holds no lock.
  for (const auto& resident : residents) {
    if (resident->loaded.language != nullptr) resident->loaded.language->engine.reset();
    if (resident->loaded.encoder != nullptr) resident->loaded.encoder->engine.reset();
  }
}

void ModelPool::Run() {
  while (true) {
    Entry* idle = nullptr;
    Entry* next = nullptr;
    {
      const MutexLock lock(state_->mutex);
      while (true) {
        if (state_->closed) return;
        state_->Forget();
        const int64_t now_ns = NowNs();
        int64_t wake_ns = INT64_MAX;
        idle = state_->NextIdle(now_ns, &wake_ns);
        if (idle != nullptr) {
          idle->state = ModelState::kUnloading;
          break;
        }
        next = state_->NextToLoad();
        if (next != nullptr) {
          next->state = ModelState::kLoading;
          break;
        }
        if (wake_ns == INT64_MAX) {
          state_->wake.Wait(state_->mutex);
        } else {
          state_->wake.WaitFor(state_->mutex, wake_ns - now_ns);
        }
      }
    }
    idle != nullptr ? Unload(*idle, "idle") : LoadOne(*next);
  }
}

void ModelPool::Unload(Entry& entry, const char* why) {
  std::unique_ptr<Resident> going;
  {
    const MutexLock lock(state_->mutex);
    going = std::move(entry.resident);
  }
  going.reset();
  if (entry.metrics != nullptr) {
    for (const MetricRegistry::Entry* each : entry.metrics->Entries()) {
      if (each->gauge != nullptr) each->gauge->Set(0);
    }
  }
  if (options_.log != nullptr) {
    options_.log->Info("model unloaded", {{"model", entry.model.called.name}, {"why", why}});
  }
  const MutexLock lock(state_->mutex);
  entry.state = ModelState::kCold;
  entry.bytes = 0;
  entry.counts.loaded.Set(0);
  entry.counts.memory_bytes.Set(0);
  entry.counts.unloads.Add();
}

Status ModelPool::MakeRoom(const Entry& entry, const MemoryNeed& need) {
  const size_t needed = need.TotalBytes();
  std::vector<Entry*> going;
  {
    const MutexLock lock(state_->mutex);
    std::vector<RoomHolder> holders;
    holders.reserve(state_->entries.size());
    for (const auto& each : state_->entries) {
      holders.push_back({each->bytes, each->MayGo(), each->last_used_ns});
    }
    const auto chosen = ChooseEvictions(holders, needed, options_.memory_bytes);
    if (!chosen) {
      return ResourceExhausted(fmt::format(
          "not enough memory: \"{}\" needs {}, the limit for all models is {} MiB, of which are "
          "held: {}",
          entry.model.called.name, need.Text(), options_.memory_bytes >> 20,
          state_->HoldersText()));
    }
    for (const size_t i : *chosen) {
      going.push_back(state_->entries[i].get());
      going.back()->state = ModelState::kUnloading;
    }
  }
  for (Entry* each : going) Unload(*each, "memory");
  return OkStatus();
}

bool ModelPool::EvictOldest() {
  Entry* oldest = nullptr;
  {
    const MutexLock lock(state_->mutex);
    for (const auto& each : state_->entries) {
      if (!each->MayGo()) continue;
      if (oldest == nullptr || each->last_used_ns < oldest->last_used_ns) oldest = each.get();
    }
    if (oldest == nullptr) return false;
    oldest->state = ModelState::kUnloading;
  }
  Unload(*oldest, "memory");
  return true;
}

Result<LoadedModel> ModelPool::LoadWithRoom(Entry& entry) {
  if (!entry.need) {
    ASSIGN_OR_RETURN(entry.need, loader_->Need(entry.model));
  }
  RETURN_IF_ERROR(MakeRoom(entry, *entry.need));
  {
    const MutexLock lock(state_->mutex);
    entry.bytes = entry.need->TotalBytes();
    if (entry.metrics == nullptr) entry.metrics = std::make_shared<MetricRegistry>();
  }
  while (true) {
    Result<LoadedModel> loaded = loader_->Load(entry.model, *entry.metrics, cancelled_);
    // The system may have less than the limit allows.
    if (loaded.status().code() != StatusCode::kResourceExhausted || !EvictOldest()) return loaded;
  }
}

void ModelPool::LoadOne(Entry& entry) {
  const int64_t started_ns = NowNs();
  Finish(entry, LoadWithRoom(entry), started_ns);
}

void ModelPool::Finish(Entry& entry, Result<LoadedModel> loaded, int64_t started_ns) {
  const int64_t now_ns = NowNs();
  const double seconds = static_cast<double>(now_ns - started_ns) * 1e-9;
  const Status status = loaded.status();
  std::vector<Waiter> waiters;
  std::vector<OpenedModel> opened;
  uint32_t retry_after = 1;
  {
    const MutexLock lock(state_->mutex);
    waiters = state_->TakeWaiters(entry);
    if (status.ok()) {
      entry.resident = std::make_unique<Resident>(std::move(loaded).value(), entry.model.called);
      if (const auto& language = entry.resident->loaded.language) {
        entry.context_tokens = language->context_tokens;
        entry.prefix_cache = language->prefix_cache;
      }
      entry.state = ModelState::kReady;
      entry.last_used_ns = now_ns;
      entry.backoff_ns = 0;
      entry.counts.loaded.Set(1);
      entry.counts.memory_bytes.Set(static_cast<int64_t>(entry.bytes));
      entry.counts.loads.Add();
      entry.counts.load_seconds.Observe(seconds);
      opened.reserve(waiters.size());
      for (size_t i = 0; i < waiters.size(); ++i) {
        opened.push_back(ShareOf(state_, entry, true));
      }
    } else {
      entry.state = ModelState::kCold;
      entry.bytes = 0;
      entry.failure = status;
      entry.counts.failures.Add();
      // Memory may be there at any time; a broken model mends slowly.
      if (status.code() != StatusCode::kResourceExhausted) {
        entry.backoff_ns = entry.backoff_ns == 0
                               ? options_.first_retry_ns
                               : std::min(2 * entry.backoff_ns, options_.most_retry_ns);
        entry.retry_ns = now_ns + entry.backoff_ns;
        retry_after = Seconds(entry.backoff_ns);
      }
    }
  }
  if (options_.log != nullptr && status.ok()) {
    options_.log->Info("model loaded", {{"model", entry.model.called.name},
                                        {"seconds", seconds},
                                        {"mib", static_cast<int64_t>(entry.bytes >> 20)}});
  } else if (options_.log != nullptr && status.code() != StatusCode::kCancelled &&
             std::none_of(waiters.begin(), waiters.end(), [](auto& w) { return w.reports; })) {
    options_.log->Warning("model not loaded",
                          {{"model", entry.model.called.name}, {"detail", status.message()}});
  }
  for (size_t i = 0; i < waiters.size(); ++i) {
    if (status.ok()) {
      waiters[i].done(std::move(opened[i]), 0);
    } else {
      waiters[i].done(status, retry_after);
    }
  }
}

void ModelPool::WatchWaits() {
  while (true) {
    std::vector<Waiter> ended;
    {
      const MutexLock lock(state_->mutex);
      while (ended.empty()) {
        if (state_->closed) return;
        const int64_t now_ns = NowNs();
        int64_t wake_ns = INT64_MAX;
        for (const auto& entry : state_->entries) {
          const size_t before = ended.size();
          std::erase_if(entry->waiters, [&](Waiter& waiter) {
            if (waiter.until_ns > now_ns) {
              wake_ns = std::min(wake_ns, waiter.until_ns);
              return false;
            }
            ended.push_back(std::move(waiter));
            return true;
          });
          for (size_t i = before; i < ended.size(); ++i) state_->CountOut(*entry, ended[i]);
        }
        if (!ended.empty()) break;
        if (wake_ns == INT64_MAX) {
          state_->watch.Wait(state_->mutex);
        } else {
          state_->watch.WaitFor(state_->mutex, wake_ns - now_ns);
        }
      }
    }
    for (const Waiter& waiter : ended) {
      waiter.done(Unavailable("the model was not loaded in time; try again later"), 5);
    }
  }
}

}  // namespace pelton
