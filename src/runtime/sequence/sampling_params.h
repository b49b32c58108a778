#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"

namespace pelton {

struct LogitBias {
  int32_t id;
  float bias;
};

// What a request asks for beyond its prompt. The defaults change nothing about the model's own
// distribution; runtime/sample/sampler.h gives the order in which the filters act.
struct SamplingParams {
  static constexpr size_t kMaxLogprobs = 100;
  static constexpr size_t kMaxLogitBiases = 1024;
  static constexpr size_t kMaxStopIds = 256;
  static constexpr size_t kMaxStopStrings = 64;
  static constexpr size_t kMaxStopStringBytes = 1024;

  float temperature = 1.0f;  // below 0.001: the most probable token, unfiltered. 0 to 100
  uint32_t top_k = 0;        // keep the k most probable tokens; 0: all
  float top_p = 1.0f;        // keep the fewest tokens whose probability reaches p. (0, 1]
  float min_p = 0.0f;        // drop tokens below min_p times the most probable one. [0, 1]
  float typical_p = 1.0f;    // keep the locally typical tokens that exceed p. (0, 1]

  float repetition_penalty = 1.0f;  // logits of seen tokens: / r if positive, else * r. 0.01 to 100
  float presence_penalty = 0.0f;    // subtracted once from seen tokens. -100 to 100
  float frequency_penalty = 0.0f;   // subtracted for each time that a token was seen. -100 to 100
  int32_t penalty_window = 64;  // "seen": in the last so many tokens of prompt and output; -1: all

  std::vector<LogitBias> logit_bias;  // added to the logits; -100 to 100

  std::optional<uint64_t> seed;  // absent: chosen by the engine

  // Absent: until the context is full. 0: the prompt is computed and nothing is generated.
  std::optional<uint32_t> max_tokens;
  uint32_t min_tokens = 0;  // before that many tokens neither stop ids nor stop strings end it

  std::vector<std::string> stop_strings;
  std::vector<int32_t> stop_ids;
  bool ignore_eos = false;  // the model's own end tokens do not stop; stop_ids still do

  // Absent: none. N: the chosen token's log-probability and the N most probable tokens.
  std::optional<uint32_t> logprobs;
  std::optional<uint32_t> prompt_logprobs;

  // InvalidArgument naming the first field that is not finite, out of its range, too long, or holds
  // an id outside [0, vocab_size).
  Status Validate(size_t vocab_size) const;
};

}  // namespace pelton
