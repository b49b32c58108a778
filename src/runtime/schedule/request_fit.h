#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/status.h"

namespace pelton {

struct FitLimits {
  size_t max_context;  // positions that the model's plan covers
  size_t num_blocks;   // of the KV pool
  size_t block_tokens;
};

// How many tokens, prompt and output together, a request may grow to; so that a request that could
// never finish is refused before it waits. max_new_tokens absent: as many as fit, at least one.
// What a request asks for beyond the context is not an error: it ends there with "length".
// InvalidArgument with both lengths if the prompt leaves no room in the context for what must be
// generated; ResourceExhausted with both numbers if the pool has too few blocks.
Result<size_t> FitRequest(size_t prompt_tokens, std::optional<uint32_t> max_new_tokens,
                          const FitLimits& limits);

}  // namespace pelton
