#include "runtime/engine/engine_core.h"

#include <algorithm>
#include <array>
#include <new>
#include <utility>

#include "base/check.h"
#include "base/checked_math.h"
#include "runtime/schedule/admission_queue.h"

namespace pelton {
EngineCore::EngineCore(const EngineOptions& options, BlockPool& pool, StepExecutor& executor,
                       const Clock& clock, MetricRegistry& metrics, DraftModel* draft_model)
    : options_(options),
      pool_(pool),
      executor_(executor),
      clock_(clock),
      metrics_(metrics, executor.limits().max_context),
      sampler_(executor.vocab_size(), executor.limits().max_context),
      assembler_(executor.limits(), pool.view().block_tokens),
      draft_model_(options.speculate ? draft_model : nullptr) {
  if (options_.prefix_cache) prefix_index_.emplace(pool_);
  if (prefix_index_ && options_.store != nullptr) {
    options_.store->Restore({options_.store_fingerprint, pool_.view()}, pool_, *prefix_index_);
  }
  if (prefix_index_ && executor_.PromptsDiffer()) {
    rereader_.emplace(pool_, *prefix_index_, executor_, assembler_, draft_model_);
  }
  const size_t most_waiting = options_.max_queued + 2 * options_.max_sequences;
  running_.reserve(options_.max_sequences);
  waiting_.reserve(most_waiting);
  held_.reserve(most_waiting);
  running_views_.reserve(options_.max_sequences);
  waiting_views_.reserve(most_waiting);
  moving_.reserve(options_.max_sequences);
  plan_.Reserve(options_.max_sequences, most_waiting);
  parts_.reserve(options_.max_sequences);
  to_fill_.reserve(options_.max_sequences);
  top_.resize(SamplingParams::kMaxLogprobs);
  metrics_.blocks.Set(static_cast<int64_t>(pool_.num_blocks()));
  metrics_.block_tokens.Set(static_cast<int64_t>(pool_.view().block_tokens));
  metrics_.block_bytes.Set(static_cast<int64_t>(pool_.view().BlockBytes()));
  UpdateGauges();
}

EngineCore::~EngineCore() { CancelAll(Cancelled("the engine has stopped")); }

void EngineCore::Add(std::unique_ptr<LiveRequest> request) {
  PELTON_CHECK(waiting_.empty() || waiting_.back()->sequence.id < request->sequence.id,
               "requests are queued in the order of their ids");
  request->since_ns = request->submitted_ns;
  request->sequence.prompt_differs = executor_.PromptsDiffer();
  if (draft_model_ != nullptr) {
    request->model_drafter.Begin(draft_model_->record());
    request->drafter = &request->model_drafter;
  }
  try {
    request->tenant_place = tenants_.Enter(request->tenant, request->tenant_weight);
  } catch (const std::bad_alloc&) {
    return request->observer->OnFinish({.reason = FinishReason::kError,
                                        .status = Unavailable("out of memory; try again later"),
                                        .prompt_tokens = request->sequence.prompt_tokens});
  }
  if (request->service_class == ServiceClass::kRealtime) last_realtime_ns_ = request->since_ns;
  waiting_.push_back(std::move(request));
  UpdateGauges();
}

void EngineCore::Hold(uint64_t id) {
  for (Requests* requests : {&running_, &waiting_}) {
    for (auto& request : *requests) {
      if (request->sequence.id != id) continue;
      if (requests == &running_) LetGoOfBlocks(*request, clock_.NowNs());
      held_.push_back(std::move(request));
    }
    std::erase(*requests, nullptr);
  }
  UpdateGauges();
}

void EngineCore::Resume(uint64_t id) {
  for (auto& request : held_) {
    if (request->sequence.id != id) continue;
    request->since_ns = clock_.NowNs();
    InsertById(waiting_, std::move(request));
  }
  std::erase(held_, nullptr);
  UpdateGauges();
}

void EngineCore::Cancel(uint64_t id) {
  for (Requests* requests : {&running_, &waiting_, &held_}) {
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
  for (Requests* requests : {&running_, &waiting_, &held_}) {
    for (const auto& request : *requests) {
      Finish(*request, {.reason = FinishReason::kCancelled, .status = reason});
    }
    RemoveFinished(*requests);
  }
  UpdateGauges();
}

void EngineCore::SaveCache() {
  if (rereader_) rereader_->Pause();
  if (!prefix_index_ || options_.store == nullptr) return;
  options_.store->Save({options_.store_fingerprint, pool_.view()}, pool_, *prefix_index_);
}

EngineLoad EngineCore::Load() const {
  EngineLoad load{.classes = {},
                  .max_sequences = options_.max_sequences,
                  .max_step_tokens = options_.max_step_tokens,
                  .mean_output_tokens = mean_output_tokens_,
                  .cost = predictor_.cost()};
  for (const auto& request : running_) {
    const Sequence& sequence = request->sequence;
    EngineLoad::OfClass& one = load.classes[static_cast<size_t>(request->service_class)];
    ++one.running;
    one.prompt_tokens += sequence.tokens.size() - sequence.computed_tokens - 1;
    one.attended_tokens += static_cast<double>(sequence.computed_tokens);
  }
  for (const auto& request : waiting_) {
    EngineLoad::OfClass& one = load.classes[static_cast<size_t>(request->service_class)];
    ++one.waiting;
    one.prompt_tokens += request->sequence.tokens.size();
  }
  return load;
}

int64_t EngineCore::Step() {
  if (num_ready() == 0) return 0;
  if (rereader_) rereader_->Pause();
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
    parts_.push_back({.request = request,
                      .begin = 0,
                      .first_row = 0,
                      .count = run.count,
                      .logit_rows = 0,
                      .first_logit_row = 0,
                      .drafts = request->Drafts(run.drafts)});
  }
  ApplyPreemptions(start_ns);
  ApplyAdmissions(start_ns);
  RemoveFinished(waiting_);
  if (!parts_.empty()) {
    AssembleStep();
    if (options_.profile != nullptr && options_.profile->active()) {
      options_.profile->OnStepBegin();
    }
    StartMasks();
    const std::span<float> logits = executor_.Run(assembler_.batch());
    mask_filler_.Wait();
    for (const StepPart& part : parts_) FinishPart(part, logits);
    const int64_t main_ns = clock_.NowNs() - start_ns;
    if (draft_model_ != nullptr) RunDraftModel();
    RemoveFinished(running_);
    metrics_.steps.Add();
    metrics_.step_tokens.Observe(static_cast<double>(assembler_.batch().tokens.size()));
    const int64_t step_ns = clock_.NowNs() - start_ns;
    metrics_.step_seconds.Observe(ToSeconds(step_ns));
    if (options_.profile != nullptr && options_.profile->active()) {
      options_.profile->OnStep({.start_ns = start_ns,
                                .end_ns = start_ns + step_ns,
                                .tokens = assembler_.batch().tokens.size(),
                                .sequences = parts_.size()});
    }
    const double error = predictor_.Observe(plan_.shape, main_ns);
    if (error >= 0) metrics_.prediction_error.Observe(error);
    metrics_.step_sequences.Observe(static_cast<double>(parts_.size()));
  }
  UpdateGauges();
  return plan_.wake_ns;
}

void EngineCore::MakePlan(int64_t now_ns) {
  const size_t block_tokens = pool_.view().block_tokens;
  waiting_views_.clear();
  ServiceClass most_urgent = ServiceClass::kBackground;
  for (const auto& request : waiting_) {
    waiting_views_.push_back(ViewWaiting(*request));
    most_urgent = std::min(most_urgent, request->service_class);
  }
  // Counting a sequence's sole blocks walks all of them, so it is done only when one may have to
  // give way: for a more urgent one that waits, or as this step's tokens start at most this many
  // blocks.
  const size_t most_new_blocks = options_.max_step_tokens / block_tokens + 1 + running_.size();
  const bool short_of_blocks = pool_.num_available() < most_new_blocks;
  running_views_.clear();
  for (const auto& request : running_) {
    running_views_.push_back(
        ViewRunning(*request, short_of_blocks || request->service_class > most_urgent));
  }
  if (options_.speculate) ChooseDrafts();
  const ScheduleState state = {.running = running_views_,
                               .waiting = waiting_views_,
                               .available_blocks = pool_.num_available(),
                               .block_tokens = block_tokens,
                               .tenants = tenants_.shares(),
                               .last_realtime_ns = last_realtime_ns_};
  if (prefix_index_) LookUpPrefixes(state, now_ns);
  StepCost cost = predictor_.cost();
  if (draft_model_ != nullptr && cost.known()) cost += draft_model_->cost();
  PlanStep(state,
           {.max_tokens = options_.max_step_tokens,
            .max_sequences = options_.max_sequences,
            .max_logit_rows = executor_.limits().max_logit_rows,
            .cost = cost,
            .policies = options_.policies,
            .gather_ns = options_.gather_ns},
           now_ns, plan_);
}

// The running sequences' next step without guesses.
StepShape EngineCore::DecodingShape() const {
  StepShape decoding;
  for (const auto& request : running_) {
    const Sequence& sequence = request->sequence;
    if (request->finished || sequence.tokens.size() != sequence.computed_tokens + 1) continue;
    decoding.Add(sequence.computed_tokens, 1, true);
  }
  return decoding;
}

void EngineCore::ChooseDrafts() {
  const StepCost cost = predictor_.cost();
  const StepShape decoding = DecodingShape();
  for (size_t i = 0; i < running_.size(); ++i) {
    const Sequence& sequence = running_[i]->sequence;
    if (running_views_[i].known_tokens - running_views_[i].computed_tokens != 1) continue;
    const size_t worth = running_[i]->WorthDrafting(cost, decoding);
    // The last token of an answer needs no row of its own.
    const size_t left =
        sequence.max_tokens - std::min(sequence.max_tokens, sequence.tokens.size() + 1);
    running_views_[i].draft_tokens = std::min(worth, left);
  }
}

SequenceView EngineCore::ViewRunning(const LiveRequest& request, bool count_sole) const {
  const Sequence& sequence = request.sequence;
  return {.known_tokens = sequence.tokens.size(),
          .computed_tokens = sequence.computed_tokens,
          .logit_begin = sequence.LogitBegin(),
          .held_blocks = sequence.blocks.size(),
          .sole_blocks = count_sole ? sequence.blocks.CountSole(pool_) : 0,
          .cached_blocks = 0,
          .cached_idle_blocks = 0,
          .service_class = request.service_class,
          .tenant = request.tenant_place,
          .since_ns = request.since_ns,
          .border = sequence.prompt_differs ? sequence.prompt_tokens : 0};
}

SequenceView EngineCore::ViewWaiting(const LiveRequest& request) const {
  const Sequence& sequence = request.sequence;
  return {.known_tokens = sequence.tokens.size(),
          .computed_tokens = 0,
          .logit_begin = sequence.LogitBegin(),
          .held_blocks = 0,
          .sole_blocks = 0,
          .cached_blocks = 0,
          .cached_idle_blocks = 0,
          // A preempted request met its deadline when it started.
          .deadline_ns = request.started() ? kNoDeadline : request.start_deadline_ns,
          .service_class = request.service_class,
          .tenant = request.tenant_place,
          .since_ns = request.since_ns,
          .border = sequence.prompt_differs ? sequence.prompt_tokens : 0};
}

// Looks up what is cached for the sequences that may be admitted in this step, and no others.
void EngineCore::LookUpPrefixes(const ScheduleState& state, int64_t now_ns) {
  size_t places = options_.max_sequences - running_.size();
  if (!running_.empty() && !waiting_.empty()) {
    ServiceClass most_urgent = ServiceClass::kBackground;
    for (const SequenceView& view : waiting_views_) {
      most_urgent = std::min(most_urgent, view.service_class);
    }
    for (const SequenceView& view : running_views_) places += view.service_class > most_urgent;
  }
  AdmissionQueue queue(state, options_.policies, now_ns, plan_.served);
  plan_.order.clear();
  while (plan_.order.size() < places) {
    const std::optional<size_t> next = queue.Next(plan_.order);
    if (!next) return;
    plan_.order.push_back(*next);
    const Sequence& sequence = waiting_[*next]->sequence;
    const PrefixIndex::Match match = prefix_index_->Find(ReusableKeys(sequence), sequence.tokens);
    waiting_views_[*next].cached_blocks = match.blocks;
    waiting_views_[*next].cached_idle_blocks = match.idle;
  }
}

// Tokens whose logits are wanted are computed even if their K/V is cached.
std::span<const BlockKey> EngineCore::ReusableKeys(const Sequence& sequence) const {
  const size_t most = sequence.LogitBegin() / pool_.view().block_tokens;
  return std::span(sequence.keys).first(std::min(most, sequence.keys.size()));
}

void EngineCore::LetGoOfBlocks(LiveRequest& request, int64_t now_ns) {
  request.sequence.DropBlocks();
  // Generated tokens may fill blocks that are still cached.
  if (prefix_index_) request.sequence.ExtendKeys(pool_.view().block_tokens);
  request.since_ns = now_ns;
}

void EngineCore::ApplyPreemptions(int64_t now_ns) {
  for (const size_t i : plan_.preempted) {
    std::unique_ptr<LiveRequest> request = std::move(running_[i]);
    LetGoOfBlocks(*request, now_ns);
    ++request->preemptions;
    metrics_.preemptions.Add();
    moving_.push_back(std::move(request));
  }
  std::erase(running_, nullptr);
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
    sequence.BeginBehind(cached_blocks, pool_.view().block_tokens);
    if (!request.started()) {
      if (prefix_index_) {
        metrics_.found_blocks.Add(cached_blocks);
        metrics_.missed_blocks.Add(ReusableKeys(sequence).size() - cached_blocks);
      }
      Start(request, now_ns);
    }
    // Once it counts as more urgent it stays so, or those that came meanwhile would push it back.
    request.service_class =
        AgedClass(request.service_class, now_ns - request.since_ns, options_.policies);
    InsertById(running_, std::move(waiting_[run.index]));
  }
  std::erase(waiting_, nullptr);
  for (auto& request : moving_) InsertById(waiting_, std::move(request));
  moving_.clear();
}

