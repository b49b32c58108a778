#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "base/arena.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "base/mutex.h"
#include "base/status.h"
#include "graph/execute/step_executor.h"
#include "runtime/engine/engine_core.h"
#include "runtime/engine/engine_options.h"
#include "runtime/engine/live_request.h"
#include "runtime/engine/request.h"
#include "runtime/engine/request_sink.h"
#include "runtime/kv/block_pool.h"

namespace pelton {

// One model's engine: a thread that owns scheduler, KV blocks, prefix index and sampler state, and
// takes requests as messages. Between requests the thread sleeps.
class Engine final : public RequestSink {
 public:
  // Makes the executor over the engine's KV cache, once, inside Create.
  using ExecutorFactory =
      std::function<Result<std::unique_ptr<StepExecutor>>(const KvCacheView& cache)>;

  // Makes the executor of a draft model (DraftModel). With a geometry its K/V has memory of its
  // own, without one it lies in the last layer of the main model's blocks.
  struct DraftFactory {
    ExecutorFactory make_executor;
    std::optional<KvCacheView> geometry;
  };

  // The geometries describe the models' KV blocks; num_blocks and data are the engine's to set.
  // Borrows clock and metrics for its lifetime. Fails if the options do not fit the executor's
  // limits, or if there is no memory for options.kv_blocks.
  static Result<std::unique_ptr<Engine>> Create(const EngineOptions& options,
                                                const KvCacheView& geometry,
                                                const ExecutorFactory& make_executor,
                                                const Clock& clock, MetricRegistry& metrics,
                                                const std::optional<DraftFactory>& draft = {});

  // Every request that has not finished ends with kCancelled. Then the prefix cache goes to the
  // store, where the options name one.
  ~Engine() override;

  // Unavailable as CheckLoad.
  Result<uint64_t> Submit(Request request) override;
  Status CheckLoad(ServiceClass service_class, size_t prompt_tokens, int64_t within_ns) override;
  uint32_t RetryAfterSeconds(ServiceClass service_class) override;
  // Takes effect before the next step starts.
  void Cancel(uint64_t id) override;
  void Hold(uint64_t id) override;
  void Resume(uint64_t id) override;
  size_t max_queued() const override { return options_.max_queued; }

  const EngineOptions& options() const { return options_; }  // with the defaults filled in
  const StepLimits& limits() const { return executor_->limits(); }
  size_t vocab_size() const { return executor_->vocab_size(); }

 private:
  struct HoldChange {
    uint64_t id;
    bool hold;  // else resume
  };
  struct DraftParts {
    std::unique_ptr<StepExecutor> executor;  // null: there is no draft model
    Arena memory;                            // for K/V of its own
    DraftCache cache;
  };
  Engine(EngineOptions options, std::unique_ptr<BlockPool> pool,
         std::unique_ptr<StepExecutor> executor, DraftParts draft, const Clock& clock,
         MetricRegistry& metrics);
  void Loop();
  void ChangeHold(HoldChange change);
  bool HasMessage() const REQUIRES_LOCK(mutex_);  // for the engine's thread
  bool IsIdle();
  Status CheckLoadLocked(ServiceClass service_class, size_t prompt_tokens, int64_t within_ns)
      REQUIRES_LOCK(mutex_);

  const EngineOptions options_;
  const std::unique_ptr<BlockPool> pool_;
  const std::unique_ptr<StepExecutor> executor_;
  const Clock& clock_;
  const DraftParts draft_;
  const std::unique_ptr<DraftModel> draft_model_;  // of draft_; may be null
  EngineCore core_;                                // engine thread only

  Mutex mutex_;
  CondVar wake_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  uint64_t next_id_ GUARDED_BY(mutex_) = 1;
  size_t live_in_core_ GUARDED_BY(mutex_) = 0;  // at least the true number
  EngineLoad load_ GUARDED_BY(mutex_);          // before the last step; submitted_ comes on top
  std::vector<std::unique_ptr<LiveRequest>> submitted_ GUARDED_BY(mutex_);
  std::vector<uint64_t> cancelled_ GUARDED_BY(mutex_);
  std::vector<HoldChange> hold_changes_ GUARDED_BY(mutex_);  // in the order of the calls

  std::thread thread_;  // last: it starts when everything else is there
};

}  // namespace pelton
