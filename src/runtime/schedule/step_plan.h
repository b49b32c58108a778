#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "runtime/schedule/service_class.h"
#include "runtime/schedule/step_cost.h"
#include "runtime/schedule/tenant_ledger.h"

namespace pelton {

constexpr int64_t kNoDeadline = std::numeric_limits<int64_t>::max();

// One sequence as the scheduler sees it.
struct SequenceView {
  size_t known_tokens;     // prompt and output so far, at least 1
  size_t computed_tokens;  // of these, how many are in the KV cache; below known_tokens
  size_t logit_begin;      // positions from here to the last known one want logits
  size_t held_blocks;      // running: blocks that it holds, of computed and further tokens
  // running: blocks that preempting it makes available. Read only if blocks run short: may be left
  // 0 as long as blocks are available for every token of a step and one more per sequence.
  size_t sole_blocks;
  // waiting: leading full blocks that the prefix cache offers, at most logit_begin / block_tokens,
  // and how many of them count as available now.
  size_t cached_blocks;
  size_t cached_idle_blocks;
  int64_t deadline_ns = kNoDeadline;  // waiting: it must have started by then
  ServiceClass service_class = ServiceClass::kStandard;
  uint32_t tenant = 0;      // place in ScheduleState::tenants
  int64_t since_ns = 0;     // waiting: since when; running: when it got its last tokens
  size_t draft_tokens = 0;  // running: guesses at the tokens after the known ones
  size_t border = 0;        // no run goes over this position: the tokens before it are others
};

// Everything that a decision depends on besides the budget and the time.
struct ScheduleState {
  std::span<const SequenceView> running;  // oldest arrival first
  std::span<const SequenceView> waiting;  // oldest arrival first
  size_t available_blocks;                // free or idle
  size_t block_tokens;
  std::span<const TenantShare> tenants = {};  // of all sequences; empty: one tenant
  // When a realtime request came last: while more are expected, no step shall be so long that the
  // next one waits.
  int64_t last_realtime_ns = kNever;

  static constexpr int64_t kNever = std::numeric_limits<int64_t>::min();
};

// What one step may hold. Requires: max_sequences <= max_logit_rows.
struct StepBudget {
  size_t max_tokens;
  size_t max_sequences;
  size_t max_logit_rows;
  StepCost cost = {};  // unknown: promises are not looked at
  ClassPolicies policies = kDefaultPolicies;
  // Tokens of a prompt that run in a step even if a promise is broken for them: fewer would cost
  // almost the time of a whole step.
  size_t min_chunk = 16;
  // With nothing running, how long requests may gather for a first step, as far as their classes
  // allow; 0: not at all.
  int64_t gather_ns = 0;
};

// `count` tokens of one sequence, from its first token that is not computed.
struct PlannedRun {
  bool admitted;      // from `waiting`, after taking all of its cached blocks; else from `running`
  size_t index;       // in that list
  size_t count;       // drafts not included
  size_t drafts = 0;  // guessed tokens that follow them
};

// What the next step does. Reused from step to step, so that planning does not allocate.
struct StepPlan {
  std::vector<PlannedRun> runs;   // decoding sequences, then prefill, then admissions
  std::vector<size_t> preempted;  // running: give all blocks back and wait again
  std::vector<size_t> expired;    // waiting: the deadline has passed; oldest first
  StepShape shape;                // of all runs, drafts included
  int64_t wake_ns = 0;            // nothing is to be done before this time unless something arrives

  void Reserve(size_t max_running, size_t max_waiting);

  // Scratch of PlanStep.
  std::vector<size_t> order;
  std::vector<uint8_t> gone;
  std::vector<double> served;
};

// Plans one step of continuous batching, as a pure function of its arguments. Running sequences are
// ranked by class, then by arrival.
//  1. Every running sequence with one token to compute (decode), then every one with more
//     (prefill), by rank, as far as tokens and logit rows last. Prefill thus rides along in chunks
//     on what decoding leaves. Where blocks run short a prefill chunk shrinks; if nothing fits, the
//     running sequence of the lowest rank is preempted for one of a higher rank, never the other
//     way round.
//  2. Promises: while a sequence decodes whose class promises a step time, or realtime requests are
//     expected, chunks shrink until the predicted time of the step keeps it, and decoding sequences
//     of batch and background pause. The promise is at least 1.5 times what the decoding rows of
//     realtime and standard take alone. Exempt are, so that everything goes on: min_chunk tokens of
//     one realtime or standard prompt, and of whatever got nothing for its class's ageing time.
//  3. If nothing was preempted, waiting sequences in the order of AdmissionQueue, until one does
//  not fit. A
//     sequence is admitted only if the blocks for all its known tokens are available beside those
//     that running prompts still need, with one to spare per running sequence: otherwise it would
//     soon be preempted again. If place or blocks lack, running sequences of less urgent classes
//     are preempted for it, the lowest rank first, but only if that helps.
//  4. Drafts of decoding sequences on what is left, without preempting and within the promise.
// A waiting sequence whose deadline has passed is reported and never admitted.
// With the precondition below something always progresses: the sequence of the highest rank can
// take the blocks of all others. Requires: the blocks of any one sequence's tokens fit the pool
// (FitRequest).
void PlanStep(const ScheduleState& state, const StepBudget& budget, int64_t now_ns, StepPlan& plan);

}  // namespace pelton
