#include "runtime/schedule/step_plan.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/checked_math.h"
#include "runtime/schedule/admission_queue.h"

namespace pelton {
namespace {

constexpr int64_t kRealtimeExpectedNs = 10'000'000'000;  // after the last one
constexpr double kDecodeSlack = 1.5;  // a promise below what decoding takes alone cannot be kept

size_t ClassIndex(const SequenceView& s) { return static_cast<size_t>(s.service_class); }

bool GivesWay(const SequenceView& s) { return s.service_class >= ServiceClass::kBatch; }

// The state of one call: what is left of the budget and the blocks, and which of the running
// sequences still run.
class Planner {
 public:
  Planner(const ScheduleState& state, const StepBudget& budget, int64_t now_ns, StepPlan& plan)
      : state_(state),
        budget_(budget),
        now_ns_(now_ns),
        plan_(plan),
        tokens_left_(budget.max_tokens),
        rows_left_(budget.max_logit_rows),
        available_blocks_(state.available_blocks),
        num_running_(state.running.size()) {
    plan_.gone.assign(num_running_, 0);
    plan_.order.clear();
    for (size_t i = 0; i < num_running_; ++i) plan_.order.push_back(i);
    std::sort(plan_.order.begin(), plan_.order.end(), [&](size_t a, size_t b) {
      const ServiceClass x = state.running[a].service_class, y = state.running[b].service_class;
      return x < y || (x == y && a < b);
    });
    FindPromise();
  }

  void PlanRunning() {
    for (const bool prefill : {false, true}) {
      for (const size_t i : plan_.order) {
        if (!plan_.gone[i] && (Pending(state_.running[i]) > 1) == prefill) PlanOneRunning(i);
      }
    }
  }

  void PlanWaiting() {
    for (size_t i = 0; i < state_.waiting.size(); ++i) {
      if (now_ns_ > state_.waiting[i].deadline_ns) plan_.expired.push_back(i);
    }
    if (!plan_.preempted.empty() || Gathers()) return;
    FindPromisedBlocks();
    AdmissionQueue queue(state_, budget_.policies, now_ns_, plan_.served);
    size_t admitted = 0;
    while (admitted < budget_.max_sequences) {
      const std::span<const size_t> before = std::span(plan_.order).subspan(state_.running.size());
      const std::optional<size_t> next = queue.Next(before);
      if (!next || !Admit(*next)) break;
      plan_.order.push_back(*next);
      ++admitted;
    }
  }

  void PlanDrafts() {
    for (PlannedRun& run : plan_.runs) {
      if (run.admitted) continue;
      const SequenceView& sequence = state_.running[run.index];
      if (sequence.draft_tokens == 0 || run.count != 1 || Pending(sequence) != 1) continue;
      if (sequence.computed_tokens < sequence.border) continue;
      size_t count = std::min({sequence.draft_tokens, tokens_left_, rows_left_});
      const size_t held = std::max(BlocksFor(sequence.known_tokens), sequence.held_blocks);
      const size_t room = (held + available_blocks_) * state_.block_tokens - sequence.known_tokens;
      count = FitPromise(sequence.known_tokens, std::min(count, room), true);
      if (count == 0) continue;
      available_blocks_ -= std::max(BlocksFor(sequence.known_tokens + count), held) - held;
      tokens_left_ -= count;
      rows_left_ -= count;
      plan_.shape.Add(sequence.known_tokens, count, true);
      run.drafts = count;
    }
  }

 private:
  static size_t Pending(const SequenceView& s) { return s.known_tokens - s.computed_tokens; }

  size_t BlocksFor(size_t tokens) const { return DivUp(tokens, state_.block_tokens); }

  // A sequence may hold blocks for guesses already.
  size_t NewBlocks(const SequenceView& s, size_t held_blocks, size_t count) const {
    const size_t blocks = BlocksFor(s.computed_tokens + count);
    return blocks - std::min(blocks, held_blocks);
  }

  // Logit rows of the next `count` tokens: those at positions from logit_begin on.
  static size_t Rows(const SequenceView& s, size_t count) {
    const size_t end = s.computed_tokens + count;
    return end - std::min(end, std::max(s.computed_tokens, s.logit_begin));
  }

  // How many of a sequence's pending tokens the rest of the budget takes.
  size_t LimitCount(const SequenceView& s) const {
    const size_t end_by_rows = std::max(s.computed_tokens, s.logit_begin) + rows_left_;
    const size_t end = s.computed_tokens < s.border ? s.border : s.known_tokens;
    return std::min({end - s.computed_tokens, tokens_left_, end_by_rows - s.computed_tokens});
  }

  bool Aged(const SequenceView& s) const {
    return AgedClass(s.service_class, now_ns_ - s.since_ns, budget_.policies) != s.service_class;
  }

