#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "graph/execute/step_executor.h"
#include "runtime/kv/prefix_store.h"
#include "runtime/profile/profile_recorder.h"
#include "runtime/schedule/service_class.h"

namespace pelton {

struct EngineOptions {
  static constexpr size_t kMaxEosIds = 256;

  size_t max_step_tokens = 0;    // prefill rides along in chunks of this; 0: what the plan allows
  size_t max_sequences = 0;      // that run at once; 0: what the plan allows
  size_t kv_blocks = 0;          // of the KV cache; at least 1
  bool prefix_cache = true;      // share the K/V of equal beginnings
  size_t max_queued = 1024;      // requests that wait; more are refused
  std::vector<int32_t> eos_ids;  // tokens with which the model ends its answer
  uint64_t seed = 0;             // from which requests without a seed get theirs
  bool speculate = true;         // check guesses at the next tokens where that pays
  size_t draft_tokens = 3;       // that a draft model guesses in a row, at most; 1 to 8
  ClassPolicies policies = kDefaultPolicies;
  int64_t gather_ns = 0;         // an idle engine waits so long for more requests to start with
  size_t touch_ahead_bytes = 0;  // of the KV cache's memory, made ready while nobody waits
  ProfileRecorder* profile = nullptr;  // borrowed; told of steps and requests while it is active
  std::string model_fingerprint;       // part of every cache key: what else K/V depends on
  // Borrowed; from where the prefix cache comes, and where it goes at the engine's end. May be
  // null.
  PrefixStore* store = nullptr;
  ModelFingerprint store_fingerprint = {};  // what the store's blocks depend on, on any machine
};

// The options with defaults filled in. InvalidArgument naming the option that is out of range of
// the plan's limits, with both numbers.
Result<EngineOptions> ResolveEngineOptions(const EngineOptions& options, const StepLimits& limits,
                                           size_t vocab_size);

}  // namespace pelton
