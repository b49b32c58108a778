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
  Graph graph =
      ValueOrDie(BuildGraph(files_.config, files_.weights, 0,
                            options.mtp ? GraphOutputs::kLogitsAndHidden : GraphOutputs::kLogits));
  ValueOrDie(RunPasses({.numerics = options.numerics}, graph));
  PackedStore weights = ValueOrDie(PackedStore::Pack(graph, pool_, [](const StoredTensor&) {}));
  const bool exact = options.numerics == Numerics::kExact;
  KvCacheView geometry =
      CacheGeometryOf(files_.config, exact ? KvDType::kF32 : KvDType::kF16, options.mtp);
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
  Engine::ExecutorFactory make_draft_executor;
  if (options.mtp) {
    make_draft_executor = [&](const KvCacheView& cache) -> Result<std::unique_ptr<StepExecutor>> {
      Graph mtp = ValueOrDie(BuildMtpGraph(files_.config, files_.weights));
      ValueOrDie(RunPasses({.numerics = options.numerics}, mtp));
      PackedStore packed = ValueOrDie(PackedStore::Pack(mtp, pool_, [](const StoredTensor&) {}));
      ASSIGN_OR_RETURN(std::unique_ptr<GraphExecutor> executor,
                       GraphExecutor::Create(std::move(mtp), std::move(packed), cache, pool_,
                                             {.limits = limits, .need_invariant = false}));
      return std::unique_ptr<StepExecutor>(std::move(executor));
    };
  }
  engine_ =
      ValueOrDie(Engine::Create({.kv_blocks = options.kv_blocks,
                                 .prefix_cache = options.prefix_cache,
                                 .draft_tokens = options.draft_tokens},
                                geometry, make_executor, clock_, metrics_, make_draft_executor));
}

}  // namespace pelton
