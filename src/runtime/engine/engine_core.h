#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/clock.h"
#include "graph/execute/step_executor.h"
#include "runtime/engine/answer_rereader.h"
#include "runtime/engine/engine_metrics.h"
#include "runtime/engine/engine_options.h"
#include "runtime/engine/live_request.h"
#include "runtime/engine/mask_filler.h"
#include "runtime/engine/step_assembler.h"
#include "runtime/kv/block_pool.h"
#include "runtime/kv/prefix_index.h"
#include "runtime/sample/sampler.h"
#include "runtime/schedule/first_token_forecast.h"
#include "runtime/schedule/latency_predictor.h"
#include "runtime/schedule/step_plan.h"
#include "runtime/schedule/tenant_ledger.h"
#include "runtime/speculate/draft_model.h"

namespace pelton {

// Runs requests step by step: plan, run the executor, sample, tell the observers. Everything that
// happens is a function of the calls, their order and the clock. One thread; Engine gives it one,
// tests and the simulator call it directly. Observers must not call back into it.
//
// Once requests have been added, a step allocates nothing unless a sequence starts or ends in it.
class EngineCore {
 public:
  // `options` are resolved; everything else is borrowed for the core's lifetime.
  // `draft_model` guesses for this core alone; null: guesses come from the text alone.
  EngineCore(const EngineOptions& options, BlockPool& pool, StepExecutor& executor,
             const Clock& clock, MetricRegistry& metrics, DraftModel* draft_model = nullptr);
  ~EngineCore();

  // Queues a prepared request. Requires: ids ascend from call to call; at most max_queued +
  // max_sequences requests are inside at once. Without memory for it the request ends at once.
  void Add(std::unique_ptr<LiveRequest> request);

  // Ends a request with kCancelled; an id that has finished already is ignored.
  void Cancel(uint64_t id);

  // RequestSink's. A held request is as a preempted one, but is not planned for.
  void Hold(uint64_t id);
  void Resume(uint64_t id);

  // Ends every request with kCancelled and this reason.
  void CancelAll(const Status& reason);

  // Runs one step; without requests it does nothing. Returns a time before which another one has
  // nothing to do unless a request is added; 0: it may follow at once.
  int64_t Step();

  // Prepares what may come, for a time that a new request hardly notices; false if nothing is left
  // to do. Requires: num_ready() == 0.
  bool UseIdleTime() { return rereader_ && rereader_->Step(); }

  // Gives the prefix cache to the store, if there is one. Requires: no request is live.
  void SaveCache();

  EngineLoad Load() const;

  size_t num_running() const { return running_.size(); }
  size_t num_waiting() const { return waiting_.size(); }
  size_t num_held() const { return held_.size(); }
  size_t num_ready() const { return running_.size() + waiting_.size(); }  // for a step
  size_t num_live() const { return num_ready() + held_.size(); }

 private:
  using Requests = std::vector<std::unique_ptr<LiveRequest>>;
  // A request's part of the step that is being run.
  struct StepPart {
    LiveRequest* request;
    size_t begin;       // position of its first row
    size_t first_row;   // of the step
    size_t count;       // tokens
    size_t logit_rows;  // of these and the drafts, the last ones that have logits
    size_t first_logit_row;
    std::span<const int32_t> drafts;
  };

  void MakePlan(int64_t now_ns);
  SequenceView ViewRunning(const LiveRequest& request, bool count_sole) const;
  SequenceView ViewWaiting(const LiveRequest& request) const;
  StepShape DecodingShape() const;
  void ChooseDrafts();
  void RunDraftModel();
  void CoverWithBlocks(Sequence& sequence, size_t tokens);
  void LookUpPrefixes(const ScheduleState& state, int64_t now_ns);
  std::span<const BlockKey> ReusableKeys(const Sequence& sequence) const;
  void LetGoOfBlocks(LiveRequest& request, int64_t now_ns);
  void ApplyPreemptions(int64_t now_ns);
  void ApplyAdmissions(int64_t now_ns);
  void Start(LiveRequest& request, int64_t now_ns);
  static void InsertById(Requests& requests, std::unique_ptr<LiveRequest> request);
  void AssembleStep();
  void AssemblePart(StepPart& part);
  void FinishPart(const StepPart& part, std::span<float> logits);
  void FinishDrafts(const StepPart& part, std::span<float> logits);
  void Publish(Sequence& sequence);
  // False if the row cannot be used.
  bool ReportPromptToken(LiveRequest& request, size_t position, std::span<const float> row);
  bool ReportNextToken(LiveRequest& request, std::span<float> row);
  void StartMasks();
  // Goes on with a constraint's token; whether the request ended by it.
  bool AdvanceConstraint(LiveRequest& request, int32_t id);
  void Fail(LiveRequest& request);
  void Finish(LiveRequest& request, FinishEvent event);
  void RemoveFinished(Requests& requests);
  void UpdateGauges();

  const EngineOptions options_;
  BlockPool& pool_;
  StepExecutor& executor_;
  const Clock& clock_;
  EngineMetrics metrics_;
  std::optional<PrefixIndex> prefix_index_;  // none if the prefix cache is off
  Sampler sampler_;
  StepAssembler assembler_;
  DraftModel* const draft_model_;           // may be null
  std::optional<AnswerRereader> rereader_;  // where answers are not what prompts of them would be
  TenantLedger tenants_;
  LatencyPredictor predictor_;
  double mean_output_tokens_ = 128;  // a moving average; the start is a usual answer
  uint64_t reported_evictions_ = 0;
  int64_t last_realtime_ns_ = ScheduleState::kNever;

  Requests running_;  // ascending ids
  Requests waiting_;  // ascending ids
  Requests held_;     // any order
  Requests moving_;   // scratch: preempted in this step
  std::vector<SequenceView> running_views_;
  std::vector<SequenceView> waiting_views_;
  StepPlan plan_;
  std::vector<StepPart> parts_;
  std::vector<TokenLogprob> top_;  // scratch of one event
  MaskFiller mask_filler_;
  std::vector<ConstrainedOutput*> to_fill_;  // of the step that is being run
};

}  // namespace pelton
