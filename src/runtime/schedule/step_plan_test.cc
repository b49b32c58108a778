#include "runtime/schedule/step_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "base/checked_math.h"
#include "base/clock.h"

namespace pelton {
namespace {

// A request of a scenario and how far it is.
struct Simulated {
  std::string name;
  int64_t arrival_ns = 0;
  size_t prompt = 1;
  size_t output = 1;
  size_t cached_blocks = 0;
  bool prompt_logprobs = false;
  int64_t deadline_ns = kNoDeadline;

  size_t known = 0;
  size_t computed = 0;
  size_t held = 0;
};

// Runs PlanStep as the engine does, over block counts instead of blocks and a clock that each step
// moves by step_ns.
class Simulation {
 public:
  StepBudget budget{.max_tokens = 16, .max_sequences = 4, .max_logit_rows = 4};
  size_t num_blocks = 100;
  size_t block_tokens = 4;
  int64_t step_ns = 1;
  std::vector<Simulated> arrivals;  // by arrival time

  // One line for what the next step did, or empty when nothing is left.
  std::string Step() {
    while (next_ < arrivals.size() && (arrivals[next_].arrival_ns <= clock_.NowNs() ||
                                       (running_.empty() && waiting_.empty()))) {
      clock_.Advance(std::max<int64_t>(0, arrivals[next_].arrival_ns - clock_.NowNs()));
      waiting_.push_back(arrivals[next_++]);
      waiting_.back().known = waiting_.back().prompt;
    }
    if (running_.empty() && waiting_.empty()) return "";
    std::vector<SequenceView> running, waiting;
    size_t held = 0;
    for (const Simulated& s : running_) {
      running.push_back(View(s));
      held += s.held;
    }
    for (const Simulated& s : waiting_) waiting.push_back(View(s));
    PlanStep({.running = running,
              .waiting = waiting,
              .available_blocks = num_blocks - held,
              .block_tokens = block_tokens},
             budget, clock_.NowNs(), plan_);
    std::ostringstream line;
    line << clock_.NowNs() << ":";
    Apply(line);
    clock_.Advance(step_ns);
    return line.str();
  }

  const StepPlan& plan() const { return plan_; }
  const std::vector<Simulated>& running() const { return running_; }

 private:
  SequenceView View(const Simulated& s) const {
    const bool reports = s.prompt_logprobs && s.computed + 1 < s.prompt;
    const size_t logit_begin = reports ? s.computed : s.known - 1;
    const size_t cached = std::min(s.cached_blocks, logit_begin / block_tokens);
    return {.known_tokens = s.known,
            .computed_tokens = s.computed,
            .logit_begin = logit_begin,
            .held_blocks = s.held,
            .sole_blocks = s.held,
            .cached_blocks = cached,
            .cached_idle_blocks = cached,
            .deadline_ns = s.deadline_ns};
  }

  void Apply(std::ostringstream& line) {
    for (const size_t i : plan_.preempted) {
      Simulated s = running_[i];
      line << " -" << s.name;
      s.computed = s.held = 0;
      waiting_.insert(waiting_.begin(), s);
      running_.erase(running_.begin() + static_cast<ptrdiff_t>(i));
    }
    std::vector<size_t> leaving = plan_.expired;
    for (const size_t i : plan_.expired) line << " x" << waiting_[i].name;
    std::vector<size_t> finished;
    for (const PlannedRun& run : plan_.runs) {
      if (run.admitted) {
        leaving.push_back(run.index);
        running_.push_back(waiting_[run.index]);
        running_.back().held = View(running_.back()).cached_blocks;
        running_.back().computed = running_.back().held * block_tokens;
      }
      const size_t index = run.admitted ? running_.size() - 1 : run.index;
      Simulated& s = running_[index];
      line << (run.admitted ? " +" : " ") << s.name << "*" << run.count;
      s.computed += run.count;
      s.held = DivUp(s.computed, block_tokens);
      const bool grows = s.computed == s.known;
      if (grows) ++s.known;
      if (grows && s.known == s.prompt + s.output) {
        line << ".";
        finished.push_back(index);
      }
    }
    std::sort(leaving.rbegin(), leaving.rend());
    for (const size_t i : leaving) waiting_.erase(waiting_.begin() + static_cast<ptrdiff_t>(i));
    std::sort(finished.rbegin(), finished.rend());
    for (const size_t i : finished) running_.erase(running_.begin() + static_cast<ptrdiff_t>(i));
  }