  // The tightest promise of the step.
  void FindPromise() {
    if (!budget_.cost.known()) return;
    StepShape decoding;
    int64_t step_ns = kNoPromise;
    const auto promise = [&](size_t class_index) {
      step_ns = std::min(step_ns, budget_.policies[class_index].step_ns);
    };
    for (const size_t i : plan_.order) {
      const SequenceView& s = state_.running[i];
      if (Pending(s) != 1) continue;
      promise(ClassIndex(s));
      if (!GivesWay(s)) decoding.Add(s.computed_tokens, 1, true);
    }
    if (state_.last_realtime_ns != ScheduleState::kNever &&
        now_ns_ - state_.last_realtime_ns < kRealtimeExpectedNs) {
      promise(static_cast<size_t>(ServiceClass::kRealtime));
    }
    if (step_ns == kNoPromise) return;
    has_promise_ = true;
    promise_ns_ = std::max(static_cast<double>(step_ns), kDecodeSlack * budget_.cost.Of(decoding));
  }

  // The most tokens from position `begin` on, at most `count`, with which the promise is kept.
  size_t FitPromise(size_t begin, size_t count, bool decodes) const {
    if (!has_promise_) return count;
    size_t low = 0;
    for (size_t high = count; low < high;) {
      const size_t middle = (low + high + 1) / 2;
      StepShape shape = plan_.shape;
      shape.Add(begin, middle, decodes);
      (budget_.cost.Of(shape) <= promise_ns_ ? low : high) =
          budget_.cost.Of(shape) <= promise_ns_ ? middle : middle - 1;
    }
    return low;
  }

  // As FitPromise for a sequence's own tokens, with the exemptions.
  size_t LimitToPromise(const SequenceView& s, size_t count) {
    if (!has_promise_) return count;
    const bool decodes = Pending(s) == 1;
    if (decodes && !GivesWay(s)) return count;
    const size_t fits = FitPromise(s.computed_tokens, count, decodes);
    const size_t least = std::min(count, budget_.min_chunk);
    if (fits >= least) return fits;
    const bool first_prompt = !decodes && !GivesWay(s) && !std::exchange(has_least_chunk_, true);
    return first_prompt || Aged(s) || plan_.runs.empty() ? least : fits;
  }

  void Charge(const SequenceView& s, size_t count) {
    tokens_left_ -= count;
    rows_left_ -= Rows(s, count);
    plan_.shape.Add(s.computed_tokens, count, Pending(s) == 1);
  }

  void PlanOneRunning(size_t index) {
    const SequenceView& sequence = state_.running[index];
    size_t count = LimitToPromise(sequence, LimitCount(sequence));
    if (count == 0) return;
    while (NewBlocks(sequence, sequence.held_blocks, count) > available_blocks_) {
      const size_t room = (sequence.held_blocks + available_blocks_) * state_.block_tokens -
                          sequence.computed_tokens;
      const size_t victim = LowestRank();
      if (room > 0) {
        count = std::min(count, room);
      } else if (victim != index) {
        Preempt(victim);
      } else {
        // All of lower rank are preempted, or this is the lowest: it keeps its blocks and waits for
        // the next step, when blocks that two preempted sequences shared are counted, too.
        return;
      }
    }
    available_blocks_ -= NewBlocks(sequence, sequence.held_blocks, count);
    Charge(sequence, count);
    plan_.runs.push_back({.admitted = false, .index = index, .count = count});
  }

  // The running sequence that gives way first. Requires: one is left.
  size_t LowestRank() const {
    size_t k = state_.running.size();
    while (plan_.gone[plan_.order[k - 1]]) --k;
    return plan_.order[k - 1];
  }

  void Preempt(size_t victim) {
    const SequenceView& sequence = state_.running[victim];
    const auto planned =
        std::find_if(plan_.runs.begin(), plan_.runs.end(),
                     [&](const PlannedRun& run) { return !run.admitted && run.index == victim; });
    if (planned != plan_.runs.end()) {
      available_blocks_ += NewBlocks(sequence, sequence.held_blocks, planned->count);
      tokens_left_ += planned->count;
      rows_left_ += Rows(sequence, planned->count);
      StepShape removed;
      const bool decodes = Pending(sequence) == 1;
      removed.Add(sequence.computed_tokens, planned->count, decodes);
      plan_.shape.prefill_tokens -= removed.prefill_tokens;
      plan_.shape.decode_rows -= removed.decode_rows;
      plan_.shape.attended -= removed.attended;
      plan_.runs.erase(planned);
    }
    available_blocks_ += sequence.sole_blocks;
    plan_.gone[victim] = 1;
    --num_running_;
    plan_.preempted.push_back(victim);
  }

  // Whether the first step waits for more requests; says until when.
  bool Gathers() {
    if (budget_.gather_ns == 0 || num_running_ > 0 || state_.waiting.empty() ||
        state_.waiting.size() - plan_.expired.size() >= budget_.max_sequences) {
      return false;
    }
    int64_t until_ns = kNoDeadline;
    for (const SequenceView& s : state_.waiting) {
      if (now_ns_ > s.deadline_ns) continue;
      const int64_t most_ns = budget_.policies[ClassIndex(s)].max_gather_ns;
      until_ns =
          std::min({until_ns, s.since_ns + std::min(budget_.gather_ns, most_ns), s.deadline_ns});
    }
    if (until_ns == kNoDeadline || until_ns <= now_ns_) return false;
    plan_.wake_ns = until_ns;
    return true;
  }