void EngineCore::Start(LiveRequest& request, int64_t now_ns) {
  const Sequence& sequence = request.sequence;
  request.started_ns = now_ns;
  request.cached_tokens = std::min(sequence.computed_tokens, sequence.prompt_tokens);
  metrics_.prompt_tokens.Add(sequence.prompt_tokens);
  metrics_.cached_tokens.Add(request.cached_tokens);
  metrics_.queue_seconds[static_cast<size_t>(request.service_class)]->Observe(
      ToSeconds(now_ns - request.submitted_ns));
  tenants_.Charge(request.tenant_place,
                  TenantLedger::kPromptToken *
                      static_cast<double>(sequence.prompt_tokens - request.cached_tokens));
  request.observer->OnStart(
      {.prompt_tokens = sequence.prompt_tokens, .cached_tokens = request.cached_tokens});
}

void EngineCore::InsertById(Requests& requests, std::unique_ptr<LiveRequest> request) {
  const auto place = std::find_if(requests.begin(), requests.end(), [&](const auto& other) {
    return other != nullptr && other->sequence.id > request->sequence.id;
  });
  requests.insert(place, std::move(request));
}

// Lets the draft model read what the step computed, of ended sequences too, whose blocks others may
// find, and guess where that may pay.
void EngineCore::RunDraftModel() {
  const DraftCosts costs = {
      .step = predictor_.cost(), .pass = draft_model_->cost(), .decoding = DecodingShape()};
  draft_model_->Clear();
  for (const StepPart& part : parts_) {
    LiveRequest& request = *part.request;
    if (request.finished && !request.ended_whole) continue;
    if (!request.model_drafter.Follows(costs)) continue;
    Sequence& sequence = request.sequence;
    const bool decodes = sequence.tokens.size() == sequence.computed_tokens + 1;
    const bool guessable = decodes && !request.finished && !request.output.constrained();
    // A guess needs a place in a block; a step that runs short of blocks finds them as before.
    const size_t places =
        std::min(sequence.tokens.size() + options_.draft_tokens, sequence.max_tokens);
    if (guessable && pool_.num_available() > 2 * options_.max_sequences) {
      CoverWithBlocks(sequence, places);
    }
    if (!draft_model_->Add(sequence, part.begin, part.first_row) || !guessable) continue;
    // The last token of an answer needs no row of its own.
    const size_t left =
        sequence.max_tokens - std::min(sequence.max_tokens, sequence.tokens.size() + 1);
    const size_t guesses = request.model_drafter.Wanted(costs, sequence.tokens.size(),
                                                        std::min(left, options_.draft_tokens));
    if (guesses > 0) draft_model_->Ask(sequence, guesses, request.model_drafter);
  }
  metrics_.draft_passes.Add(draft_model_->Run(executor_.hidden()));
}

