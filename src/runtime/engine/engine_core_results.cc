#include <utility>

#include "base/check.h"
#include "base/checked_math.h"
#include "runtime/engine/engine_core.h"
#include "runtime/sample/row_scan.h"

// What a step's logits become: tokens, events and ends.

namespace pelton {
void EngineCore::StartMasks() {
  to_fill_.clear();
  for (const StepPart& part : parts_) {
    const ConstrainedOutput& output = part.request->output;
    if (output.constrained() && !output.filled() && part.logit_rows > 0) {
      to_fill_.push_back(&part.request->output);
    }
  }
  mask_filler_.Start(to_fill_);
}

bool EngineCore::AdvanceConstraint(LiveRequest& request, int32_t id) {
  ConstrainedOutput& output = request.output;
  // Whether anything may follow is known from the next mask, which is worth its time only here.
  if (output.Accept(id) && output.MayEnd() && !output.filled()) output.Fill();
  if (!output.sound()) {
    Finish(request, {.reason = FinishReason::kError,
                     .status = Internal("the output's constraint could not be followed")});
    return true;
  }
  if (!output.filled() || !output.IsExhausted()) return false;
  Finish(request, {.reason = FinishReason::kStop});
  return true;
}

void EngineCore::FinishPart(const StepPart& part, std::span<float> logits) {
  LiveRequest& request = *part.request;
  Sequence& sequence = request.sequence;
  if (!part.drafts.empty()) return FinishDrafts(part, logits);
  sequence.computed_tokens += part.count;
  request.since_ns = clock_.NowNs();
  Publish(sequence);
  const size_t vocab_size = executor_.vocab_size();
  for (size_t i = 0; i < part.logit_rows; ++i) {
    const std::span<float> row =
        logits.subspan((part.first_logit_row + i) * vocab_size, vocab_size);
    const size_t position = sequence.computed_tokens - part.logit_rows + i;
    const bool in_prompt = position + 1 < sequence.prompt_tokens;
    if (!(in_prompt ? ReportPromptToken(request, position + 1, row)
                    : ReportNextToken(request, row))) {
      return Fail(request);
    }
  }
}

// A row's token is drawn as ever, from the row's logits at its own position of the random stream.
// As long as it is the one that was guessed, the next row holds what would have been computed next.
void EngineCore::FinishDrafts(const StepPart& part, std::span<float> logits) {
  LiveRequest& request = *part.request;
  Sequence& sequence = request.sequence;
  const size_t vocab_size = executor_.vocab_size();
  const auto row = [&](size_t i) {
    return logits.subspan((part.first_logit_row + i) * vocab_size, vocab_size);
  };
  const size_t block_tokens = pool_.view().block_tokens;
  request.since_ns = clock_.NowNs();
  metrics_.drafted_tokens.Add(part.drafts.size());
  // A wrong guess may lead to NaN that the right token would not: it must not stay in the cache.
  // If the guess is right, its row of logits fails the request.
  for (size_t i = 1; i <= part.drafts.size(); ++i) {
    if (FiniteMax(row(i))) continue;
    size_t offset = (sequence.computed_tokens + i) % block_tokens;
    for (size_t block = (sequence.computed_tokens + i) / block_tokens;
         block < sequence.blocks.size(); ++block) {
      pool_.ZeroFrom(sequence.blocks[block], std::exchange(offset, 0));
    }
    break;
  }
  request.rejected_drafts += part.drafts.size();  // until they are found right
  for (size_t i = 0;; ++i) {
    // Taken now: once a constraint's guess is wrong, it may look ahead anew.
    const int32_t guess = i < part.drafts.size() ? part.drafts[i] : -1;
    ++sequence.computed_tokens;
    Publish(sequence);
    if (!ReportNextToken(request, row(i))) return Fail(request);
    if (request.finished) return;
    if (sequence.tokens.back() != guess) break;
    ++request.accepted_drafts;
    --request.rejected_drafts;
    metrics_.accepted_drafts.Add();
  }
  sequence.blocks.Truncate(DivUp(sequence.computed_tokens, block_tokens));
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
  ConstrainedOutput& output = request.output;
  std::span<uint32_t> mask;
  if (output.constrained()) {
    PELTON_CHECK(output.filled(), "masks are filled while the step runs, or before it for drafts");
    if (!output.sound()) return false;
    mask = output.mask();
    if (output.MayEnd()) {
      for (const int32_t end : request.end_ids) {
        mask[static_cast<size_t>(end) / 32] |= 1u << (end % 32);
      }
    }
  }
  std::optional<int32_t> id = sampler_.Sample(
      {.logits = row,
       .params = sequence.params,
       .seed = sequence.seed,
       .tokens = sequence.tokens,
       .forbidden = may_end ? std::span<const int32_t>() : std::span(request.end_ids),
       .allowed = mask});
  if (!id) return false;
  if (const std::optional<int32_t> forced = request.reasoning.Forced()) {
    const auto word = static_cast<size_t>(*forced) / 32;
    // A constraint goes before: the reasoning is closed once it allows that.
    if (mask.empty() || (mask[word] >> (*forced % 32) & 1) != 0) id = forced;
  }
  TokenEvent event{.id = *id, .text = {}, .logprob = 0, .top = {}};
  if (sequence.params.logprobs) {
    const auto top = std::span(top_).first(*sequence.params.logprobs);
    const auto logprobs = sampler_.Logprobs(row, *id, top);
    if (!logprobs) return false;
    event.logprob = logprobs->chosen;
    event.top = top.first(logprobs->num_top);
  }
  request.reasoning.Advance(*id);
  sequence.tokens.push_back(*id);
  const int64_t now_ns = clock_.NowNs();
  if (request.first_token_ns < 0) {
    request.first_token_ns = now_ns;
    metrics_.first_token_seconds.Observe(ToSeconds(now_ns - request.submitted_ns));
  } else {
    metrics_.inter_token_seconds.Observe(ToSeconds(now_ns - request.last_token_ns));
  }
  request.last_token_ns = now_ns;
  metrics_.output_tokens.Add();
  if (options_.speculate) request.drafter->Advance(sequence.tokens);
  tenants_.Charge(request.tenant_place, TenantLedger::kOutputToken);

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
  } else if (output.constrained() && AdvanceConstraint(request, *id)) {
    return true;
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
  event.accepted_drafts = request.accepted_drafts;
  event.rejected_drafts = request.rejected_drafts;
  const int64_t started_ns = request.started() ? request.started_ns : now_ns;
  const int64_t first_ns = request.first_token_ns >= 0 ? request.first_token_ns : now_ns;
  event.queue_ns = started_ns - request.submitted_ns;
  event.prompt_ns = first_ns - started_ns;
  event.output_ns = request.first_token_ns >= 0 ? request.last_token_ns - first_ns : 0;
  tenants_.Leave(request.tenant_place);
  if (event.output_tokens > 0) {
    mean_output_tokens_ += 0.05 * (static_cast<double>(event.output_tokens) - mean_output_tokens_);
  }
  request.finished = true;
  metrics_.finished[static_cast<size_t>(event.reason)]->Add();
  if (request.started()) metrics_.ObserveFinished(event, sequence.params.max_tokens);
  if (options_.profile != nullptr && options_.profile->active()) {
    options_.profile->OnRequest({.id = sequence.id,
                                 .submitted_ns = request.submitted_ns,
                                 .started_ns = request.started_ns,
                                 .first_token_ns = request.first_token_ns,
                                 .end_ns = now_ns,
                                 .prompt_tokens = event.prompt_tokens,
                                 .cached_tokens = event.cached_tokens,
                                 .output_tokens = event.output_tokens});
  }
  request.ended_whole =
      event.reason == FinishReason::kStop || event.reason == FinishReason::kLength;
  request.observer->OnFinish(event);
}

}  // namespace pelton
