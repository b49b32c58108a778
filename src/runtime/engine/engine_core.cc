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

void EngineCore::FinishPart(const StepPart& part, size_t first_logit_row, std::span<float> logits) {
  LiveRequest& request = *part.request;
  Sequence& sequence = request.sequence;
  sequence.computed_tokens += part.count;
  Publish(sequence);
  const size_t vocab_size = executor_.vocab_size();
  for (size_t i = 0; i < part.logit_rows; ++i) {
    const std::span<float> row = logits.subspan((first_logit_row + i) * vocab_size, vocab_size);
    const size_t position = sequence.computed_tokens - part.logit_rows + i;
    const bool in_prompt = position + 1 < sequence.prompt_tokens;
    if (!(in_prompt ? ReportPromptToken(request, position + 1, row)
                    : ReportNextToken(request, row))) {
      return Fail(request);
    }
  }
}

void EngineCore::Publish(Sequence& sequence) {
  if (!prefix_index_) return;
  const size_t block_tokens = pool_.view().block_tokens;
  while ((sequence.published_blocks + 1) * block_tokens <= sequence.computed_tokens) {
    const size_t i = sequence.published_blocks++;
    sequence.ExtendKeys(block_tokens);
    prefix_index_->Publish(sequence.blocks[i], sequence.keys[i],
                           std::span(sequence.tokens).subspan(i * block_tokens, block_tokens));
  }
}

bool EngineCore::ReportPromptToken(LiveRequest& request, size_t position,
                                   std::span<const float> row) {
  Sequence& sequence = request.sequence;
  const int32_t id = sequence.tokens[position];
  const auto top = std::span(top_).first(*sequence.params.prompt_logprobs);
  const auto logprobs = sampler_.Logprobs(row, id, top);
  if (!logprobs) return false;
  sequence.prompt_logprobs_done = position;
  request.observer->OnPromptToken({.position = position,
                                   .id = id,
                                   .logprob = logprobs->chosen,
                                   .top = top.first(logprobs->num_top)});
  return true;
}

bool EngineCore::ReportNextToken(LiveRequest& request, std::span<float> row) {
  Sequence& sequence = request.sequence;
  if (sequence.max_tokens == sequence.prompt_tokens) {  // only the prompt was wanted
    Finish(request, {.reason = FinishReason::kLength});
    return true;
  }
  const bool may_end = sequence.output_tokens() + 1 > sequence.params.min_tokens;
  const std::optional<int32_t> id = sampler_.Sample(
      {.logits = row,
       .params = sequence.params,
       .seed = sequence.seed,
       .tokens = sequence.tokens,
       .forbidden = may_end ? std::span<const int32_t>() : std::span(request.end_ids)});
  if (!id) return false;
  TokenEvent event{.id = *id, .text = {}, .logprob = 0, .top = {}};
  if (sequence.params.logprobs) {
    const auto top = std::span(top_).first(*sequence.params.logprobs);
    const auto logprobs = sampler_.Logprobs(row, *id, top);
    if (!logprobs) return false;
    event.logprob = logprobs->chosen;
    event.top = top.first(logprobs->num_top);
  }
  sequence.tokens.push_back(*id);
  const int64_t now_ns = clock_.NowNs();
  if (request.first_token_ns < 0) {
    request.first_token_ns = now_ns;
    metrics_.first_token_seconds.Observe(Seconds(now_ns - request.submitted_ns));
  }
  request.last_token_ns = now_ns;
  metrics_.output_tokens.Add();

  const bool ends = request.Ends(*id);
  request.decoded.clear();
  request.text.clear();
  if (request.decoder && !ends) request.decoder->Append(*id, request.decoded);
  const bool stops = request.stop_matcher.Feed(request.decoded, may_end, request.text);
  event.text = request.text;
  request.observer->OnToken(event);
  if (ends) {
    Finish(request, {.reason = FinishReason::kStop, .stop_id = *id});
  } else if (stops) {
    Finish(request, {.reason = FinishReason::kStop, .stop_string = request.stop_matcher.matched()});
  } else if (sequence.tokens.size() == sequence.max_tokens) {
    Finish(request, {.reason = FinishReason::kLength});
  }
  return true;
}

void EngineCore::Fail(LiveRequest& request) {
  // The K/V that led here may hold NaN, which no later owner of a block should meet.
  for (size_t i = 0; i < request.sequence.blocks.size(); ++i) {
    const int32_t block = request.sequence.blocks[i];
    if (pool_.num_shares(block) > 1) continue;
    if (prefix_index_) prefix_index_->Withdraw(block);
    pool_.Zero(block);
  }
  metrics_.numerical_errors.Add();
  Finish(request,
         {.reason = FinishReason::kError,
          .status = Internal("numerical_error: the model's logits hold NaN or infinity, or leave "
                             "no token to choose")});
}

void EngineCore::Finish(LiveRequest& request, FinishEvent event) {
  Sequence& sequence = request.sequence;
  const int64_t now_ns = clock_.NowNs();
  request.decoded.clear();
  request.text.clear();
  if (event.stop_string < 0) {
    if (request.decoder) request.decoder->Finish(request.decoded);
    if (!request.stop_matcher.Feed(request.decoded, true, request.text)) {
      request.stop_matcher.Finish(request.text);
    }
  }
  event.text = request.text;
  event.prompt_tokens = sequence.prompt_tokens;
  event.cached_tokens = request.cached_tokens;
  event.output_tokens = sequence.output_tokens();
  event.preemptions = request.preemptions;
  const int64_t started_ns = request.started() ? request.started_ns : now_ns;
  const int64_t first_ns = request.first_token_ns >= 0 ? request.first_token_ns : now_ns;
  event.queue_ns = started_ns - request.submitted_ns;
  event.prompt_ns = first_ns - started_ns;
  event.output_ns = request.first_token_ns >= 0 ? request.last_token_ns - first_ns : 0;
  sequence.DropBlocks();
  request.finished = true;
  metrics_.finished[static_cast<size_t>(event.reason)]->Add();
  request.observer->OnFinish(event);
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
