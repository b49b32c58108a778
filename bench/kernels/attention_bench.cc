#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/checked_math.h"
#include "base/cpu_features.h"
#include "base/thread_pool.h"
#include "kernels/machine/machine_limits.h"
#include "kernels/ops/attention.h"

// Attention over the paged cache, as a share of what this machine can do at most. Rows are named
//   implementation / type of the cache / H/G heads x D / rows x sequences @ context [/ split]
// where D of a latent cache is value+rest, with the counters GB/s and %read (keys and values read
// once per KV head), GOP/s and %peak (a multiply-add per visible key and element of keys and of
// values; the peak is that of f32) and busiest_us (processor time of the thread that has the most
// to do, without waiting at barriers). The peaks are measured with as many threads before the first
// row. Cases of one row per sequence cycle through enough layers to read from memory. With `split`
// each thread takes a portion of the keys, without it heads. --threads=N sets the number of
// threads; as many as processors otherwise.

namespace pelton {
namespace {

struct Shape {
  size_t heads;
  size_t kv_heads;
  size_t dim;
  size_t rope_dim;  // of a latent cache, behind the dim elements that are values; 0 of others
  KvDType dtype;
  size_t rows;  // new rows per sequence
  size_t sequences;
  size_t context;
  bool split;
};

constexpr size_t kBlockTokens = 32;
constexpr size_t kMemoryBytes = size_t{768} << 20;

// Anonymous memory in large pages.
class Mapping {
 public:
  explicit Mapping(size_t bytes) : bytes_(RoundUp(bytes, size_t{2} << 20)) {
    data_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data_ == MAP_FAILED) std::abort();
    madvise(data_, bytes_, MADV_HUGEPAGE);
  }
  ~Mapping() { munmap(data_, bytes_); }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  std::byte* data() const { return static_cast<std::byte*>(data_); }
  size_t size() const { return bytes_; }

 private:
  size_t bytes_;
  void* data_;
};

// Processor time of the calling thread.
double ThreadSeconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}
struct alignas(64) WorkerTime {
  double seconds = 0;
};

// Random codes with scales of 1, and rotary lanes of 0.
void FillFp8(const KvCacheView& cache, std::mt19937& rng) {
  const float scale = 1;
  const size_t rows = cache.num_blocks * cache.layers * cache.block_tokens;
  for (size_t row = 0; row < rows; ++row) {
    std::byte* bytes = cache.data + row * cache.RowBytes();
    for (size_t i = 0; i < cache.value_dim; i += 4) {
      const uint32_t codes = static_cast<uint32_t>(rng()) & 0xbfbfbfbf;
      std::memcpy(bytes + i, &codes, sizeof(codes));
    }
    for (size_t g = 0; g < cache.value_dim / kFp8Group; ++g) {
      std::memcpy(bytes + cache.value_dim + g * sizeof(scale), &scale, sizeof(scale));
    }
  }
}

