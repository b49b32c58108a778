#include "runtime/engine/engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "base/checked_math.h"
#include "runtime/sample/philox.h"

namespace pelton {
namespace {

// The seed of a request that brought none: another one for each id.
uint64_t DeriveSeed(uint64_t engine_seed, uint64_t id) {
  // The third counter word keeps these draws apart from those of a sequence (philox.h).
  const auto words =
      Philox4x32({static_cast<uint32_t>(id), static_cast<uint32_t>(id >> 32), 1, 0},
                 {static_cast<uint32_t>(engine_seed), static_cast<uint32_t>(engine_seed >> 32)});
  return uint64_t{words[1]} << 32 | words[0];
}

void AddWaiting(const LiveRequest& request, EngineLoad& load) {
  EngineLoad::OfClass& one = load.classes[static_cast<size_t>(request.service_class)];
  ++one.waiting;
  one.prompt_tokens += request.sequence.tokens.size();
}

}  // namespace

Result<std::unique_ptr<Engine>> Engine::Create(const EngineOptions& options,
                                               const KvCacheView& geometry,
                                               const ExecutorFactory& make_executor,
                                               const Clock& clock, MetricRegistry& metrics,
                                               const std::optional<DraftFactory>& draft) {
  KvCacheView sized = geometry;
  sized.num_blocks = options.kv_blocks;
  // Executors address a token's place in the cache with 32 bits.
  const auto places = CheckedMul(sized.num_blocks, sized.block_tokens);
  if (!places || *places > INT32_MAX) {
    return InvalidArgument(fmt::format("kv_blocks is {}, but {} blocks of {} tokens are the most",
                                       sized.num_blocks, INT32_MAX / sized.block_tokens,
                                       sized.block_tokens));
  }
  ASSIGN_OR_RETURN(std::unique_ptr<BlockPool> pool, BlockPool::Create(sized));
  ASSIGN_OR_RETURN(std::unique_ptr<StepExecutor> executor, make_executor(pool->view()));
  DraftParts parts;
  if (draft) {
    parts.cache = {.view = pool->view(), .first_layer = sized.layers - 1};
    if (draft->geometry) {
      parts.cache = {.view = *draft->geometry};
      KvCacheView& view = parts.cache.view;
      view.num_blocks = sized.num_blocks;
      view.block_tokens = sized.block_tokens;
      const std::optional<size_t> bytes = CheckedMul(view.num_blocks, view.BlockBytes());
      if (!bytes) return InvalidArgument("the draft model's KV cache: its size does not fit");
      ASSIGN_OR_RETURN(parts.memory, Arena::Allocate(*bytes, "the draft model's KV cache"));
      view.data = parts.memory.data();
    }
    ASSIGN_OR_RETURN(parts.executor, draft->make_executor(parts.cache.view));
  }
  ASSIGN_OR_RETURN(EngineOptions resolved,
                   ResolveEngineOptions(options, executor->limits(), executor->vocab_size()));
  return std::unique_ptr<Engine>(new Engine(std::move(resolved), std::move(pool),
                                            std::move(executor), std::move(parts), clock, metrics));
}

Engine::Engine(EngineOptions options, std::unique_ptr<BlockPool> pool,
               std::unique_ptr<StepExecutor> executor, DraftParts draft, const Clock& clock,
               MetricRegistry& metrics)
    : options_(std::move(options)),
      pool_(std::move(pool)),
      executor_(std::move(executor)),
      clock_(clock),
      draft_(std::move(draft)),
      draft_model_(draft_.executor == nullptr
                       ? nullptr
                       : std::make_unique<DraftModel>(*draft_.executor, draft_.cache,
                                                      executor_->vocab_size(), clock_)),
      core_(options_, *pool_, *executor_, clock_, metrics, draft_model_.get()) {
  thread_ = std::thread([this] { Loop(); });
}

Engine::~Engine() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  wake_.WakeOne();
  thread_.join();
  core_.SaveCache();
}

Result<uint64_t> Engine::Submit(Request request) {
  const ServiceClass service_class = request.service_class;
  const size_t prompt_tokens = request.prompt_ids.size();
  const int64_t within_ns = request.first_token_within_ns;
  if (within_ns > 0) {
    request.start_deadline_ns = std::min(request.start_deadline_ns, clock_.NowNs() + within_ns);
  }
  // Refused before the prompt is looked at: an overloaded engine must not spend time on it.
  RETURN_IF_ERROR(CheckLoad(service_class, prompt_tokens, within_ns));
  ASSIGN_OR_RETURN(std::unique_ptr<LiveRequest> live,
                   PrepareRequest(std::move(request), {.options = options_,
                                                       .step = executor_->limits(),
                                                       .geometry = pool_->view(),
                                                       .vocab_size = executor_->vocab_size()}));
  live->submitted_ns = clock_.NowNs();
  uint64_t id;
  {
    const MutexLock lock(mutex_);
    RETURN_IF_ERROR(CheckLoadLocked(service_class, prompt_tokens, within_ns));
    id = next_id_++;
    live->sequence.id = id;
    if (!live->sequence.params.seed) live->sequence.seed = DeriveSeed(options_.seed, id);
    submitted_.push_back(std::move(live));
  }
  wake_.WakeOne();
  return id;
}

