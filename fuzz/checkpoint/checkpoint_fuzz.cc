// A config.json and the tensors of a checkpoint: built, run through the passes in both numerics,
// and where it is small packed and run for two steps. A refusal says which file is to blame and
// costs no more memory than the input is worth; what is accepted runs.

#include <sanitizer/allocator_interface.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "graph/execute/graph_executor.h"
#include "models/build/build_graph.h"
#include "tensor_list.h"

namespace {

using namespace pelton;  // NOLINT(google-build-using-namespace)

std::atomic<int64_t> live_bytes{0};
std::atomic<int64_t> peak_bytes{0};

void OnAllocate(const volatile void*, size_t size) {
  const int64_t live = live_bytes += static_cast<int64_t>(size);
  if (live > peak_bytes) peak_bytes = live;
}

void OnFree(const volatile void* pointer) {
  if (pointer == nullptr) return;
  live_bytes -=
      static_cast<int64_t>(__sanitizer_get_allocated_size(const_cast<const void*>(pointer)));
}

// What building may hold: nodes and values of a layer for its tensors' names, and copies of weights
// that are turned.
constexpr int64_t kFixedBytes = 64 << 10;
constexpr int64_t kBytesPerInputByte = 32;
constexpr int64_t kBytesPerWeightByte = 32;
// What is run: a graph of a few layers and memory of a few MiB.
constexpr size_t kMostNodes = 600;
constexpr int kMostMends = 200;
constexpr size_t kMostPacked = 1 << 20;
constexpr size_t kMostMemory = 16 << 20;
constexpr StepLimits kLimits{
    .max_tokens = 3, .max_sequences = 1, .max_logit_rows = 3, .max_context = 8};

// A prompt of three tokens, and one more.
void RunSteps(const ModelConfig& config, GraphExecutor* executor) {
  const int32_t last = static_cast<int32_t>(config.vocab) - 1;
  const int32_t tokens[] = {0, last, last / 2, last};
  const int32_t positions[] = {0, 1, 2, 3}, rows[] = {0, 1, 2};
  const int32_t table[] = {1};
  constexpr int32_t kBlockTokens = 16;
  const int32_t slots[] = {kBlockTokens, kBlockTokens + 1, kBlockTokens + 2, kBlockTokens + 3};
  for (const auto& [first, count] : {std::pair<int32_t, int32_t>(0, 3), {3, 1}}) {
    const auto begin = static_cast<size_t>(first), size = static_cast<size_t>(count);
    const SequenceSpan sequence{0, count, first + count, table};
    const std::span<float> logits =
        executor->Run({.tokens = std::span(tokens).subspan(begin, size),
                       .positions = std::span(positions).subspan(begin, size),
                       .slots = std::span(slots).subspan(begin, size),
                       .sequences = std::span(&sequence, 1),
                       .logit_rows = std::span(rows).first(size),
                       .prompt_rows = size > 1 ? size : 0});
    if (logits.size() != size * config.vocab) std::abort();
  }
}

// Invariant steps have kernels for prompts and for the rest, others one that may be of other
// arithmetic.
void Execute(const ModelConfig& config, Graph graph, Numerics numerics, bool invariant) {
  static ThreadPool pool(1);
  const bool exact = numerics == Numerics::kExact;
  KvCacheView view = CacheGeometryOf(config, exact ? KvDType::kF32 : KvDType::kF16);
  view.block_tokens = 16;
  view.num_blocks = 2;
  const size_t cache_bytes = view.num_blocks * view.BlockBytes();
  if (cache_bytes > kMostMemory || ArenaBytesFor(graph, kLimits) > kMostMemory) return;
  Result<Arena> cache = Arena::Allocate(cache_bytes, "cache");
  Result<PackedStore> weights = PackedStore::Pack(graph, pool, [](const StoredTensor&) {});
  if (!cache.ok() || !weights.ok()) std::abort();
  view.data = cache->data();
  auto executor = GraphExecutor::Create(
      std::move(graph), std::move(weights).value(), view, pool,
      {.limits = kLimits, .need_invariant = invariant, .prompts_apart = invariant && !exact});
  if (!executor.ok()) std::abort();
  RunSteps(config, executor->get());
}

void Check(const ModelConfig& config, const Graph& graph) {
  if (graph.nodes.size() > kMostNodes) return;
  for (const Numerics numerics : {Numerics::kExact, Numerics::kFast}) {
    for (const int level : {0, 3}) {
      Graph copy = graph;
      if (!RunPasses({.numerics = numerics, .fusion_level = level, .switched_off = {}}, copy)
               .ok()) {
        std::abort();
      }
      const Result<size_t> packed = PackedStore::BytesFor(copy);
      if (!packed.ok()) std::abort();  // types were checked, and the tensors are here
      if (*packed <= kMostPacked && !config.encoder)
        Execute(config, std::move(copy), numerics, level == 3);
    }
  }
}

void ExpectRefusal(const Status& status) {
  const bool of_the_files =
      status.code() == StatusCode::kDataLoss || status.code() == StatusCode::kUnimplemented;
  if (!of_the_files || status.message().empty() || status.message().size() > 4096) std::abort();
}

}  // namespace

// Four bytes that say how long config.json is, its text, and a safetensors image or, after '#' and
// a line's end, a list of tensors.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  static const bool hooked = __sanitizer_install_malloc_and_free_hooks(OnAllocate, OnFree) != 0;
  if (!hooked) std::abort();
  uint32_t config_size = 0;
  if (size < sizeof(config_size)) return 0;
  std::memcpy(&config_size, bytes, sizeof(config_size));
  const std::string_view input(reinterpret_cast<const char*>(bytes) + 4, size - 4);
  if (config_size > input.size()) return 0;
  const std::string_view rest = input.substr(config_size);
  fuzz::Checkpoint checkpoint;
  const bool read = rest.starts_with("#\n")
                        ? fuzz::ReadList(rest.substr(2), &checkpoint)
                        : fuzz::ReadImage(std::as_bytes(std::span(rest)), &checkpoint);
  if (!read) return 0;

  Result<WeightSource> weights = checkpoint.Source();
  if (!weights.ok()) return ExpectRefusal(weights.status()), 0;
  const int64_t before = live_bytes;
  peak_bytes = before;
  const Result<ModelConfig> config = ConfigFromJson(input.substr(0, config_size), "fuzz.json");
  if (!config.ok()) return ExpectRefusal(config.status()), 0;
  Result<Graph> graph = BuildGraph(*config, *weights, 0);
  const int64_t limit = kFixedBytes + kBytesPerInputByte * static_cast<int64_t>(size) +
                        kBytesPerWeightByte * static_cast<int64_t>(weights->TotalBytes());
  if (peak_bytes - before > limit) std::abort();
  for (int i = 0; i < kMostMends && !graph.ok(); ++i) {
    ExpectRefusal(graph.status());
    if (!fuzz::Mend(graph.status().message(), &checkpoint)) break;
    weights = checkpoint.Source();
    if (!weights.ok()) std::abort();
    graph = BuildGraph(*config, *weights, 0);
  }
  if (!graph.ok()) return ExpectRefusal(graph.status()), 0;
  Check(*config, *graph);
  return 0;
}
