#include "runtime/schedule/step_plan.h"

#include <algorithm>

#include "base/check.h"
#include "base/checked_math.h"

namespace pelton {
namespace {

// The state of one call: what is left of the budget and the blocks, and how many of the running
// sequences still run.
class Planner {
 public:
  Planner(const ScheduleState& state, const StepBudget& budget, StepPlan& plan)
      : state_(state),
        budget_(budget),
        plan_(plan),
        tokens_left_(budget.max_tokens),
        rows_left_(budget.max_logit_rows),
        available_blocks_(state.available_blocks),
        num_running_(state.running.size()) {}

  void PlanRunning() {
    for (size_t i = 0; i < num_running_; ++i) {
      if (Pending(state_.running[i]) == 1) PlanOneRunning(i);
    }
    for (size_t i = 0; i < num_running_; ++i) {
      if (Pending(state_.running[i]) > 1) PlanOneRunning(i);
    }
  }

  void PlanWaiting(int64_t now_ns) {
    bool admitting = plan_.preempted.empty();
    size_t promised_blocks = 0;  // running prompts will need them in later steps
    for (size_t i = 0; i < num_running_; ++i) {
      const SequenceView& sequence = state_.running[i];
      promised_blocks += BlocksFor(sequence.known_tokens) - sequence.held_blocks;
    }
    for (const PlannedRun& run : plan_.runs) {
      const SequenceView& sequence = state_.running[run.index];
      promised_blocks -= NewBlocks(sequence, sequence.held_blocks, run.count);
    }
    size_t running_after = num_running_;
    for (size_t i = 0; i < state_.waiting.size(); ++i) {
      const SequenceView& sequence = state_.waiting[i];
      if (now_ns > sequence.deadline_ns) {
        plan_.expired.push_back(i);
        continue;
      }
      if (!admitting) continue;
      SequenceView start = sequence;
      start.computed_tokens = sequence.cached_blocks * state_.block_tokens;
      const size_t all_blocks = BlocksFor(sequence.known_tokens) - sequence.cached_blocks;
      const size_t needed =
          all_blocks + sequence.cached_idle_blocks + promised_blocks + running_after;
      const size_t count = LimitCount(start);
      if (running_after >= budget_.max_sequences || needed > available_blocks_ || count == 0) {
        admitting = false;
        continue;
      }
      const size_t now_blocks = NewBlocks(start, sequence.cached_blocks, count);
      Charge(start, count);
      available_blocks_ -= now_blocks + sequence.cached_idle_blocks;
      promised_blocks += all_blocks - now_blocks;
      ++running_after;
      plan_.runs.push_back({.admitted = true, .index = i, .count = count});
    }
  }

 private:
  static size_t Pending(const SequenceView& s) { return s.known_tokens - s.computed_tokens; }

  size_t BlocksFor(size_t tokens) const { return DivUp(tokens, state_.block_tokens); }

  size_t NewBlocks(const SequenceView& s, size_t held_blocks, size_t count) const {
    return BlocksFor(s.computed_tokens + count) - held_blocks;
  }

  // Logit rows of the next `count` tokens: those at positions from logit_begin on.
  static size_t Rows(const SequenceView& s, size_t count) {
    const size_t end = s.computed_tokens + count;
    return end - std::min(end, std::max(s.computed_tokens, s.logit_begin));
  }

  // How many of a sequence's pending tokens the rest of the budget takes.
  size_t LimitCount(const SequenceView& s) const {
    const size_t end_by_rows = std::max(s.computed_tokens, s.logit_begin) + rows_left_;
    return std::min({Pending(s), tokens_left_, end_by_rows - s.computed_tokens});
  }

  void Charge(const SequenceView& s, size_t count) {
    tokens_left_ -= count;
    rows_left_ -= Rows(s, count);
  }

  void PlanOneRunning(size_t index) {
    const SequenceView& sequence = state_.running[index];
    size_t count = LimitCount(sequence);
    if (count == 0) return;
    while (NewBlocks(sequence, sequence.held_blocks, count) > available_blocks_) {
      const size_t room = (sequence.held_blocks + available_blocks_) * state_.block_tokens -
                          sequence.computed_tokens;
      if (room > 0) {
        count = std::min(count, room);
      } else if (index + 1 < num_running_) {
        PreemptNewest();
      } else {
        // Everything newer is preempted, or this is the newest: it keeps its blocks and waits for
        // the next step, when blocks that two preempted sequences shared are counted, too.
        return;
      }
    }
    available_blocks_ -= NewBlocks(sequence, sequence.held_blocks, count);
    Charge(sequence, count);
    plan_.runs.push_back({.admitted = false, .index = index, .count = count});
  }

  void PreemptNewest() {
    const size_t victim = --num_running_;
    const SequenceView& sequence = state_.running[victim];
    const auto planned = std::find_if(plan_.runs.begin(), plan_.runs.end(),
                                      [&](const PlannedRun& run) { return run.index == victim; });
    if (planned != plan_.runs.end()) {
      available_blocks_ += NewBlocks(sequence, sequence.held_blocks, planned->count);
      tokens_left_ += planned->count;
      rows_left_ += Rows(sequence, planned->count);
      plan_.runs.erase(planned);
    }
    available_blocks_ += sequence.sole_blocks;
    plan_.preempted.push_back(victim);
  }

  const ScheduleState& state_;
  const StepBudget& budget_;
  StepPlan& plan_;
  size_t tokens_left_;
  size_t rows_left_;
  size_t available_blocks_;
  size_t num_running_;
};

}  // namespace

void PlanStep(const ScheduleState& state, const StepBudget& budget, int64_t now_ns,
              StepPlan& plan) {
  PELTON_CHECK(budget.max_sequences <= budget.max_logit_rows,
               "every sequence of a step can have its logits");
  plan.runs.clear();
  plan.preempted.clear();
  plan.expired.clear();
  Planner planner(state, budget, plan);
  planner.PlanRunning();
  planner.PlanWaiting(now_ns);
}

}  // namespace pelton
