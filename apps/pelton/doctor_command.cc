#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "base/available_memory.h"
#include "base/cpu_features.h"
#include "base/thread_pool.h"
#include "command.h"
#include "kernels/ops/attention.h"
#include "kernels/ops/matmul.h"
#include "kernels/ops/rms_norm.h"
#include "serving/model/language_model.h"

namespace pelton {
namespace {

using Json = nlohmann::ordered_json;

struct DoctorOptions {
  bool json = false;
  int64_t threads = 0;
};

struct Measured {
  double read_bytes_per_s = 0;
  double int8_ops_per_s = 0;
  double f32_ops_per_s = 0;
};

double SecondsOf(FunctionRef<void()> work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// The best of several reads of a buffer far larger than any cache, all threads, each its own part.
Result<double> ReadRate(ThreadPool& pool) {
  constexpr size_t kBytes = size_t{1} << 30;
  ASSIGN_OR_RETURN(const Arena arena, Arena::Allocate(kBytes, "memory probe"));
  auto* words = reinterpret_cast<uint64_t*>(arena.data());
  const size_t count = kBytes / sizeof(uint64_t);
  pool.ParallelFor(count, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) words[i] = i;
  });
  std::vector<uint64_t> sums(pool.size());
  double best = 0;
  for (int round = 0; round < 4; ++round) {
    const double seconds = SecondsOf([&] {
      pool.Run([&](size_t worker) {
        const size_t begin = count * worker / pool.size();
        const size_t end = count * (worker + 1) / pool.size();
        uint64_t sum = 0;
        for (size_t i = begin; i < end; ++i) sum += words[i];
        sums[worker] += sum;
      });
    });
    best = std::max(best, static_cast<double>(kBytes) / seconds);
  }
  if (sums[0] == 1) return Internal("the probe lost its data");  // keeps the sums alive
  return best;
}

// Rate of the chosen matmul kernel on a matrix that stays in cache, many rows.
Result<double> MatmulRate(ThreadPool& pool, bool quantized) {
  constexpr size_t kRows = 256, kOut = 1024, kIn = 1024;
  const DType dtype = quantized ? DType::kQ8_0 : DType::kF32;
  const size_t weight_bytes = *PackedBytes(dtype, kOut, kIn);
  ASSIGN_OR_RETURN(const Arena weights, Arena::Allocate(weight_bytes, "compute probe"));
  const size_t row_bytes = std::max(QuantizedRows::TermBytes(kIn), kIn * sizeof(float));
  ASSIGN_OR_RETURN(const Arena rows, Arena::Allocate(kRows * row_bytes, "compute probe"));
  ASSIGN_OR_RETURN(const Arena out, Arena::Allocate(kRows * kOut * sizeof(float), "compute probe"));
  MatmulArgs args{};
  args.x_f32 = quantized ? nullptr : reinterpret_cast<const float*>(rows.data());
  args.x_quantized = quantized ? rows.data() : nullptr;
  args.x_stride = kIn;
  args.rows = kRows;
  args.weights = {.data = weights.data(), .dtype = dtype, .rows = kOut, .cols = kIn};
  args.out = reinterpret_cast<float*>(out.data());
  args.out_stride = kOut;
  const MatmulImpl& impl = ChooseMatmul(args, MatmulRows::kGenerated);
  const size_t scratch_bytes = RoundUp(std::max<size_t>(impl.scratch_bytes(args), 64), 4096);
  ASSIGN_OR_RETURN(const Arena scratch,
                   Arena::Allocate(scratch_bytes * pool.size(), "compute probe"));
  double best = 0;
  for (int round = 0; round < 8; ++round) {
    const double seconds = SecondsOf([&] {
      pool.Run([&](size_t worker) {
        const size_t units = MatmulUnits(args);
        impl.run(args, units * worker / pool.size(), units * (worker + 1) / pool.size(),
                 scratch.data() + worker * scratch_bytes);
      });
    });
    best = std::max(best, 2.0 * kRows * kOut * kIn / seconds);
  }
  return best;
}

Result<Measured> Measure(ThreadPool& pool) {
  Measured measured;
  ASSIGN_OR_RETURN(measured.read_bytes_per_s, ReadRate(pool));
  ASSIGN_OR_RETURN(measured.int8_ops_per_s, MatmulRate(pool, true));
  ASSIGN_OR_RETURN(measured.f32_ops_per_s, MatmulRate(pool, false));
  return measured;
}

std::string MatmulName(size_t rows, MatmulRows kind) {
  MatmulArgs args{};
  std::byte none{};
  args.x_quantized = &none;
  args.rows = rows;
  args.weights = {.data = nullptr, .dtype = DType::kQ8_0, .rows = 1024, .cols = 1024};
  return ChooseMatmul(args, kind).name;
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
  const Result<Measured> measured = Measure(pool);
  if (!measured.ok()) return Fail(measured.status());
  const std::vector<std::string> advice = Advice(pool.size());
  const std::string attention = ChooseImpl(AttentionImpls()).name;
  const std::string rows = ChooseImpl(RmsNormImpls()).name;
  if (options.json) {
    fmt::print("{}\n", Json{{"processor", CpuModelName()},
                            {"features", CpuFeatureNames(DetectedCpuFeatures())},
                            {"features_in_use", CpuFeatureNames(CpuFeatures())},
                            {"cores", UsableCores()},
                            {"threads", pool.size()},
                            {"memory_available_bytes", AvailableMemoryBytes()},
                            {"read_bytes_per_s", measured->read_bytes_per_s},
                            {"int8_ops_per_s", measured->int8_ops_per_s},
                            {"f32_ops_per_s", measured->f32_ops_per_s},
                            {"kernels",
                             {{"matmul_1_row", MatmulName(1, MatmulRows::kGenerated)},
                              {"matmul_64_rows", MatmulName(64, MatmulRows::kGenerated)},
                              {"matmul_prompt", MatmulName(512, MatmulRows::kPrompt)},
                              {"attention", attention},
                              {"row_ops", rows}}},
                            {"advice", advice}}
                           .dump(2));
    return kExitOk;
  }
  fmt::print("processor   {}, {} cores for this process\n", CpuModelName(), UsableCores());
  fmt::print("features    {} (permitted by processor and system)\n",
             CpuFeatureNames(DetectedCpuFeatures()));
  fmt::print("in use      {}\n", CpuFeatureNames(CpuFeatures()));
  fmt::print("memory      {:.1f} GB available, reads {:.1f} GB/s with {} threads\n",
             static_cast<double>(AvailableMemoryBytes()) / 1e9, measured->read_bytes_per_s / 1e9,
             pool.size());
  fmt::print("compute     {:.0f} GOP/s in 8 bits, {:.0f} GFLOP/s in fp32, with Pelton's kernels\n",
             measured->int8_ops_per_s / 1e9, measured->f32_ops_per_s / 1e9);
  fmt::print("kernels     matmul {} (1 row), {} (64), {} (prompts); attention {}; row ops {}\n",
             MatmulName(1, MatmulRows::kGenerated), MatmulName(64, MatmulRows::kGenerated),
             MatmulName(512, MatmulRows::kPrompt), attention, rows);
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
