#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <mutex>
#include <nlohmann/json.hpp>
#include <random>

#include "command.h"
#include "machine_load.h"
#include "model_options.h"
#include "request_options.h"
#include "roofline.h"

namespace pelton {
namespace {

using Json = nlohmann::ordered_json;
using SteadyClock = std::chrono::steady_clock;

// Prompt of each sequence of a batch, computed before the clock starts.
constexpr size_t kBatchPromptTokens = 16;

struct BenchOptions {
  ModelOptions model;
  std::string prompt_sizes = "512";
  std::string output_sizes = "128";
  std::string batches = "1";
  std::string depths = "0";
  int64_t repetitions = 5;
  std::string format = "md";
  bool roofline = false;
};

// Tokens/s over all sequences, one of each repetition.
struct Rates {
  std::vector<double> each;

  double Mean() const {
    double sum = 0;
    for (double rate : each) sum += rate;
    return sum / static_cast<double>(each.size());
  }
  double Deviation() const {
    if (each.size() < 2) return 0;
    double squares = 0;
    for (double rate : each) squares += (rate - Mean()) * (rate - Mean());
    return std::sqrt(squares / static_cast<double>(each.size() - 1));
  }
};

struct Test {
  std::string name;
  size_t prompt = 0;
  size_t output = 0;
  size_t batch = 1;
  size_t depth = 0;  // tokens before those that are generated; 0: as few as there can be
  Rates rates;

  // Tokens of each sequence before the clock starts.
  size_t Before() const { return depth > 0 ? depth : batch == 1 ? 1 : kBatchPromptTokens; }
  Roofline roofline;
  Rates invariant;  // the same with --invariant on, where that is another arithmetic

  // Share of the speed that invariance costs; below 0 if it happens to be faster.
  double PriceOfInvariance() const { return 1 - invariant.Mean() / rates.Mean(); }
};

// What is printed beside the rates, of the model as it was asked for.
struct Measured {
  std::string name;
  double mib = 0;
  double parameters = 0;
  size_t threads = 0;
  bool exact = false;
  bool invariant = true;
  size_t peak_rss_bytes = 0;
  double load_s = 0;
  double others_share = 0;  // of the processors' time, that others used meanwhile
};

// Times of one batch, written on the engine thread.
struct Progress {
  std::mutex mutex;
  std::condition_variable done;
  size_t running = 0;
  Status status;
  SteadyClock::time_point last_first_token;
  std::vector<SteadyClock::time_point> tokens;
  int64_t prompt_ns = 0;
};

class TimingObserver final : public RequestObserver {
 public:
  explicit TimingObserver(Progress* progress) : progress_(progress) {}
  void OnToken(const TokenEvent&) override {
    const auto now = SteadyClock::now();
    if (!std::exchange(started_, true)) {
      progress_->last_first_token = std::max(progress_->last_first_token, now);
    }
    progress_->tokens.push_back(now);
  }
  void OnFinish(const FinishEvent& event) override {
    const std::lock_guard lock(progress_->mutex);
    if (!event.status.ok()) progress_->status = event.status;
    progress_->prompt_ns = event.prompt_ns;
    if (--progress_->running == 0) progress_->done.notify_all();
  }

 private:
  Progress* progress_;
  bool started_ = false;
};

// Submits the real requests from the engine's own thread, so that all of them are in its first
// step.
class StartTogether final : public RequestObserver {
 public:
  StartTogether(RequestSink* engine, Progress* progress, std::vector<Request> requests)
      : engine_(engine), progress_(progress), requests_(std::move(requests)) {}
  void OnToken(const TokenEvent&) override {}
  void OnFinish(const FinishEvent& event) override {
    Status failure = event.status;
    for (Request& request : requests_) {
      if (!failure.ok()) break;
      failure = engine_->Submit(std::move(request)).status();
    }
    if (failure.ok()) return;
    const std::lock_guard lock(progress_->mutex);
    progress_->status = failure;
    progress_->running = 0;
    progress_->done.notify_all();
  }

