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
  const KvDType dtype = options.kv_dtype.value_or(
      options.passes.numerics == Numerics::kExact ? KvDType::kF32 : KvDType::kF16);
  const StepLimits limits{.max_tokens = options.step_tokens,
                          .max_sequences = options.max_sequences,
                          .max_logit_rows = options.max_sequences + 16,
                          .max_context = kMaxContext};
  const auto geometry_of = [&](const ModelConfig& config) {
    KvCacheView geometry = CacheGeometryOf(config, dtype, options.mtp);
    geometry.block_tokens = 16;
    return geometry;
  };
  // Guesses may depend on what runs beside.
  const auto executor_of = [&](Graph graph, const KvCacheView& cache, bool guesses) {
    ValueOrDie(RunPasses(options.passes, graph));
    PackedStore weights = ValueOrDie(PackedStore::Pack(graph, pool_, [](const StoredTensor&) {}));
    return std::unique_ptr<StepExecutor>(ValueOrDie(GraphExecutor::Create(
        std::move(graph), std::move(weights), cache, pool_,
        {.limits = limits,
         .need_invariant = !guesses,
         .prompts_apart = !guesses && options.passes.numerics != Numerics::kExact})));
  };
  const auto make_executor =
      [&](const KvCacheView& cache) -> Result<std::unique_ptr<StepExecutor>> {
    return executor_of(ValueOrDie(BuildGraph(
                           files_.config, files_.weights, 0,
                           options.mtp ? GraphOutputs::kLogitsAndHidden : GraphOutputs::kLogits)),
                       cache, false);
  };
  std::optional<Engine::DraftFactory> draft;
  if (options.mtp) {
    draft.emplace();
    draft->make_executor = [&](const KvCacheView& cache) -> Result<std::unique_ptr<StepExecutor>> {
      return executor_of(ValueOrDie(BuildMtpGraph(files_.config, files_.weights)), cache, true);
    };
  } else if (!options.draft_path.empty()) {
    draft_files_ = ValueOrDie(OpenModel(options.draft_path));
    draft.emplace();
    draft->geometry = geometry_of(draft_files_->config);
    draft->make_executor = [&](const KvCacheView& cache) -> Result<std::unique_ptr<StepExecutor>> {
      return executor_of(ValueOrDie(BuildGraph(draft_files_->config, draft_files_->weights, 0)),
                         cache, true);
    };
  }
  engine_ = ValueOrDie(Engine::Create({.kv_blocks = options.kv_blocks,
                                       .prefix_cache = options.prefix_cache,
                                       .draft_tokens = options.draft_tokens},
                                      geometry_of(files_.config), make_executor, clock_, metrics_,
                                      draft));
}

}  // namespace pelton
