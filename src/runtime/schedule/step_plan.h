#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace pelton {

constexpr int64_t kNoDeadline = std::numeric_limits<int64_t>::max();

// One sequence as the scheduler sees it.
struct SequenceView {
  size_t known_tokens;     // prompt and output so far, at least 1
  size_t computed_tokens;  // of these, how many are in the KV cache; below known_tokens
  size_t logit_begin;      // positions from here to the last known one want logits
  size_t held_blocks;      // running: blocks that it holds
  // running: blocks that preempting it makes available. Read only if blocks run short: may be left
  // 0 as long as blocks are available for every token of a step and one more per sequence.
  size_t sole_blocks;
  // waiting: leading full blocks that the prefix cache offers, at most logit_begin / block_tokens,
  // and how many of them count as available now.
  size_t cached_blocks;
  size_t cached_idle_blocks;
  int64_t deadline_ns = kNoDeadline;  // waiting: it must have started by then
};

// Everything that a decision depends on besides the budget and the time.
struct ScheduleState {
  std::span<const SequenceView> running;  // oldest arrival first
  std::span<const SequenceView> waiting;  // oldest arrival first
  size_t available_blocks;                // free or idle
  size_t block_tokens;
};

// What one step may hold. Requires: max_sequences <= max_logit_rows.
struct StepBudget {
  size_t max_tokens;
  size_t max_sequences;
  size_t max_logit_rows;
};

// `count` tokens of one sequence, from its first token that is not computed.
struct PlannedRun {
  bool admitted;  // from `waiting`, after taking all of its cached blocks; else from `running`
  size_t index;   // in that list
  size_t count;
};

// What the next step does. Reused from step to step, so that planning does not allocate.
struct StepPlan {
  std::vector<PlannedRun> runs;   // decoding sequences, then prefill, then admissions
  std::vector<size_t> preempted;  // running: give all blocks back and wait again; newest first
  std::vector<size_t> expired;    // waiting: the deadline has passed; oldest first
};

// Plans one step of continuous batching, as a pure function of its arguments:
//  1. Every running sequence with one token to compute (decode), then every one with more
//     (prefill), oldest first, as far as tokens and logit rows last. Prefill thus rides along in
//     chunks on what decoding leaves. Where blocks run short a prefill chunk shrinks; if nothing
//     fits, the newest running sequence is preempted for an older one, never the other way round.
//  2. If nothing was preempted, waiting sequences in order of arrival, until one does not fit. A
//     sequence is admitted only if the blocks for all its known tokens are available beside those
//     that running prompts still need, with one to spare per running sequence: otherwise it
//     would soon be preempted again.
// A waiting sequence whose deadline has passed is reported and never admitted.
// With the precondition below something always progresses: the oldest sequence can take the blocks
// of all others. Requires: the blocks of any one sequence's tokens fit the pool (FitRequest).
void PlanStep(const ScheduleState& state, const StepBudget& budget, int64_t now_ns, StepPlan& plan);

}  // namespace pelton