 private:
  RequestSink* engine_;
  Progress* progress_;
  std::vector<Request> requests_;
};

Request MakeRequest(const LanguageModel& model, size_t prompt, size_t output, std::mt19937& rng) {
  Request request;
  std::uniform_int_distribution<int32_t> any(0, static_cast<int32_t>(model.files.config.vocab) - 1);
  for (size_t i = 0; i < prompt; ++i) request.prompt_ids.push_back(any(rng));
  request.params.temperature = 0;
  request.params.max_tokens = static_cast<uint32_t>(output);
  request.params.ignore_eos = true;
  return request;
}

// Tokens per second of one run of the test.
Result<double> RunOnce(const LanguageModel& model, const Test& test, std::mt19937& rng) {
  Progress progress;
  progress.running = test.batch;
  progress.tokens.reserve(test.batch * (test.output + 1));
  std::vector<Request> requests;
  for (size_t b = 0; b < test.batch; ++b) {
    const size_t prompt = test.prompt > 0 ? test.prompt : test.Before();
    requests.push_back(MakeRequest(model, prompt, test.prompt > 0 ? 0 : test.output + 1, rng));
    requests.back().observer = std::make_unique<TimingObserver>(&progress);
  }
  Request gate = MakeRequest(model, 1, 1, rng);
  gate.observer =
      std::make_unique<StartTogether>(model.engine.get(), &progress, std::move(requests));
  RETURN_IF_ERROR(model.engine->Submit(std::move(gate)).status());
  std::unique_lock lock(progress.mutex);
  progress.done.wait(lock, [&] { return progress.running == 0; });
  RETURN_IF_ERROR(progress.status);
  if (test.prompt > 0) {
    return static_cast<double>(test.prompt) * 1e9 / static_cast<double>(progress.prompt_ns);
  }
  // Steps after every sequence has its first token.
  const auto start = progress.last_first_token;
  const auto end = *std::max_element(progress.tokens.begin(), progress.tokens.end());
  const auto counted = std::count_if(progress.tokens.begin(), progress.tokens.end(),
                                     [&](auto time) { return time > start; });
  return static_cast<double>(counted) / std::chrono::duration<double>(end - start).count();
}

size_t PeakResidentBytes() {
  struct rusage usage;
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<size_t>(usage.ru_maxrss) << 10;
}

// Of a list; those of 0 only where `with_zero`.
Result<std::vector<size_t>> Sizes(const char* name, const std::string& text,
                                  bool with_zero = false) {
  ASSIGN_OR_RETURN(const std::vector<int32_t> numbers, ParseIds(text));
  std::vector<size_t> sizes;
  for (int32_t number : numbers) {
    if (number > 1 << 20)
      return InvalidArgument(fmt::format("{}: found {}, expected at most 1048576", name, number));
    if (number > 0 || with_zero) sizes.push_back(static_cast<size_t>(number));
  }
  return sizes;
}

double Parameters(const LanguageModel& model) {
  double parameters = 0;
  for (const TensorInfo& tensor : model.files.weights.tensors()) {
    parameters += static_cast<double>(tensor.NumElements());
  }
  return parameters;
}

Measured Describe(const LanguageModel& model, double load_s, double others_share) {
  const ModelConfig& config = model.files.config;
  return {.name = config.name.empty() ? config.architecture : config.name,
          .mib = static_cast<double>(model.files.weights.TotalBytes()) / (1 << 20),
          .parameters = Parameters(model),
          .threads = model.pool->size(),
          .exact = model.numerics == Numerics::kExact,
          .invariant = model.invariant,
          .peak_rss_bytes = PeakResidentBytes(),
          .load_s = load_s,
          .others_share = others_share};
}

void PrintJson(const Measured& model, const std::vector<Test>& tests) {
  Json out = Json::array();
  for (const Test& test : tests) {
    Json row = {{"test", test.name},
                {"n_prompt", test.prompt},
                {"n_gen", test.output},
                {"batch", test.batch},
                {"n_depth", test.depth},
                {"avg_ts", test.rates.Mean()},
                {"stddev_ts", test.rates.Deviation()}};
    if (!model.invariant) {
      row["invariant_avg_ts"] = test.invariant.Mean();
      row["invariant_stddev_ts"] = test.invariant.Deviation();
    }
    out.push_back(std::move(row));
  }
  out.push_back({{"model", model.name},
                 {"threads", model.threads},
                 {"numerics", model.exact ? "exact" : "fast"},
                 {"invariant", model.invariant},
                 {"peak_rss_bytes", model.peak_rss_bytes},
                 {"load_s", model.load_s},
                 {"others_share", model.others_share}});
  fmt::print("{}\n", out.dump(2));
}

void PrintCsv(const Measured& model, const std::vector<Test>& tests) {
  fmt::print("model,threads,test,n_prompt,n_gen,batch,n_depth,avg_ts,stddev_ts{}\n",
             model.invariant ? "" : ",invariant_avg_ts,invariant_stddev_ts");
  for (const Test& test : tests) {
    fmt::print("\"{}\",{},{},{},{},{},{},{:.2f},{:.2f}", model.name, model.threads, test.name,
               test.prompt, test.output, test.batch, test.depth, test.rates.Mean(),
               test.rates.Deviation());
    if (!model.invariant) {
      fmt::print(",{:.2f},{:.2f}", test.invariant.Mean(), test.invariant.Deviation());
    }
    fmt::print("\n");
  }
}

void PrintMarkdown(const Measured& model, const std::vector<Test>& tests) {
  fmt::print("| model | size | params | backend | threads | test | t/s |{}\n",
             model.invariant ? "" : " invariant t/s | price |");
  fmt::print("| --- | ---: | ---: | --- | ---: | ---: | ---: |{}\n",
             model.invariant ? "" : " ---: | ---: |");
  for (const Test& test : tests) {
    fmt::print("| {} | {:.2f} MiB | {:.2f} M | CPU | {} | {} | {:.2f} ± {:.2f} |", model.name,
               model.mib, model.parameters / 1e6, model.threads, test.name, test.rates.Mean(),
               test.rates.Deviation());
    if (!model.invariant) {
      fmt::print(" {:.2f} ± {:.2f} | {:.1f} % |", test.invariant.Mean(), test.invariant.Deviation(),
                 100 * test.PriceOfInvariance());
    }
    fmt::print("\n");
  }
}

Result<std::vector<Test>> ListTests(const BenchOptions& options) {
  ASSIGN_OR_RETURN(const std::vector<size_t> prompts, Sizes("-p", options.prompt_sizes));
  ASSIGN_OR_RETURN(const std::vector<size_t> outputs, Sizes("-n", options.output_sizes));
  ASSIGN_OR_RETURN(const std::vector<size_t> batches, Sizes("--batch", options.batches));
  ASSIGN_OR_RETURN(const std::vector<size_t> depths, Sizes("--n-depth", options.depths, true));
  std::vector<Test> tests;
  tests.reserve(prompts.size() + outputs.size() * batches.size());
  for (size_t prompt : prompts) {
    tests.push_back({.name = fmt::format("pp{}", prompt), .prompt = prompt});
  }
  for (size_t output : outputs) {
    for (size_t batch : batches) {
      if (batch > 1024)
        return InvalidArgument(fmt::format("--batch: found {}, expected at most 1024", batch));
      for (size_t depth : depths) {
        // Sequences of a batch would end one after the other while others still read.
        if (depth > 0 && batch > 1) return InvalidArgument("--n-depth: expected --batch 1 with it");
        std::string name = fmt::format("tg{}", output);
        if (batch > 1) name += fmt::format("@{}", batch);
        if (depth > 0) name += fmt::format(" @ d{}", depth);
        tests.push_back({.name = name, .output = output, .batch = batch, .depth = depth});
      }
    }
  }
  if (tests.empty()) return InvalidArgument("nothing to do: expected a size with -p or -n");
  return tests;
}

// Where the time of one more run goes.
Result<Roofline> RunForRoofline(const LanguageModel& model, const Test& test,
                                const MachineLimits& limits, std::mt19937& rng) {
  PELTON_CHECK(model.profile->Start(), "nothing else records");
  const Status ran = RunOnce(model, test, rng).status();
  const ProfileRecord record = model.profile->Stop();
  RETURN_IF_ERROR(ran);
  if (test.prompt == 0) {
    // The step that starts them all, and a prompt of one token, are no steps of generation.
    const size_t skip = test.batch > 1 ? 0 : test.Before() == 1 ? 2 : 1;
    return RooflineOf(model, limits, record,
                      {.rows = test.batch,
                       .skip = skip,
                       .context = test.Before() + test.output / 2,
                       .logit_rows = test.batch});
  }
  // The first chunk of the prompt: a token sees half of its places, in the mean.
  const size_t rows = std::min(test.prompt, model.executor->limits().max_tokens);
  return RooflineOf(model, limits, record,
                    {.rows = rows,
                     .skip = 0,
                     .context = rows / 2,
                     .logit_rows = rows == test.prompt ? size_t{1} : size_t{0}});
}

// Loads the model, runs all tests and adds their rates.
Result<Measured> Measure(const BenchOptions& options, const LoadOptions& load, Rates Test::*rates,
                         const MachineLimits* limits, std::vector<Test>* tests) {
  const auto start = SteadyClock::now();
  ASSIGN_OR_RETURN(const std::unique_ptr<LanguageModel> model, options.model.Open(load));
  const double load_s = std::chrono::duration<double>(SteadyClock::now() - start).count();
  std::mt19937 rng(1);
  const MachineLoad machine_load;
  for (Test& test : *tests) {
    // One run that is not counted: pages, caches and clock rates settle.
    for (int64_t r = -1; r < options.repetitions; ++r) {
      ASSIGN_OR_RETURN(const double rate, RunOnce(*model, test, rng));
      if (r >= 0) (test.*rates).each.push_back(rate);
    }
    if (limits != nullptr) {
      ASSIGN_OR_RETURN(test.roofline, RunForRoofline(*model, test, *limits, rng));
    }
  }
  return Describe(*model, load_s, machine_load.OthersShare());
}

int Run(const BenchOptions& options) {
  Result<std::vector<Test>> tests = ListTests(options);
  if (!tests.ok()) return Fail(tests.status());
  if (options.repetitions < 1 || options.repetitions > 1000) {
    return Fail(
        InvalidArgument(fmt::format("-r: found {}, expected 1 to 1000", options.repetitions)));
  }
  size_t context = 1, kv_tokens = 0, max_batch = 1;
  for (const Test& test : *tests) {
    const size_t tokens = test.prompt + std::max(test.depth, kBatchPromptTokens) + test.output + 2;
    context = std::max(context, tokens);
    kv_tokens = std::max(kv_tokens, test.batch * (tokens + 32) + 64);
    max_batch = std::max(max_batch, test.batch);
  }
  Result<LoadOptions> load = options.model.Load(max_batch);
  if (!load.ok()) return Fail(load.status());
  if (load->context_tokens == 0) load->context_tokens = context;
  if (load->kv_tokens == 0) load->kv_tokens = std::max(kv_tokens, load->context_tokens);
  load->prefix_cache = false;
  load->speculate = Speculation::kOff;  // its texts are random
  MachineLimits limits;
  if (options.roofline) {
    ThreadPool pool(load->threads == 0 ? UsableCores() : load->threads);
    const Result<MachineLimits> found = MeasureMachineLimits(pool, kReadBufferBytes);
    if (!found.ok()) return Fail(found.status());
    limits = *found;
  }
  const Result<Measured> measured =
      Measure(options, *load, &Test::rates, options.roofline ? &limits : nullptr, &*tests);
  if (!measured.ok()) return Fail(measured.status());
  if (!measured->invariant) {
    load->invariant = true;
    const Result<Measured> again = Measure(options, *load, &Test::invariant, nullptr, &*tests);
    if (!again.ok()) return Fail(again.status());
  }
  // Below that nobody is ever alone.
  if (measured->others_share > kQuietShare) {
    fmt::print(stderr,
               "pelton: the machine was not quiet: others used {:.0f} % of its processors\n",
               100 * measured->others_share);
  }
  if (options.format == "json") {
    PrintJson(*measured, *tests);
  } else if (options.format == "csv") {
    PrintCsv(*measured, *tests);
  } else {
    PrintMarkdown(*measured, *tests);
    for (const Test& test : *tests) {
      if (options.roofline) fmt::print("{}", RooflineText(test.name, test.roofline, limits));
    }
  }
  return kExitOk;
}

}  // namespace

Command BenchCommand() {
  auto options = std::make_shared<BenchOptions>();
  Command command{.name = "bench",
                  .summary = "tokens per second",
                  .description =
                      "Measures the reading of prompts (pp) and the generation of tokens (tg), "
                      "through the whole engine, sampling included. Prompts are random ids, "
                      "different for every sequence of a batch. Where the numbers of a request may "
                      "depend on what runs beside it (--invariant), each test also runs without "
                      "that, and the price is shown."};
  options->model.AddModel(&command.options);
  const auto add = [&](const char* names, const char* value, const char* help,
                       decltype(Option::target) target, std::vector<std::string> choices = {}) {
    command.options.push_back({.names = names,
                               .value = value,
                               .help = help,
                               .group = "tests",
                               .target = target,
                               .choices = std::move(choices)});
  };
  add("-p,--n-prompt", "N,…", "prompt sizes; 0 for none [512]", &options->prompt_sizes);
  add("-n,--n-gen", "N,…", "tokens to generate; 0 for none [128]", &options->output_sizes);
  add("-b,--batch", "N,…", "sequences that generate at once [1]", &options->batches);
  add("-d,--n-depth", "N,…",
      "tokens before those that are generated, of one sequence; 0 for as few as there can be [0]",
      &options->depths);
  add("-r,--repetitions", "N", "runs of each test [5]", &options->repetitions);
  add("--roofline", "",
      "show for each kind of op what it reads and computes, and how near that is to "
      "the limits of this machine, which are measured first; with -o md",
      &options->roofline);
  add("-o,--output", "FORMAT", "how to print [md]", &options->format, {"md", "json", "csv"});
  options->model.AddPlan(&command.options);
  options->model.AddRuntime(&command.options);
  command.run = [options] { return Run(*options); };
  command.storage = options;
  return command;
}

}  // namespace pelton