  ManualClock clock_;
  size_t next_ = 0;
  std::vector<Simulated> running_, waiting_;
  StepPlan plan_;
};

// Scenario files: `budget`, `blocks` and `step` set the numbers above, `request NAME key=value...`
// adds an arrival, `# ` is a comment, and after `steps` follows one line per step:
//   TIME: [-PREEMPTED]... [xEXPIRED]... [[+ if admitted]NAME*TOKENS[. if finished]]...
struct Scenario {
  Simulation simulation;
  std::vector<std::string> steps;
};

void Load(const std::filesystem::path& path, Scenario& scenario) {
  Simulation& simulation = scenario.simulation;
  std::ifstream file(path);
  std::string line;
  bool in_steps = false;
  while (std::getline(file, line)) {
    if (line.empty() || line[0] == '#') continue;
    if (in_steps) {
      scenario.steps.push_back(line);
      continue;
    }
    std::istringstream words(line);
    std::string kind, word;
    words >> kind;
    in_steps = kind == "steps";
    Simulated request;
    if (kind == "request") words >> request.name;
    while (words >> word) {
      const size_t equals = word.find('=');
      const std::string key = kind + "." + word.substr(0, equals);
      const size_t value = std::stoul(word.substr(equals + 1));
      if (key == "budget.tokens")
        simulation.budget.max_tokens = value;
      else if (key == "budget.sequences")
        simulation.budget.max_sequences = value;
      else if (key == "budget.logit_rows")
        simulation.budget.max_logit_rows = value;
      else if (key == "blocks.count")
        simulation.num_blocks = value;
      else if (key == "blocks.tokens")
        simulation.block_tokens = value;
      else if (key == "step.ns")
        simulation.step_ns = static_cast<int64_t>(value);
      else if (key == "request.at")
        request.arrival_ns = static_cast<int64_t>(value);
      else if (key == "request.prompt")
        request.prompt = value;
      else if (key == "request.output")
        request.output = value;
      else if (key == "request.cached_blocks")
        request.cached_blocks = value;
      else if (key == "request.prompt_logprobs")
        request.prompt_logprobs = value != 0;
      else if (key == "request.deadline")
        request.deadline_ns = static_cast<int64_t>(value);
      else
        ADD_FAILURE() << path << ": unknown key " << key;
    }
    if (kind == "request") simulation.arrivals.push_back(request);
  }
}

TEST(PlanStep, Scenarios) {
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator("src/runtime/schedule/scenarios")) {
    if (entry.path().extension() != ".txt") continue;
    ++files;
    Scenario scenario;
    Load(entry.path(), scenario);
    std::vector<std::string> got;
    for (std::string line; !(line = scenario.simulation.Step()).empty() && got.size() < 200;) {
      got.push_back(line);
    }
    std::ostringstream text;
    for (const std::string& line : got) text << line << "\n";
    EXPECT_EQ(got, scenario.steps) << entry.path() << " gave\n" << text.str();
  }
  EXPECT_GE(files, 8u) << "run from the source root";
}

// Random loads: no budget and no block is ever exceeded, an older sequence is never preempted
// for a newer one, the oldest always advances unless its decode peers used the step up, and
// everything ends.
class PlanStepProperty : public ::testing::TestWithParam<uint32_t> {};

TEST_P(PlanStepProperty, StaysInsideTheBudgetAndFinishesEverything) {
  std::mt19937 random(GetParam());
  const auto below = [&](size_t n) {
    return std::uniform_int_distribution<size_t>(0, n - 1)(random);
  };
  Simulation simulation;
  simulation.block_tokens = 1 + below(6);
  simulation.num_blocks = 4 + below(20);
  simulation.budget.max_sequences = 1 + below(6);
  simulation.budget.max_logit_rows = simulation.budget.max_sequences + below(4);
  simulation.budget.max_tokens = simulation.budget.max_sequences + below(20);
  const size_t pool_tokens = simulation.num_blocks * simulation.block_tokens;
  size_t work = 0;
  int64_t now = 0;
  for (size_t i = 0; i < 20; ++i) {
    Simulated request;
    request.name = "r" + std::to_string(i);
    request.arrival_ns = now += static_cast<int64_t>(below(8));
    request.prompt = 1 + below(pool_tokens - 1);
    request.output = 1 + below(pool_tokens - request.prompt);
    request.prompt_logprobs = below(4) == 0;
    request.cached_blocks = below(3);
    work += request.prompt + request.output;
    simulation.arrivals.push_back(request);
  }
  size_t finished = 0, preempted = 0;
  for (size_t step = 0;; ++step) {
    ASSERT_LT(step, 60 * work) << "livelock";
    const std::string line = simulation.Step();
    if (line.empty()) break;
    const StepPlan& plan = simulation.plan();
    size_t tokens = 0, held = 0;
    for (const PlannedRun& run : plan.runs) {
      ASSERT_GT(run.count, 0u);
      tokens += run.count;
      for (const size_t victim : plan.preempted) {
        ASSERT_FALSE(run.admitted);
        ASSERT_LT(run.index, victim);
      }
    }
    ASSERT_LE(tokens, simulation.budget.max_tokens);
    ASSERT_LE(plan.runs.size(), simulation.budget.max_sequences);
    ASSERT_LE(simulation.running().size(), simulation.budget.max_sequences);
    for (const Simulated& s : simulation.running()) held += s.held;
    ASSERT_LE(held, simulation.num_blocks);
    preempted += plan.preempted.size();
    finished += static_cast<size_t>(std::count(line.begin(), line.end(), '.'));
  }
  EXPECT_EQ(finished, 20u);
  RecordProperty("preempted", static_cast<int>(preempted));
}

INSTANTIATE_TEST_SUITE_P(Seeds, PlanStepProperty, ::testing::Range(0u, 200u));

}  // namespace
}  // namespace pelton
