#include "runtime/schedule/step_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
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
  ServiceClass service_class = ServiceClass::kStandard;
  uint32_t tenant = 0;

  size_t id = 0;
  int64_t since_ns = 0;
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
  size_t ahead_tokens = 0;          // for which sequences take blocks ahead
  int64_t step_ns = 1;              // unless the budget has costs
  std::vector<Simulated> arrivals;  // by arrival time
  std::vector<TenantShare> tenants;

  // One line for what the next step did, or empty when nothing is left.
  std::string Step() {
    while (next_ < arrivals.size() && (arrivals[next_].arrival_ns <= clock_.NowNs() ||
                                       (running_.empty() && waiting_.empty()))) {
      clock_.Advance(std::max<int64_t>(0, arrivals[next_].arrival_ns - clock_.NowNs()));
      waiting_.push_back(arrivals[next_]);
      waiting_.back().id = next_++;
      waiting_.back().known = waiting_.back().prompt;
      waiting_.back().since_ns = clock_.NowNs();
      if (waiting_.back().service_class == ServiceClass::kRealtime) {
        last_realtime_ns_ = clock_.NowNs();
      }
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
              .block_tokens = block_tokens,
              .tenants = tenants,
              .last_realtime_ns = last_realtime_ns_},
             budget, clock_.NowNs(), plan_);
    std::ostringstream line;
    line << clock_.NowNs() << ":";
    Apply(line);
    clock_.Advance(budget.cost.known() ? static_cast<int64_t>(budget.cost.Of(plan_.shape))
                                       : step_ns);
    return line.str();
  }

  const StepPlan& plan() const { return plan_; }
  const std::vector<Simulated>& running() const { return running_; }
  int64_t now_ns() const { return clock_.NowNs(); }

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
            .deadline_ns = s.deadline_ns,
            .service_class = s.service_class,
            .tenant = s.tenant,
            .since_ns = s.since_ns};
  }

  void Apply(std::ostringstream& line) {
    std::vector<Simulated> moving;
    for (const size_t i : plan_.preempted) {
      Simulated s = running_[i];
      line << " -" << s.name;
      s.computed = s.held = 0;
      s.since_ns = clock_.NowNs();
      moving.push_back(s);
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
        running_.back().service_class =
            AgedClass(running_.back().service_class, clock_.NowNs() - running_.back().since_ns,
                      budget.policies);
        Charge(running_.back(),
               TenantLedger::kPromptToken * static_cast<double>(running_.back().prompt));
      }
      const size_t index = run.admitted ? running_.size() - 1 : run.index;
      Simulated& s = running_[index];
      line << (run.admitted ? " +" : " ") << s.name << "*" << run.count;
      s.computed += run.count;
      s.since_ns = clock_.NowNs();
      s.held = DivUp(s.computed, block_tokens);
      const bool grows = s.computed == s.known;
      if (grows) ++s.known;
      if (grows) Charge(s, TenantLedger::kOutputToken);
      if (grows && s.known == s.prompt + s.output) {
        line << ".";
        finished.push_back(index);
      }
    }
    TakeAhead();
    std::sort(leaving.rbegin(), leaving.rend());
    for (const size_t i : leaving) waiting_.erase(waiting_.begin() + static_cast<ptrdiff_t>(i));
    finished.insert(finished.end(), plan_.preempted.begin(), plan_.preempted.end());
    std::sort(finished.rbegin(), finished.rend());
    for (const size_t i : finished) running_.erase(running_.begin() + static_cast<ptrdiff_t>(i));
    waiting_.insert(waiting_.end(), moving.begin(), moving.end());
    const auto older = [](const Simulated& a, const Simulated& b) { return a.id < b.id; };
    std::sort(waiting_.begin(), waiting_.end(), older);
    std::sort(running_.begin(), running_.end(), older);
  }

  // Sequences take blocks for guesses while many are left.
  void TakeAhead() {
    size_t held = 0;
    for (const Simulated& s : running_) held += s.held;
    for (Simulated& s : running_) {
      const size_t wanted = DivUp(s.known + ahead_tokens, block_tokens);
      while (ahead_tokens > 0 && s.held < wanted && held + 2 < num_blocks) ++s.held, ++held;
    }
  }

  void Charge(const Simulated& s, double cost) {
    if (!tenants.empty()) tenants[s.tenant].served += cost / tenants[s.tenant].weight;
  }

  ManualClock clock_;
  int64_t last_realtime_ns_ = ScheduleState::kNever;
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
      else if (key == "request.class")
        request.service_class = static_cast<ServiceClass>(value);
      else if (key == "request.tenant")
        request.tenant = static_cast<uint32_t>(value);
      else if (key == "tenants.count")
        simulation.tenants.resize(value);
      else if (key == "budget.gather")
        simulation.budget.gather_ns = static_cast<int64_t>(value);
      else if (key == "cost.fixed")
        simulation.budget.cost.fixed_ns = static_cast<double>(value);
      else if (key == "cost.token")
        simulation.budget.cost.prefill_token_ns = static_cast<double>(value);
      else if (key == "cost.row")
        simulation.budget.cost.decode_row_ns = static_cast<double>(value);
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

