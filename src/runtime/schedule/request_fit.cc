#include "runtime/schedule/request_fit.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/checked_math.h"

namespace pelton {

Result<size_t> FitRequest(size_t prompt_tokens, std::optional<uint32_t> max_new_tokens,
                          const FitLimits& limits) {
  if (prompt_tokens == 0) return InvalidArgument("the prompt has no tokens");
  const size_t least_new = max_new_tokens == uint32_t{0} ? 0 : 1;
  if (prompt_tokens > limits.max_context) {
    return InvalidArgument(fmt::format("the prompt has {} tokens, but the context holds {}",
                                       prompt_tokens, limits.max_context));
  }
  if (prompt_tokens + least_new > limits.max_context) {
    return InvalidArgument(
        fmt::format("the prompt has {} tokens, which leaves no room for an answer in the context "
                    "of {}",
                    prompt_tokens, limits.max_context));
  }
  const size_t pool_tokens =
      CheckedMul(limits.num_blocks, limits.block_tokens).value_or(limits.max_context);
  const size_t most = std::min(limits.max_context, pool_tokens);
  const size_t asked = max_new_tokens ? *max_new_tokens : least_new;
  const size_t needed = std::min(limits.max_context, prompt_tokens + asked);
  if (needed > pool_tokens) {
    return ResourceExhausted(fmt::format(
        "the request needs {} KV blocks for {} tokens, but there are {} of {} tokens each",
        DivUp(needed, limits.block_tokens), needed, limits.num_blocks, limits.block_tokens));
  }
  return max_new_tokens ? needed : most;
}

}  // namespace pelton