void EngineCore::AssembleStep() {
  assembler_.Clear();
  for (const bool prompts : {true, false}) {
    for (StepPart& part : parts_) {
      if (part.request->sequence.computes_prompt() == prompts) AssemblePart(part);
    }
    if (prompts) assembler_.EndPrompts();
  }
}

// Requires: so many are available.
void EngineCore::CoverWithBlocks(Sequence& sequence, size_t tokens) {
  while (sequence.blocks.size() * pool_.view().block_tokens < tokens) {
    std::optional<BlockRef> block = pool_.Allocate();
    PELTON_CHECK(block.has_value(), "a plan fits the available blocks");
    if (draft_model_ != nullptr) draft_model_->ClearBlock(block->block());
    sequence.blocks.Append(*std::move(block));
  }
}

void EngineCore::AssemblePart(StepPart& part) {
  Sequence& sequence = part.request->sequence;
  CoverWithBlocks(sequence, sequence.computed_tokens + part.count + part.drafts.size());
  part.begin = sequence.computed_tokens;
  part.first_row = assembler_.num_rows();
  part.first_logit_row = assembler_.num_logit_rows();
  part.logit_rows = assembler_.Add(sequence, part.count, part.drafts);
}

void EngineCore::RemoveFinished(Requests& requests) {
  for (const auto& request : requests) {
    if (!request->finished) continue;
    request->sequence.DropBlocks();
    if (rereader_ && request->ended_whole) rereader_->Offer(request->sequence);
  }
  std::erase_if(requests, [](const auto& request) { return request->finished; });
}

void EngineCore::UpdateGauges() {
  metrics_.running.Set(static_cast<int64_t>(running_.size()));
  metrics_.waiting.Set(static_cast<int64_t>(waiting_.size()));
  metrics_.held.Set(static_cast<int64_t>(held_.size()));
  std::array<int64_t, kNumServiceClasses> waiting = {};
  for (const auto& request : waiting_) ++waiting[static_cast<size_t>(request->service_class)];
  for (size_t i = 0; i < waiting.size(); ++i) metrics_.waiting_of_class[i]->Set(waiting[i]);
  metrics_.idle_blocks.Set(static_cast<int64_t>(pool_.num_idle()));
  metrics_.evicted_blocks.Add(pool_.num_evictions() - reported_evictions_);
  reported_evictions_ = pool_.num_evictions();
  metrics_.held_blocks.Set(static_cast<int64_t>(pool_.num_blocks() - pool_.num_available()));
}

}  // namespace pelton
