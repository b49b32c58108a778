#include "runtime/engine/live_request.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/checked_math.h"
#include "runtime/schedule/request_fit.h"
#include "runtime/speculate/draft_worth.h"

namespace pelton {

LiveRequest::LiveRequest(Request request)
    : decoder(std::move(request.decoder)),
      observer(std::move(request.observer)),
      stop_matcher(request.params.stop_strings),
      output(std::move(request.constraint)),
      reasoning(std::move(request.reasoning_budget)),
      start_deadline_ns(request.start_deadline_ns),
      service_class(request.service_class),
      tenant(std::move(request.tenant)),
      tenant_weight(request.tenant_weight) {
  sequence.params = std::move(request.params);
  sequence.tokens = std::move(request.prompt_ids);
  sequence.prompt_tokens = sequence.tokens.size();
  decoded.reserve(256);
  text.reserve(256 + SamplingParams::kMaxStopStringBytes);
}

size_t LiveRequest::WorthDrafting(const StepCost& cost, const StepShape& decoding) const {
  if (!output.constrained()) return drafter->WorthDrafting(sequence.tokens, cost, decoding);
  const double least = LeastProbability(sequence.tokens.size(), cost, decoding);
  size_t count = 0;
  double probability = output.right();
  for (; count < output.guesses().size() && probability >= least; ++count) {
    probability *= output.right();
  }
  return count;
}

std::span<const int32_t> LiveRequest::Drafts(size_t count) const {
  return output.constrained() ? output.guesses().first(count)
                              : drafter->Drafts(sequence.tokens, count);
}

bool LiveRequest::Ends(int32_t id) const {
  return std::find(end_ids.begin(), end_ids.end(), id) != end_ids.end();
}

Result<std::unique_ptr<LiveRequest>> PrepareRequest(Request request, const RequestLimits& limits) {
  PELTON_CHECK(request.observer != nullptr, "somebody waits for the answer");
  PELTON_CHECK(request.tenant_weight > 0, "a tenant has a share");
  RETURN_IF_ERROR(request.params.Validate(limits.vocab_size));
  for (const int32_t id : request.prompt_ids) {
    if (id < 0 || static_cast<size_t>(id) >= limits.vocab_size) {
      return InvalidArgument(fmt::format(
          "the prompt holds token id {}, but the vocabulary has {} ids", id, limits.vocab_size));
    }
  }
  if (!request.params.stop_strings.empty() && request.decoder == nullptr) {
    return InvalidArgument("stop needs text, but this request has no decoder");
  }
  const size_t block_tokens = limits.geometry.block_tokens;
  ASSIGN_OR_RETURN(const size_t max_tokens,
                   FitRequest(request.prompt_ids.size(), request.params.max_tokens,
                              {.max_context = limits.step.max_context,
                               .num_blocks = limits.geometry.num_blocks,
                               .block_tokens = block_tokens}));
  const std::string salt = std::move(request.cache_salt);
  auto live = std::make_unique<LiveRequest>(std::move(request));
  Sequence& sequence = live->sequence;
  sequence.max_tokens = max_tokens;
  sequence.seed = sequence.params.seed.value_or(0);
  if (!sequence.params.ignore_eos) live->end_ids = limits.options.eos_ids;
  live->end_ids.insert(live->end_ids.end(), sequence.params.stop_ids.begin(),
                       sequence.params.stop_ids.end());
  live->output.Reserve(limits.vocab_size, limits.options.speculate);
  sequence.tokens.reserve(max_tokens);
  sequence.blocks.Reserve(DivUp(max_tokens, block_tokens));
  if (limits.options.prefix_cache) {
    sequence.keys.reserve(max_tokens / block_tokens);
    sequence.root_key = RootBlockKey({.model_fingerprint = limits.options.model_fingerprint,
                                      .salt = salt,
                                      .geometry = limits.geometry});
    sequence.last_key = sequence.root_key;
    sequence.ExtendKeys(block_tokens);
  }
  return live;
}

}  // namespace pelton