  // Blocks that running prompts will need in later steps, and one for each running sequence.
  void FindPromisedBlocks() {
    for (size_t i = 0; i < state_.running.size(); ++i) promised_blocks_ += PromisedTo(i);
  }

  size_t PromisedTo(size_t index) const {
    if (plan_.gone[index]) return 0;
    const SequenceView& sequence = state_.running[index];
    size_t blocks = NewBlocks(sequence, sequence.held_blocks, Pending(sequence));
    for (const PlannedRun& run : plan_.runs) {
      if (run.admitted || run.index != index) continue;
      blocks -= NewBlocks(sequence, sequence.held_blocks, run.count);
    }
    return blocks;
  }

  bool Fits(size_t blocks) const {
    return num_running_ < budget_.max_sequences &&
           blocks + promised_blocks_ + num_running_ <= available_blocks_;
  }

  // Preempts less urgent sequences until a place and `blocks` are there; none if that is not
  // enough.
  bool MakeRoom(const SequenceView& wanting, size_t blocks) {
    size_t places = budget_.max_sequences - num_running_;
    size_t needed = blocks + promised_blocks_ + num_running_;
    if (available_blocks_ < maybe_shared_blocks_) return false;
    size_t there = available_blocks_ - maybe_shared_blocks_;
    for (size_t i = 0; i < state_.running.size(); ++i) {
      if (plan_.gone[i] || state_.running[i].service_class <= wanting.service_class) continue;
      ++places;
      there += state_.running[i].sole_blocks;
      needed -= PromisedTo(i) + 1;
    }
    if (places == 0 || needed > there) return false;
    available_blocks_ -= std::exchange(maybe_shared_blocks_, 0);
    preempts_for_admission_ = true;
    while (!Fits(blocks)) {
      const size_t victim = LowestRank();
      promised_blocks_ -= PromisedTo(victim);
      Preempt(victim);
    }
    return true;
  }

  bool Admit(size_t index) {
    const SequenceView& sequence = state_.waiting[index];
    SequenceView start = sequence;
    start.computed_tokens = sequence.cached_blocks * state_.block_tokens;
    const size_t all_blocks = BlocksFor(sequence.known_tokens) - sequence.cached_blocks;
    // Cached blocks that a preempted sequence held are idle by the time that they are taken.
    const auto taken = [&] {
      return preempts_for_admission_ ? sequence.cached_blocks : sequence.cached_idle_blocks;
    };
    const size_t count = LimitToPromise(start, LimitCount(start));
    if (count == 0) return false;
    if (!Fits(all_blocks + taken()) && !MakeRoom(sequence, all_blocks + sequence.cached_blocks)) {
      return false;
    }
    const size_t now_blocks = NewBlocks(start, sequence.cached_blocks, count);
    Charge(start, count);
    if (!preempts_for_admission_) {
      maybe_shared_blocks_ += sequence.cached_blocks - sequence.cached_idle_blocks;
    }
    available_blocks_ -= now_blocks + taken();
    promised_blocks_ += all_blocks - now_blocks;
    ++num_running_;
    plan_.runs.push_back({.admitted = true, .index = index, .count = count});
    return true;
  }

  const ScheduleState& state_;
  const StepBudget& budget_;
  const int64_t now_ns_;
  StepPlan& plan_;
  size_t tokens_left_;
  size_t rows_left_;
  size_t available_blocks_;
  size_t num_running_;  // those admitted in this step included
  size_t promised_blocks_ = 0;
  bool has_promise_ = false;
  double promise_ns_ = 0;
  bool has_least_chunk_ = false;  // a prompt got min_chunk tokens beyond the promise
  // Of sequences admitted in this step: cached blocks that running sequences hold. Preempting
  // those would not make the blocks available.
  size_t maybe_shared_blocks_ = 0;
  bool preempts_for_admission_ = false;
};

}  // namespace

void StepPlan::Reserve(size_t max_running, size_t max_waiting) {
  runs.reserve(max_running);
  preempted.reserve(max_running);
  expired.reserve(max_waiting);
  order.reserve(2 * max_running);
  gone.reserve(max_running);
  served.reserve(max_running + max_waiting + TenantLedger::kMaxIdle);
}

void PlanStep(const ScheduleState& state, const StepBudget& budget, int64_t now_ns,
              StepPlan& plan) {
  PELTON_CHECK(budget.max_sequences <= budget.max_logit_rows,
               "every sequence of a step can have its logits");
  plan.runs.clear();
  plan.preempted.clear();
  plan.expired.clear();
  plan.shape = {};
  plan.wake_ns = 0;
  Planner planner(state, budget, now_ns, plan);
  planner.PlanRunning();
  planner.PlanWaiting();
  planner.PlanDrafts();
}

}  // namespace pelton
