#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "graph/execute/step_executor.h"
#include "runtime/engine/constrained_output.h"
#include "runtime/engine/engine_options.h"
#include "runtime/engine/request.h"
#include "runtime/sequence/sequence.h"
#include "runtime/sequence/stop_matcher.h"
#include "runtime/speculate/model_drafter.h"
#include "runtime/speculate/ngram_drafter.h"

namespace pelton {

// A request inside the engine: its sequence, and everything that turns tokens into events. Made on
// the caller's thread, then owned by the engine thread.
struct LiveRequest {
  explicit LiveRequest(Request request);

  bool started() const { return started_ns >= 0; }
  // How many guesses are worth a row of the next step each, and the first `count` of them. Tokens
  // that a constraint foresees; without one, those of the drafter: the masks of such guesses would
  // hold up the step that they are to speed up.
  size_t WorthDrafting(const StepCost& cost, const StepShape& decoding) const;
  std::span<const int32_t> Drafts(size_t count) const;
  // Whether `id` ends the output.
  bool Ends(int32_t id) const;

  Sequence sequence;
  std::unique_ptr<TextDecoder> decoder;
  std::unique_ptr<RequestObserver> observer;
  StopMatcher stop_matcher;
  ConstrainedOutput output;
  ReasoningLimit reasoning;
  std::vector<int32_t> end_ids;  // the model's end tokens, unless ignored, and the stop ids
  int64_t start_deadline_ns;
  ServiceClass service_class;  // more urgent than asked for once it has waited for long
  std::string tenant;
  double tenant_weight;
  uint32_t tenant_place = 0;  // in the engine's TenantLedger
  int64_t since_ns = 0;       // when it was queued, preempted or given its last tokens

  NgramDrafter ngram_drafter;
  ModelDrafter model_drafter;
  Drafter* drafter = &ngram_drafter;  // the one that is asked
  size_t accepted_drafts = 0;
  size_t rejected_drafts = 0;

  std::string decoded;  // scratch: a token's text before, and
  std::string text;     // after stop strings were looked for

  size_t cached_tokens = 0;
  size_t preemptions = 0;
  int64_t submitted_ns = 0;
  int64_t started_ns = -1;      // first step; -1: still waiting
  int64_t first_token_ns = -1;  // -1: none yet
  int64_t last_token_ns = -1;
  bool finished = false;
  bool ended_whole = false;  // by its own end or length
};

// What a request is checked against and prepared with. Any thread may read it.
struct RequestLimits {
  const EngineOptions& options;  // resolved
  const StepLimits& step;
  KvCacheView geometry;
  size_t vocab_size;
};

// Validates a request, reserves all memory that its sequence will use, and hashes its prompt for
// the prefix cache. InvalidArgument or ResourceExhausted, naming the field or both numbers. The
// sequence's id, and its seed if it has none, are for the engine to set. Any thread.
Result<std::unique_ptr<LiveRequest>> PrepareRequest(Request request, const RequestLimits& limits);

}  // namespace pelton