Status Engine::CheckLoad(ServiceClass service_class, size_t prompt_tokens, int64_t within_ns) {
  const MutexLock lock(mutex_);
  return CheckLoadLocked(service_class, prompt_tokens, within_ns);
}

Status Engine::CheckLoadLocked(ServiceClass service_class, size_t prompt_tokens,
                               int64_t within_ns) {
  const size_t most_live = options_.max_queued + options_.max_sequences;
  if (live_in_core_ + submitted_.size() >= most_live) {
    return Unavailable(fmt::format("{} requests run or wait, the most that max_queued = {} allows",
                                   most_live, options_.max_queued));
  }
  if (within_ns == 0) return OkStatus();
  EngineLoad load = load_;
  for (const auto& request : submitted_) AddWaiting(*request, load);
  const std::optional<double> first_ns = ForecastFirstToken(load, service_class, prompt_tokens);
  if (!first_ns || *first_ns <= static_cast<double>(within_ns)) return OkStatus();
  return Unavailable(
      fmt::format("the first token is expected after {:.2f} s, but asked for within {:.2f} s",
                  *first_ns * 1e-9, static_cast<double>(within_ns) * 1e-9));
}

uint32_t Engine::RetryAfterSeconds(ServiceClass service_class) {
  const MutexLock lock(mutex_);
  // When what waits now is under way.
  const double first_ns = ForecastFirstToken(load_, service_class, 0).value_or(0);
  return static_cast<uint32_t>(std::clamp(std::ceil(first_ns * 1e-9), 1.0, 60.0));
}

void Engine::Cancel(uint64_t id) {
  {
    const MutexLock lock(mutex_);
    // Repeated calls within one step must not grow the list.
    if (std::find(cancelled_.begin(), cancelled_.end(), id) != cancelled_.end()) return;
    cancelled_.push_back(id);
  }
  wake_.WakeOne();
}

void Engine::Hold(uint64_t id) { ChangeHold({.id = id, .hold = true}); }
void Engine::Resume(uint64_t id) { ChangeHold({.id = id, .hold = false}); }

void Engine::ChangeHold(HoldChange change) {
  {
    const MutexLock lock(mutex_);
    hold_changes_.push_back(change);
  }
  wake_.WakeOne();
}

bool Engine::HasMessage() const {
  return !submitted_.empty() || !cancelled_.empty() || !hold_changes_.empty() || stopping_;
}

bool Engine::IsIdle() {
  const MutexLock lock(mutex_);
  return !HasMessage() && core_.num_ready() == 0;
}

void Engine::Loop() {
  std::vector<std::unique_ptr<LiveRequest>> submitted;
  std::vector<uint64_t> cancelled;
  std::vector<HoldChange> hold_changes;
  int64_t wake_ns = 0;
  while (true) {
    while (IsIdle() && (pool_->TouchAhead(options_.touch_ahead_bytes) || core_.UseIdleTime())) {
    }
    bool stopping;
    {
      const MutexLock lock(mutex_);
      while (!HasMessage() && core_.num_ready() == 0) {
        live_in_core_ = core_.num_live();
        load_ = core_.Load();
        wake_.Wait(mutex_);
      }
      const int64_t idle_ns = wake_ns == 0 ? 0 : wake_ns - clock_.NowNs();
      if (idle_ns > 0 && !HasMessage()) wake_.WaitFor(mutex_, idle_ns);
      submitted.swap(submitted_);
      cancelled.swap(cancelled_);
      hold_changes.swap(hold_changes_);
      live_in_core_ = core_.num_live() + submitted.size();
      load_ = core_.Load();
      for (const auto& request : submitted) AddWaiting(*request, load_);
      stopping = stopping_;
    }
    for (auto& request : submitted) core_.Add(std::move(request));
    submitted.clear();
    for (const uint64_t id : cancelled) core_.Cancel(id);
    cancelled.clear();
    for (const HoldChange& change : hold_changes) {
      change.hold ? core_.Hold(change.id) : core_.Resume(change.id);
    }
    hold_changes.clear();
    if (stopping) return core_.CancelAll(Cancelled("the engine has stopped"));
    wake_ns = core_.Step();
  }
}

}  // namespace pelton