void RunCase(benchmark::State& state, ThreadPool& pool, const MachineLimits& limits,
             const OpImpl<AttentionArgs>& impl, const Shape& shape) {
  const size_t blocks_each = DivUp(shape.context, kBlockTokens);
  KvCacheView cache = {.data = nullptr,
                       .dtype = shape.dtype,
                       .num_blocks = blocks_each * shape.sequences,
                       .layers = 1,
                       .kv_heads = shape.kv_heads,
                       .head_dim = shape.dim + shape.rope_dim,
                       .block_tokens = kBlockTokens,
                       .value_dim = shape.rope_dim == 0 ? 0 : shape.dim};
  if (shape.rows == 1) {
    cache.layers = std::max<size_t>(1, kMemoryBytes / (cache.num_blocks * cache.BlockBytes()));
  }
  const Mapping bytes(cache.num_blocks * cache.BlockBytes());
  cache.data = bytes.data();
  std::mt19937 rng(1);
  // 1.0 to 2.0 in f32 and f16, numbers of all sizes in floats of 8 bits.
  if (shape.dtype == KvDType::kFp8) {
    FillFp8(cache, rng);
  } else if (shape.dtype == KvDType::kF32) {
    for (size_t i = 0; i < bytes.size(); i += 4) {
      const uint32_t bits = 0x3f800000 | (rng() >> 9);
      std::memcpy(bytes.data() + i, &bits, sizeof(bits));
    }
  } else {
    for (size_t i = 0; i < bytes.size(); i += 4) {
      const uint32_t bits = 0x3c003c00 | (static_cast<uint32_t>(rng()) & 0x03ff03ff);
      std::memcpy(bytes.data() + i, &bits, sizeof(bits));
    }
  }
  std::vector<int32_t> table(cache.num_blocks);
  for (size_t i = 0; i < table.size(); ++i) table[i] = static_cast<int32_t>(i);
  std::shuffle(table.begin(), table.end(), rng);
  std::vector<SequenceSpan> spans;
  spans.reserve(shape.sequences);
  for (size_t s = 0; s < shape.sequences; ++s) {
    spans.push_back({static_cast<int32_t>(s * shape.rows), static_cast<int32_t>(shape.rows),
                     static_cast<int32_t>(shape.context), table.data() + s * blocks_each});
  }
  const size_t width = shape.heads * shape.dim, rows = shape.rows * shape.sequences;
  const size_t rope_width = shape.heads * shape.rope_dim;
  std::vector<float> q(rows * width, 0.125f), q_rope(rows * rope_width, 0.125f), out(rows * width);
  AttentionArgs args = {.q = q.data(),
                        .out = out.data(),
                        .out_quantized = nullptr,
                        .q_stride = width,
                        .out_stride = width,
                        .heads = shape.heads,
                        .cache = cache,
                        .layer = 0,
                        .sequences = spans.data(),
                        .num_sequences = spans.size(),
                        .scale = 0.125f,
                        .soft_cap = 0,
                        .window = 0,
                        .q_rope = rope_width == 0 ? nullptr : q_rope.data(),
                        .q_rope_stride = rope_width};
  std::vector<std::unique_ptr<Mapping>> scratch;
  scratch.reserve(pool.size());
  for (size_t i = 0; i < pool.size(); ++i) {
    scratch.push_back(std::make_unique<Mapping>(AttentionScratchBytes(args)));
  }
  if (shape.split) args.split = SplitAttention(args, pool.size());
  const Mapping states(shape.split ? AttentionStateBytes(args) + 1 : 1);
  args.split.states = reinterpret_cast<float*>(states.data());
  std::vector<WorkerTime> times(pool.size());
  const auto run_share = [&](const AttentionArgs& a, size_t worker) {
    const size_t units = AttentionUnits(a);
    const double start = ThreadSeconds();
    impl.run(a, units * worker / pool.size(), units * (worker + 1) / pool.size(),
             scratch[worker]->data());
    times[worker].seconds += ThreadSeconds() - start;
  };
  const auto step = [&] {
    AttentionArgs merge = args;
    merge.split.merge = true;
    pool.Run([&](size_t worker) {
      run_share(args, worker);
      if (!shape.split) return;
      pool.Barrier();
      run_share(merge, worker);
    });
    args.layer = (args.layer + 1) % cache.layers;
  };
  step();
  times.assign(pool.size(), {});
  for (auto _ : state) step();

  const double past = static_cast<double>(shape.context - shape.rows);
  const double keys_seen = shape.rows * (past + (shape.rows + 1) / 2.0) * shape.sequences;
  const double operations = 2.0 * keys_seen * static_cast<double>(2 * width + rope_width);
  const double read =
      1.0 * cache.Sides() * shape.context * shape.sequences * shape.kv_heads * cache.RowBytes();
  const double iterations = static_cast<double>(state.iterations());
  const double longest = std::max_element(times.begin(), times.end(), [](auto& a, auto& b) {
                           return a.seconds < b.seconds;
                         })->seconds;
  using benchmark::Counter;
  state.counters["busiest_us"] = longest * 1e6 / iterations;
  state.counters["GB/s"] = Counter(read * 1e-9 * iterations, Counter::kIsRate);
  state.counters["%read"] = Counter(100 * read / limits.read_bytes * iterations, Counter::kIsRate);
  state.counters["GOP/s"] = Counter(operations * 1e-9 * iterations, Counter::kIsRate);
  state.counters["%peak"] =
      Counter(100 * operations / limits.f32_operations * iterations, Counter::kIsRate);
}

