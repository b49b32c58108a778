#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "base/cpu_features.h"
#include "base/thread_pool.h"
#include "kernels/machine/machine_limits.h"
#include "kernels/ops/matmul.h"
#include "kernels/reference/matmul_case.h"

// Matrix products, as a share of what this machine can do at most. Rows are named
//   implementation / weights / activations (x8: 8 bits, xf: f32) / place of the weights / M
// with the counters GB/s (weights read once), GOP/s, %read and %peak: of the memory's read rate
// and of the arithmetic peak, measured with as many threads just before. PELTON_BENCH_THREADS sets
// the number of threads; as many as processors otherwise.

namespace pelton {
namespace {

constexpr size_t kCols = 2048;
constexpr size_t kCachedColumns = 5632;    // a feed-forward layer of a 1.1B model
constexpr size_t kMemoryColumns = 393216;  // 0.4 to 0.9 GB: beyond any cache

// One case at a time: weights of many cases at once would not fit.
MatmulCase& CachedCase(const MatmulShape& shape) {
  static MatmulShape last;
  static std::unique_ptr<MatmulCase> data;
  const auto key = [](const MatmulShape& s) {
    return std::tuple(s.dtype, s.quantized_x, s.columns, s.cols);
  };
  if (!data || key(last) != key(shape)) {
    data.reset();
    MatmulShape largest = shape;
    largest.rows = 512;
    data = std::make_unique<MatmulCase>(largest, 1);
    last = shape;
  }
  return *data;
}

void RunCase(benchmark::State& state, ThreadPool& pool, const MachineLimits& limits,
             const MatmulImpl& impl, const MatmulShape& shape) {
  MatmulCase& data = CachedCase(shape);
  MatmulArgs args = data.ArgsOfRows(0, shape.rows);
  AlignedBytes out(shape.rows * shape.columns * sizeof(float));
  args.out = reinterpret_cast<float*>(out.data());
  args.out_stride = shape.columns;
  std::vector<std::unique_ptr<AlignedBytes>> scratch;
  scratch.reserve(pool.size());
  for (size_t i = 0; i < pool.size(); ++i) {
    scratch.push_back(std::make_unique<AlignedBytes>(impl.scratch_bytes(args)));
  }
  const size_t units = MatmulUnits(args);
  const auto step = [&] {
    pool.Run([&](size_t worker) {
      impl.run(args, units * worker / pool.size(), units * (worker + 1) / pool.size(),
               scratch[worker]->data());
    });
  };
  step();
  for (auto _ : state) step();
  const double seconds_inverse = static_cast<double>(state.iterations());
  const double bytes = static_cast<double>(data.weights().size());
  const double operations = 2.0 * shape.rows * shape.columns * shape.cols;
  using benchmark::Counter;
  state.counters["GB/s"] = Counter(bytes * 1e-9 * seconds_inverse, Counter::kIsRate);
  state.counters["GOP/s"] = Counter(operations * 1e-9 * seconds_inverse, Counter::kIsRate);
  state.counters["%read"] =
      Counter(100 * bytes / limits.read_bytes * seconds_inverse, Counter::kIsRate);
  state.counters["%peak"] = Counter(
      100 * operations / (shape.quantized_x ? limits.int8_operations : limits.f32_operations) *
          seconds_inverse,
      Counter::kIsRate);
}

void Register(ThreadPool& pool, const MachineLimits& limits) {
  for (const bool memory : {true, false}) {
    for (const DType dtype :
         {DType::kQ8_0, DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ4_K, DType::kQ6_K,
          DType::kW8, DType::kF32, DType::kF16, DType::kBF16, DType::kF8E4M3}) {
      for (const bool quantized_x : {true, false}) {
        // Floats are wide: with fewer of them the bytes are as many.
        const bool wide = !IsQuantized(dtype) && BlockBytes(dtype) > 1;
        const size_t columns = !memory ? kCachedColumns
                               : wide  ? kMemoryColumns / 2
                                       : kMemoryColumns;
        for (const MatmulImpl& impl : MatmulImpls()) {
          if ((impl.required_features & ~CpuFeatures()) != 0) continue;
          if (!impl.supports(quantized_x, dtype)) continue;
          for (const size_t rows : {1, 2, 4, 8, 12, 16, 24, 32, 64, 128, 512}) {
            if (memory && rows > 32) continue;
            const MatmulShape shape = {.dtype = dtype,
                                       .quantized_x = quantized_x,
                                       .rows = rows,
                                       .columns = columns,
                                       .cols = kCols};
            const std::string name =
                fmt::format("matmul/{}/{}/{}/{}/M:{}", impl.name, DTypeName(dtype),
                            quantized_x ? "x8" : "xf", memory ? "memory" : "cache", rows);
            benchmark::RegisterBenchmark(name.c_str(),
                                         [&pool, &limits, &impl, shape](benchmark::State& state) {
                                           RunCase(state, pool, limits, impl, shape);
                                         })
                ->UseRealTime()
                ->Unit(benchmark::kMicrosecond);
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace pelton

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  const char* env = std::getenv("PELTON_BENCH_THREADS");  // NOLINT(concurrency-mt-unsafe)
  const int wanted = env != nullptr ? std::atoi(env) : 0;
  const size_t threads =
      wanted > 0 ? static_cast<size_t>(wanted) : std::max(1u, std::thread::hardware_concurrency());
  pelton::ThreadPool pool(threads);
  const auto limits = pelton::MeasureMachineLimits(pool, pelton::kReadBufferBytes);
  if (!limits.ok()) {
    std::fprintf(stderr, "%s\n", limits.status().message().c_str());
    return 1;
  }
  std::printf("%s, %s, %zu threads: read %.1f GB/s, f32 %.0f GOP/s, 8 bits %.0f GOP/s\n",
              pelton::CpuModelName().c_str(),
              pelton::CpuFeatureNames(pelton::CpuFeatures()).c_str(), threads,
              limits->read_bytes * 1e-9, limits->f32_operations * 1e-9,
              limits->int8_operations * 1e-9);
  pelton::Register(pool, *limits);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
