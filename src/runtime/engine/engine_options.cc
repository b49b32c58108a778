#include "runtime/engine/engine_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "runtime/speculate/model_drafter.h"

namespace pelton {
namespace {

Status CheckRange(std::string_view option, size_t value, size_t low, size_t high) {
  if (value >= low && value <= high) return OkStatus();
  return InvalidArgument(
      fmt::format("{} is {}, but must be between {} and {}", option, value, low, high));
}

}  // namespace

Result<EngineOptions> ResolveEngineOptions(const EngineOptions& options, const StepLimits& limits,
                                           size_t vocab_size) {
  EngineOptions out = options;
  // Every running sequence gets one token and one row of logits in each step.
  const size_t most_sequences =
      std::min({limits.max_sequences, limits.max_logit_rows, limits.max_tokens});
  if (out.max_sequences == 0) out.max_sequences = most_sequences;
  if (out.max_step_tokens == 0) out.max_step_tokens = limits.max_tokens;
  RETURN_IF_ERROR(CheckRange("max_sequences", out.max_sequences, 1, most_sequences));
  RETURN_IF_ERROR(
      CheckRange("max_step_tokens", out.max_step_tokens, out.max_sequences, limits.max_tokens));
  RETURN_IF_ERROR(CheckRange("max_queued", out.max_queued, 1, 1 << 20));
  RETURN_IF_ERROR(CheckRange("draft_tokens", out.draft_tokens, 1, ModelDrafter::kMaxGuesses));
  RETURN_IF_ERROR(CheckRange("kv_blocks", out.kv_blocks, 1, INT32_MAX));
  RETURN_IF_ERROR(
      CheckRange("eos_ids (their number)", out.eos_ids.size(), 0, EngineOptions::kMaxEosIds));
  for (const int32_t id : out.eos_ids) {
    if (id < 0 || static_cast<size_t>(id) >= vocab_size) {
      return InvalidArgument(
          fmt::format("eos_ids holds token id {}, but the vocabulary has {} ids", id, vocab_size));
    }
  }
  return out;
}

}  // namespace pelton