// Random loads of all classes: no budget and no block is ever exceeded, a sequence is preempted for
// one of higher rank only, and everything ends.
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
  simulation.tenants.resize(3);
  simulation.ahead_tokens = GetParam() % 3 == 0 ? 0 : below(9);
  if (GetParam() % 4 == 0) {
    simulation.budget.cost = {.fixed_ns = 1e6, .prefill_token_ns = 3e6, .decode_row_ns = 2e6};
  }
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
    request.service_class = static_cast<ServiceClass>(GetParam() % 2 == 0 ? below(4) : 1);
    request.tenant = static_cast<uint32_t>(below(3));
    work += request.prompt + request.output;
    simulation.arrivals.push_back(request);
  }
  size_t finished = 0, preempted = 0;
  for (size_t step = 0;; ++step) {
    ASSERT_LT(step, 60 * work) << "livelock";
    const std::vector<Simulated> before = simulation.running();
    const std::string line = simulation.Step();
    if (line.empty()) break;
    const StepPlan& plan = simulation.plan();
    size_t tokens = 0, held = 0;
    for (const PlannedRun& run : plan.runs) {
      ASSERT_GT(run.count, 0u);
      tokens += run.count;
      if (run.admitted) continue;
      for (const size_t victim : plan.preempted) {
        const auto rank = [&](size_t i) { return std::pair(before[i].service_class, i); };
        ASSERT_LT(rank(run.index), rank(victim));
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

Simulated Arrival(std::string name, int64_t at, size_t prompt, size_t output, ServiceClass c,
                  uint32_t tenant = 0) {
  Simulated s;
  s.name = std::move(name);
  s.arrival_ns = at;
  s.prompt = prompt;
  s.output = output;
  s.service_class = c;
  s.tenant = tenant;
  return s;
}

// Realtime requests that never stop and could use every place: the others still end, each after
// its ageing time.
TEST(PlanStep, NothingStarvesBesideEndlessRealtime) {
  Simulation simulation;
  simulation.budget.max_sequences = 2;
  simulation.step_ns = 10'000'000;
  for (const ServiceClass c :
       {ServiceClass::kStandard, ServiceClass::kBatch, ServiceClass::kBackground}) {
    simulation.arrivals.push_back(Arrival(std::string(ServiceClassName(c)), 0, 8, 20, c));
  }
  for (int64_t i = 0; i < 20'000; ++i) {
    simulation.arrivals.push_back(
        Arrival("r", 2 * i * simulation.step_ns, 4, 4, ServiceClass::kRealtime));
  }
  std::map<std::string, int64_t> ended;
  while (ended.size() < 3 && simulation.now_ns() < 399'000'000'000) {
    const std::string line = simulation.Step();
    for (const char* name : {"standard", "batch", "background"}) {
      const size_t at = line.find(std::string(name) + "*");
      if (at != line.npos && line.find('.', at) < line.find(' ', at)) {
        ended.emplace(name, simulation.now_ns());
      }
    }
  }
  ASSERT_EQ(ended.size(), 3u);
  EXPECT_LT(ended["standard"], 31'000'000'000);
  EXPECT_GT(ended["standard"], 30'000'000'000) << "until then realtime comes first";
  EXPECT_GT(ended["batch"], ended["standard"]);
  EXPECT_GT(ended["background"], ended["batch"]);
}

// Tenants with endless work: what each was served, divided by its weight, stays within what one
// admission round can add (the bound of Sheng et al., theorem 4.4), however unequal their requests.
TEST(PlanStep, TenantsGetTheirShares) {
  for (uint32_t seed = 0; seed < 20; ++seed) {
    std::mt19937 random(seed);
    Simulation simulation;
    simulation.budget.max_tokens = 64;
    simulation.tenants = {{.served = 0, .weight = 1}, {.served = 0, .weight = 2}};
    const double largest = 40 * TenantLedger::kPromptToken + 30 * TenantLedger::kOutputToken;
    for (size_t i = 0; i < 600; ++i) {
      // The first tenant asks for much more at once, and came first.
      const uint32_t tenant = i < 300 ? 0 : 1;
      simulation.arrivals.push_back(Arrival("t" + std::to_string(tenant), 0, 1 + random() % 40,
                                            1 + random() % 30, ServiceClass::kStandard, tenant));
    }
    for (size_t step = 0; step < 1000; ++step) {
      simulation.Step();
      // Each of the running sequences may still be in debt by all that it is served.
      ASSERT_LE(std::abs(simulation.tenants[0].served - simulation.tenants[1].served),
                largest * static_cast<double>(simulation.budget.max_sequences))
          << "seed " << seed << " step " << step;
    }
    EXPECT_GT(simulation.tenants[0].served, 4 * largest);
  }
}

// Whatever runs beside, a step with realtime in it keeps its time but for one smallest chunk.
TEST(PlanStep, KeepsThePromisedStepTime) {
  Simulation simulation;
  simulation.num_blocks = 10'000;
  simulation.budget = {.max_tokens = 512, .max_sequences = 16, .max_logit_rows = 16};
  simulation.budget.cost = {.fixed_ns = 4e6, .prefill_token_ns = 3e5, .decode_row_ns = 5e5};
  for (size_t i = 0; i < 8; ++i) {
    simulation.arrivals.push_back(Arrival("b", 0, 700, 100, ServiceClass::kBatch));
    simulation.arrivals.push_back(Arrival("s", 0, 300, 100, ServiceClass::kStandard));
  }
  for (size_t i = 0; i < 50; ++i) {
    simulation.arrivals.push_back(
        Arrival("r", static_cast<int64_t>(i + 1) * 300'000'000, 50, 10, ServiceClass::kRealtime));
  }
  size_t promised = 0, longest_prefill = 0;
  for (std::string line; !(line = simulation.Step()).empty();) {
    const StepShape& shape = simulation.plan().shape;
    longest_prefill = std::max(longest_prefill, shape.prefill_tokens);
    if (simulation.now_ns() < 600'000'000 || line.find(" r") == line.npos) continue;
    ++promised;
    ASSERT_LE(simulation.budget.cost.Of(shape), 25e6 + 16 * 3e5) << line;
  }
  EXPECT_GT(promised, 400u);
  EXPECT_EQ(longest_prefill, 512u) << "without realtime a step takes what it can";
}

INSTANTIATE_TEST_SUITE_P(Seeds, PlanStepProperty, ::testing::Range(0u, 200u));

}  // namespace
}  // namespace pelton
