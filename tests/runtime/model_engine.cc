#include "model_engine.h"

#include "models/build/build_graph.h"

namespace pelton {
namespace {

constexpr size_t kMaxContext = 256;

template <typename T>
T ValueOrDie(Result<T> result) {
  PELTON_CHECK(result.ok(), result.status().message().c_str());
  return std::move(result).value();
}

}  // namespace

ModelEngine::ModelEngine(const ModelEngineOptions& options)
    : files_(ValueOrDie(OpenModel(options.path))), pool_(options.threads) {
  Graph graph = ValueOrDie(BuildGraph(files_.config, files_.weights));
  ValueOrDie(RunPasses({.numerics = options.numerics}, graph));
  PackedStore weights = ValueOrDie(PackedStore::Pack(graph, pool_, [](const StoredTensor&) {}));
  KvCacheView geometry{};
  geometry.dtype = options.numerics == Numerics::kExact ? KvDType::kF32 : KvDType::kF16;
  geometry.layers = files_.config.layers;
  geometry.kv_heads = files_.config.kv_heads;
  geometry.head_dim = files_.config.head_dim;
  geometry.block_tokens = 16;
  const StepLimits limits{.max_tokens = options.step_tokens,
                          .max_sequences = options.max_sequences,
                          .max_logit_rows = options.max_sequences + 16,
                          .max_context = kMaxContext};
  const auto make_executor =
      [&](const KvCacheView& cache) -> Result<std::unique_ptr<StepExecutor>> {
    ASSIGN_OR_RETURN(
        std::unique_ptr<GraphExecutor> executor,
        GraphExecutor::Create(std::move(graph), std::move(weights), cache, pool_,
                              {.limits = limits,
                               .need_invariant = true,
                               .prompts_apart = options.numerics != Numerics::kExact}));
    return std::unique_ptr<StepExecutor>(std::move(executor));
  };
  engine_ = ValueOrDie(
      Engine::Create({.kv_blocks = options.kv_blocks, .prefix_cache = options.prefix_cache},
                     geometry, make_executor, clock_, metrics_));
}

}  // namespace pelton
