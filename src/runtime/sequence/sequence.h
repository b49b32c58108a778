#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "runtime/kv/block_table.h"
#include "runtime/kv/prefix_hash.h"
#include "runtime/sequence/sampling_params.h"

namespace pelton {

// One token stream and what of it is in the KV cache. The first prompt_tokens of `tokens` are the
// prompt, the rest was generated. Positions below computed_tokens have their K/V in `blocks`.
// Invariants: computed_tokens <= tokens.size() <= max_tokens; blocks.size() covers computed_tokens.
struct Sequence {
  uint64_t id = 0;  // ascends with arrival
  SamplingParams params;
  uint64_t seed = 0;

  std::vector<int32_t> tokens;
  size_t prompt_tokens = 0;
  size_t max_tokens = 0;  // of prompt and output together
  // Whether the K/V of the prompt is not that of the same tokens when they were generated.
  bool prompt_differs = false;

  size_t computed_tokens = 0;
  BlockTable blocks;
  size_t published_blocks = 0;  // leading blocks that the prefix index was told of or that it gave
  size_t drafted_tokens = 0;    // leading tokens that a draft model of its own has read

  BlockKey root_key;           // the parent of the first block
  BlockKey last_key;           // of the last block in `keys`, or the root
  std::vector<BlockKey> keys;  // of the full blocks of `tokens`, as far as they were needed

  size_t prompt_logprobs_done = 0;  // prompt tokens 1 to this were reported

  size_t output_tokens() const { return tokens.size() - prompt_tokens; }

  // The first position whose logits are wanted: a position's logits tell the next token, so for
  // prompt log-probabilities every unreported prompt position counts, and otherwise only the last
  // known token. Requires: tokens is not empty.
  size_t LogitBegin() const {
    const bool reports = params.prompt_logprobs && prompt_logprobs_done + 1 < prompt_tokens;
    return reports ? prompt_logprobs_done : tokens.size() - 1;
  }

  // Whether the next token to compute is of the prompt.
  bool computes_prompt() const { return computed_tokens < prompt_tokens; }

  // Hashes the blocks that the known tokens fill. O(tokens / block_tokens) new hashes.
  void ExtendKeys(size_t block_tokens) {
    while ((keys.size() + 1) * block_tokens <= tokens.size()) {
      const size_t begin = keys.size() * block_tokens;
      std::optional<uint32_t> prompt;
      if (prompt_differs && begin + block_tokens > prompt_tokens) {
        prompt = static_cast<uint32_t>(prompt_tokens - std::min(prompt_tokens, begin));
      }
      last_key = ChainBlockKey(last_key, std::span(tokens).subspan(begin, block_tokens), prompt);
      keys.push_back(last_key);
    }
  }

  // Begins behind the cached blocks that it holds.
  void BeginBehind(size_t cached_blocks, size_t block_tokens) {
    published_blocks = cached_blocks;
    computed_tokens = drafted_tokens = cached_blocks * block_tokens;
  }

  // Forgets everything that was computed and gives the blocks back; the tokens stay.
  void DropBlocks() {
    blocks.Clear();
    BeginBehind(0, 0);
  }
};

}  // namespace pelton
