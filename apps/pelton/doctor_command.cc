#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "base/available_memory.h"
#include "base/cpu_features.h"
#include "base/thread_pool.h"
#include "command.h"
#include "kernels/machine/machine_limits.h"
#include "kernels/ops/attention.h"
#include "kernels/ops/matmul_choices.h"
#include "kernels/ops/rms_norm.h"
#include "serving/model/language_model.h"
#include "serving/tuning/tuning_file.h"

namespace pelton {
namespace {

using Json = nlohmann::ordered_json;

struct DoctorOptions {
  bool json = false;
  int64_t threads = 0;
};

std::string MatmulName(size_t rows, MatmulRows kind) {
  return ChooseQuantizedMatmul(DType::kQ8_0, rows, kind).name;
}

std::vector<std::string> Advice(size_t threads) {
  std::vector<std::string> advice;
  const uint32_t lost = DetectedCpuFeatures() & ~CpuFeatures();
  if (lost != 0) {
    advice.push_back(
        fmt::format("PELTON_MAX_ISA switches off {}; unset it", CpuFeatureNames(lost)));
  }
  if (threads < UsableCores()) {
    advice.push_back(fmt::format("--threads {} would use every core", UsableCores()));
  }
  if ((DetectedCpuFeatures() & kCpuAvx512Vnni) == 0) {
    advice.push_back(
        "this processor has no 8-bit dot products (AVX-512 VNNI); a newer one reads prompts "
        "several times faster");
  } else if ((DetectedCpuFeatures() & kCpuAmx) == 0) {
    advice.push_back(
        "a processor with AMX, if the machine may show it to this system, reads prompts faster; "
        "generation is bound by memory reads");
  }
  return advice;
}

int Run(const DoctorOptions& options) {
  if (options.threads < 0 || options.threads > 1024) {
    return Fail(
        InvalidArgument(fmt::format("--threads: found {}, expected 0 to 1024", options.threads)));
  }
  ThreadPool pool(options.threads == 0 ? UsableCores() : static_cast<size_t>(options.threads));
  const Result<MachineLimits> limits = MeasureMachineLimits(pool, kReadBufferBytes);
  if (!limits.ok()) return Fail(limits.status());
  const std::string tuning_file = DefaultTuningFile();
  const Status tuned = ApplyTuning(tuning_file);
  std::vector<std::string> advice = Advice(pool.size());
  if (!tuned.ok()) {
    advice.push_back(tuned.code() == StatusCode::kNotFound
                         ? "pelton tune measures which kernels are the fastest here"
                         : tuned.message());
  }
  const std::string attention = ChooseImpl(AttentionImpls()).name;
  const std::string rows = ChooseImpl(RmsNormImpls()).name;
  if (options.json) {
    fmt::print("{}\n", Json{{"processor", CpuModelName()},
                            {"features", CpuFeatureNames(DetectedCpuFeatures())},
                            {"features_in_use", CpuFeatureNames(CpuFeatures())},
                            {"cores", UsableCores()},
                            {"threads", pool.size()},
                            {"memory_available_bytes", AvailableMemoryBytes()},
                            {"read_bytes_per_s", limits->read_bytes},
                            {"f32_ops_per_s", limits->f32_operations},
                            {"int8_ops_per_s", limits->int8_operations},
                            {"tile_bf16_ops_per_s", limits->tile_bf16_operations},
                            {"tile_int8_ops_per_s", limits->tile_int8_operations},
                            {"kernels",
                             {{"matmul_1_row", MatmulName(1, MatmulRows::kGenerated)},
                              {"matmul_64_rows", MatmulName(64, MatmulRows::kGenerated)},
                              {"matmul_prompt", MatmulName(512, MatmulRows::kPrompt)},
                              {"attention", attention},
                              {"row_ops", rows}}},
                            {"tuning_file", tuned.ok() ? tuning_file : ""},
                            {"advice", advice}}
                           .dump(2));
    return kExitOk;
  }
  fmt::print("processor   {}, {} cores for this process\n", CpuModelName(), UsableCores());
  fmt::print("features    {} (permitted by processor and system)\n",
             CpuFeatureNames(DetectedCpuFeatures()));
  fmt::print("in use      {}\n", CpuFeatureNames(CpuFeatures()));
  fmt::print("memory      {:.1f} GB available, reads {:.1f} GB/s with {} threads\n",
             static_cast<double>(AvailableMemoryBytes()) / 1e9, limits->read_bytes / 1e9,
             pool.size());
  fmt::print("compute     {:.0f} GFLOP/s in fp32, {:.0f} GOP/s in 8 bits",
             limits->f32_operations / 1e9, limits->int8_operations / 1e9);
  if (limits->tile_bf16_operations > 0) {
    fmt::print("; tiles {:.0f} GFLOP/s in bf16, {:.0f} GOP/s in 8 bits",
               limits->tile_bf16_operations / 1e9, limits->tile_int8_operations / 1e9);
  }
  fmt::print("\n");
  fmt::print("kernels     matmul {} (1 row), {} (64), {} (prompts); attention {}; row ops {}\n",
             MatmulName(1, MatmulRows::kGenerated), MatmulName(64, MatmulRows::kGenerated),
             MatmulName(512, MatmulRows::kPrompt), attention, rows);
  if (tuned.ok()) fmt::print("tuned by    {}\n", tuning_file);
  for (const std::string& line : advice) fmt::print("faster      {}\n", line);
  return kExitOk;
}

}  // namespace

Command DoctorCommand() {
  auto options = std::make_shared<DoctorOptions>();
  Command command{.name = "doctor",
                  .summary = "what this machine can do",
                  .description =
                      "Looks at the processor and what the system permits, measures memory reads "
                      "and arithmetic for a few seconds, and says which kernels will run and what "
                      "would make it faster."};
  command.options.push_back({.names = "--json",
                             .value = "",
                             .help = "print JSON",
                             .group = "output",
                             .target = &options->json});
  command.options.push_back({.names = "-t,--threads",
                             .value = "N",
                             .help = "threads that measure; 0 for one per core [0]",
                             .group = "resources",
                             .target = &options->threads});
  command.run = [options] { return Run(*options); };
  command.storage = options;
  return command;
}

}  // namespace pelton
