#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "base/cpu_features.h"
#include "base/thread_pool.h"
#include "command.h"
#include "kernels/machine/tune_matmul.h"
#include "machine_load.h"
#include "serving/model/language_model.h"
#include "serving/tuning/tuning_file.h"

namespace pelton {
namespace {

struct TuneOptions {
  std::vector<std::string> weights;
  int64_t threads = 0;
  int64_t rounds = 7;
  std::string out;
};

// The formats that are named, or all.
Result<std::vector<DType>> Wanted(const TuneOptions& options) {
  const std::vector<DType> all = TunableWeights();
  if (options.weights.empty()) return all;
  std::vector<DType> wanted;
  for (const std::string& name : options.weights) {
    const std::optional<DType> dtype = ParseDType(name);
    if (!dtype.has_value() || std::ranges::find(all, *dtype) == all.end()) {
      std::string names;
      for (const DType one : all)
        names += (names.empty() ? "" : ", ") + std::string(DTypeName(one));
      return InvalidArgument(
          fmt::format("--weights: found \"{}\", expected one of {}", name, names));
    }
    if (std::ranges::find(wanted, *dtype) == wanted.end()) wanted.push_back(*dtype);
  }
  return wanted;
}

// The kernel of the last choice up to `rows`.
std::string KernelFor(const std::vector<MatmulChoice>& choices, MatmulRows kind, size_t rows) {
  std::string name;
  for (const MatmulChoice& choice : choices) {
    if (choice.rows == kind && choice.min_rows <= rows) name = choice.impl;
  }
  return name;
}

void PrintTimings(const MatmulTimings& timings, const std::vector<MatmulChoice>& choices) {
  fmt::print("\n{}, GOP/s\n\n| rows |", DTypeName(timings.weights));
  for (const MatmulImpl* impl : timings.impls) fmt::print(" {} |", impl->name);
  fmt::print(" generated | any |\n|--:|");
  for (size_t i = 0; i < timings.impls.size(); ++i) fmt::print("--:|");
  fmt::print("---|---|\n");
  for (const MatmulTimings::OfRows& of : timings.rows) {
    fmt::print("| {} |", of.rows);
    for (const double seconds : of.seconds) fmt::print(" {:.0f} |", of.operations / seconds / 1e9);
    fmt::print(" {} | {} |\n", KernelFor(choices, MatmulRows::kGenerated, of.rows),
               KernelFor(choices, MatmulRows::kAny, of.rows));
  }
  std::fflush(stdout);
}

int Run(const TuneOptions& options) {
  if (options.threads < 0 || options.threads > 1024) {
    return Fail(
        InvalidArgument(fmt::format("--threads: found {}, expected 0 to 1024", options.threads)));
  }
  if (options.rounds < 1 || options.rounds > 1000) {
    return Fail(
        InvalidArgument(fmt::format("--rounds: found {}, expected 1 to 1000", options.rounds)));
  }
  const Result<std::vector<DType>> wanted = Wanted(options);
  if (!wanted.ok()) return Fail(wanted.status());
  if (wanted->empty()) {
    fmt::print("this processor has one kernel for everything: there is nothing to choose\n");
    return kExitOk;
  }
  const std::string path = options.out.empty() ? DefaultTuningFile() : options.out;
  // What other runs found of other formats stays.
  std::vector<MatmulChoice> all;
  const Tuning here = TuningOfThisMachine({});
  if (const Result<Tuning> before = ReadTuning(path);
      before.ok() && before->processor == here.processor && before->features == here.features) {
    all = before->matmul;
  }
  ThreadPool pool(options.threads == 0 ? UsableCores() : static_cast<size_t>(options.threads));
  const MachineLoad load;
  fmt::print("{}, {}, {} threads\n", here.processor, here.features, pool.size());
  for (const DType weights : *wanted) {
    const Result<MatmulTimings> timings =
        TimeMatmuls(pool, weights, static_cast<size_t>(options.rounds));
    if (!timings.ok()) return Fail(timings.status());
    const std::vector<MatmulChoice> choices = FastestMatmuls(*timings);
    PrintTimings(*timings, choices);
    std::erase_if(all, [&](const MatmulChoice& choice) { return choice.weights == weights; });
    all.insert(all.end(), choices.begin(), choices.end());
  }
  const Status written = WriteTuning(path, TuningOfThisMachine(all));
  if (!written.ok()) return Fail(written);
  fmt::print("\nwritten to {}\n", path);
  if (load.OthersShare() > kQuietShare) {
    fmt::print(stderr,
               "pelton: the machine was not quiet: others used {:.0f} % of its processors; tune "
               "again when it is\n",
               load.OthersShare() * 100);
  }
  return kExitOk;
}

}  // namespace

Command TuneCommand() {
  auto options = std::make_shared<TuneOptions>();
  Command command{
      .name = "tune",
      .summary = "choose the fastest kernels of this machine",
      .description =
          "Times the kernels that give the same results on matrix products of 1 to 512 rows, for "
          "each format of weights, and writes down which is the fastest from how many rows on. "
          "Commands that run models follow the file from their next start; what they answer does "
          "not change by it. To be run while the machine is quiet: a minute or two."};
  command.options.push_back({.names = "--weights",
                             .value = "FORMAT",
                             .help = "a format such as Q8_0; may be given again [all]",
                             .group = "what",
                             .target = &options->weights});
  command.options.push_back(
      {.names = "--rounds",
       .value = "N",
       .help = "times that each kernel is timed, of which the median counts [7]",
       .group = "what",
       .target = &options->rounds});
  command.options.push_back({.names = "-t,--threads",
                             .value = "N",
                             .help = "threads that multiply; 0 for one per core [0]",
                             .group = "resources",
                             .target = &options->threads});
  command.options.push_back({.names = "-o,--out",
                             .value = "FILE",
                             .help = "where choices go [$XDG_CACHE_HOME/pelton/tuning.json]",
                             .group = "output",
                             .target = &options->out});
  command.run = [options] { return Run(*options); };
  command.storage = options;
  return command;
}

}  // namespace pelton