const char* NameOf(KvDType dtype) {
  return dtype == KvDType::kF32 ? "f32" : dtype == KvDType::kF16 ? "f16" : "fp8";
}

void Register(ThreadPool& pool, const MachineLimits& limits) {
  struct Heads {
    size_t heads, kv_heads, dim, rope_dim;
  };
  struct Work {
    size_t rows, sequences, context;
    bool split = false;
  };
  for (const OpImpl<AttentionArgs>& impl : AttentionImpls()) {
    if ((impl.required_features & ~CpuFeatures()) != 0) continue;
    for (const KvDType dtype : {KvDType::kF16, KvDType::kF32, KvDType::kFp8}) {
      for (const Heads& h : {Heads{9, 3, 64, 0}, Heads{32, 4, 64, 0}, Heads{32, 8, 128, 0},
                             Heads{16, 1, 512, 64}, Heads{128, 1, 512, 64}}) {
        if (dtype == KvDType::kFp8 && h.rope_dim == 0) continue;
        for (const Work& w :
             {Work{1, 1, 128}, Work{1, 1, 512}, Work{1, 1, 4096}, Work{1, 1, 4096, true},
              Work{1, 1, 16384}, Work{1, 1, 16384, true}, Work{1, 1, 32768},
              Work{1, 1, 32768, true}, Work{1, 3, 8192}, Work{1, 3, 8192, true}, Work{1, 16, 512},
              Work{512, 1, 512}, Work{512, 1, 2048}, Work{512, 1, 8192}}) {
          const Shape shape = {h.heads, h.kv_heads,  h.dim,     h.rope_dim, dtype,
                               w.rows,  w.sequences, w.context, w.split};
          const std::string dim =
              h.rope_dim == 0 ? fmt::format("{}", h.dim) : fmt::format("{}+{}", h.dim, h.rope_dim);
          const std::string name =
              fmt::format("attention/{}/{}/{}/{}x{}/{}x{}@{}{}", impl.name, NameOf(dtype), h.heads,
                          h.kv_heads, dim, w.rows, w.sequences, w.context, w.split ? "/split" : "");
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

}  // namespace
}  // namespace pelton

int main(int argc, char** argv) {
  size_t threads = std::max(1u, std::thread::hardware_concurrency());
  constexpr std::string_view kThreads = "--threads=";
  int kept = 1;
  for (int i = 1; i < argc; ++i) {
    const std::string_view flag = argv[i];
    if (flag.substr(0, kThreads.size()) != kThreads) {
      argv[kept++] = argv[i];
      continue;
    }
    const std::string_view value = flag.substr(kThreads.size());
    const char* const begin = value.data();
    const char* const end = begin + value.size();
    const auto parsed = std::from_chars(begin, end, threads);
    if (parsed.ec != std::errc{} || parsed.ptr != end || threads == 0) {
      fmt::print(stderr, "--threads wants a positive number, not '{}'\n", value);
      return 2;
    }
  }
  argc = kept;
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  pelton::ThreadPool pool(threads);
  const auto limits = pelton::MeasureMachineLimits(pool, pelton::kReadBufferBytes);
  if (!limits.ok()) {
    std::fprintf(stderr, "%s\n", limits.status().message().c_str());
    return 1;
  }
  std::printf("%s, %s, %zu threads: read %.1f GB/s, f32 %.0f GOP/s\n",
              pelton::CpuModelName().c_str(),
              pelton::CpuFeatureNames(pelton::CpuFeatures()).c_str(), threads,
              limits->read_bytes * 1e-9, limits->f32_operations * 1e-9);
  pelton::Register(pool, *limits);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
