#include "runtime/engine/engine_core.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/checked_math.h"

namespace pelton {
namespace {

double Seconds(int64_t ns) { return static_cast<double>(ns) * 1e-9; }

}  // namespace

EngineCore::EngineCore(const EngineOptions& options, BlockPool& pool, StepExecutor& executor,
                       const Clock& clock, MetricRegistry& metrics)
    : options_(options),
      pool_(pool),
      executor_(executor),
      clock_(clock),
      metrics_(metrics),
      sampler_(executor.vocab_size(), executor.limits().max_context),
      assembler_(executor.limits(), pool.view().block_tokens) {
  if (options_.prefix_cache) prefix_index_.emplace(pool_);
  const size_t most_waiting = options_.max_queued + 2 * options_.max_sequences;
  running_.reserve(options_.max_sequences);
  waiting_.reserve(most_waiting);
  running_views_.reserve(options_.max_sequences);
  waiting_views_.reserve(most_waiting);
  plan_.runs.reserve(options_.max_sequences);
  plan_.preempted.reserve(options_.max_sequences);
  plan_.expired.reserve(most_waiting);
  parts_.reserve(options_.max_sequences);
  top_.resize(SamplingParams::kMaxLogprobs);
}

EngineCore::~EngineCore() { CancelAll(Cancelled("the engine has stopped")); }

void EngineCore::Add(std::unique_ptr<LiveRequest> request) {
  PELTON_CHECK(waiting_.empty() || waiting_.back()->sequence.id < request->sequence.id,
               "requests are queued in the order of their ids");
  waiting_.push_back(std::move(request));
  UpdateGauges();
}

void EngineCore::Cancel(uint64_t id) {
  for (Requests* requests : {&running_, &waiting_}) {
    for (const auto& request : *requests) {
      if (request->sequence.id != id) continue;
      Finish(*request, {.reason = FinishReason::kCancelled,
                        .status = Cancelled("the request was cancelled")});
    }
    RemoveFinished(*requests);
  }
  UpdateGauges();
}

void EngineCore::CancelAll(const Status& reason) {
  for (Requests* requests : {&running_, &waiting_}) {
    for (const auto& request : *requests) {
      Finish(*request, {.reason = FinishReason::kCancelled, .status = reason});
    }
    RemoveFinished(*requests);
  }
  UpdateGauges();
}

void EngineCore::Step() {
  if (num_live() == 0) return;
  const int64_t start_ns = clock_.NowNs();
  MakePlan(start_ns);
  for (const size_t i : plan_.expired) {
    Finish(*waiting_[i], {.reason = FinishReason::kDeadline,
                          .status = {StatusCode::kDeadlineExceeded,
                                     "the request could not start before its deadline"}});
  }
  parts_.clear();
  for (const PlannedRun& run : plan_.runs) {
    LiveRequest* request = (run.admitted ? waiting_ : running_)[run.index].get();
    parts_.push_back({.request = request, .count = run.count, .logit_rows = 0});
  }
  ApplyAdmissions(start_ns);
  RemoveFinished(waiting_);
  ApplyPreemptions();
  if (!parts_.empty()) {
    AssembleStep();
    const std::span<float> logits = executor_.Run(assembler_.batch());
    size_t first_logit_row = 0;
    for (const StepPart& part : parts_) {
      FinishPart(part, first_logit_row, logits);
      first_logit_row += part.logit_rows;
    }
    RemoveFinished(running_);
    metrics_.steps.Add();
    metrics_.step_tokens.Observe(static_cast<double>(assembler_.batch().tokens.size()));
    metrics_.step_seconds.Observe(Seconds(clock_.NowNs() - start_ns));
  }
  UpdateGauges();
}

void EngineCore::MakePlan(int64_t now_ns) {
  const size_t block_tokens = pool_.view().block_tokens;
  // Counting a sequence's sole blocks walks all of them, so it is done only when one may have to
  // give way: this step's tokens start at most this many blocks.
  const size_t most_new_blocks = options_.max_step_tokens / block_tokens + 1 + running_.size();
  const bool short_of_blocks = pool_.num_available() < most_new_blocks;
  running_views_.clear();
  for (const auto& request : running_) {
    running_views_.push_back(ViewRunning(request->sequence, short_of_blocks));
  }
  waiting_views_.clear();
  size_t places = options_.max_sequences - running_.size();
  for (const auto& request : waiting_) {
    waiting_views_.push_back(ViewWaiting(*request, places > 0));
    const bool expired = now_ns > waiting_views_.back().deadline_ns;
    if (places > 0 && !expired) --places;
  }
  PlanStep({.running = running_views_,
            .waiting = waiting_views_,
            .available_blocks = pool_.num_available(),
            .block_tokens = block_tokens},
           {.max_tokens = options_.max_step_tokens,
            .max_sequences = options_.max_sequences,
            .max_logit_rows = executor_.limits().max_logit_rows},
           now_ns, plan_);
}

SequenceView EngineCore::ViewRunning(const Sequence& sequence, bool count_sole) const {
  return {.known_tokens = sequence.tokens.size(),
          .computed_tokens = sequence.computed_tokens,
          .logit_begin = sequence.LogitBegin(),
          .held_blocks = sequence.blocks.size(),
          .sole_blocks = count_sole ? sequence.blocks.CountSole(pool_) : 0,
          .cached_blocks = 0,
          .cached_idle_blocks = 0};
}

SequenceView EngineCore::ViewWaiting(const LiveRequest& request, bool look_up) const {
  const Sequence& sequence = request.sequence;
  PrefixIndex::Match match;
  if (look_up && prefix_index_)
    match = prefix_index_->Find(ReusableKeys(sequence), sequence.tokens);
  return {.known_tokens = sequence.tokens.size(),
          .computed_tokens = 0,
          .logit_begin = sequence.LogitBegin(),
          .held_blocks = 0,
          .sole_blocks = 0,
          .cached_blocks = match.blocks,
          .cached_idle_blocks = match.idle,
          // A preempted request met its deadline when it started.
          .deadline_ns = request.started() ? kNoDeadline : request.start_deadline_ns};
}

// Tokens whose logits are wanted are computed even if their K/V is cached.
std::span<const BlockKey> EngineCore::ReusableKeys(const Sequence& sequence) const {
  const size_t most = sequence.LogitBegin() / pool_.view().block_tokens;
  return std::span(sequence.keys).first(std::min(most, sequence.keys.size()));
}

void EngineCore::ApplyAdmissions(int64_t now_ns) {
  // All cached blocks are taken before any block is allocated, which could give them away.
  for (const PlannedRun& run : plan_.runs) {
    if (!run.admitted) continue;
    LiveRequest& request = *waiting_[run.index];
    Sequence& sequence = request.sequence;
    const size_t cached_blocks = waiting_views_[run.index].cached_blocks;
    if (cached_blocks > 0) {
      prefix_index_->Take(ReusableKeys(sequence), cached_blocks, sequence.blocks);
    }
    sequence.published_blocks = cached_blocks;
    sequence.computed_tokens = cached_blocks * pool_.view().block_tokens;
    if (!request.started()) {
      request.started_ns = now_ns;
      request.cached_tokens = std::min(sequence.computed_tokens, sequence.prompt_tokens);
      metrics_.prompt_tokens.Add(sequence.prompt_tokens);
      metrics_.cached_tokens.Add(request.cached_tokens);
    }
    running_.push_back(std::move(waiting_[run.index]));
  }
  std::erase(waiting_, nullptr);
}

void EngineCore::ApplyPreemptions() {
  for (const size_t i : plan_.preempted) {  // newest first, and older than all that wait
    PELTON_CHECK(i + 1 == running_.size(), "only the newest is preempted");
    std::unique_ptr<LiveRequest> request = std::move(running_.back());
    running_.pop_back();
    request->sequence.DropBlocks();
    // Generated tokens may fill blocks that are still cached.
    if (prefix_index_) request->sequence.ExtendKeys(pool_.view().block_tokens);
    ++request->preemptions;
    metrics_.preemptions.Add();
    waiting_.insert(waiting_.begin(), std::move(request));
  }
}

void EngineCore::AssembleStep() {
  const size_t block_tokens = pool_.view().block_tokens;
  assembler_.Clear();
  for (StepPart& part : parts_) {
    Sequence& sequence = part.request->sequence;
    while (sequence.blocks.size() * block_tokens < sequence.computed_tokens + part.count) {
      std::optional<BlockRef> block = pool_.Allocate();
      PELTON_CHECK(block.has_value(), "a plan fits the available blocks");
      sequence.blocks.Append(*std::move(block));
    }
    part.logit_rows = assembler_.Add(sequence, part.count);
  }
}

void EngineCore::RemoveFinished(Requests& requests) {
  std::erase_if(requests, [](const auto& request) { return request->finished; });
}

void EngineCore::UpdateGauges() {
  metrics_.running.Set(static_cast<int64_t>(running_.size()));
  metrics_.waiting.Set(static_cast<int64_t>(waiting_.size()));
  metrics_.idle_blocks.Set(static_cast<int64_t>(pool_.num_idle()));
  metrics_.held_blocks.Set(static_cast<int64_t>(pool_.num_blocks() - pool_.num_available()));
}

}  // namespace pelton
