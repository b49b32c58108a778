#include "serving/model/language_model.h"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <filesystem>
#include <thread>

#include "base/available_memory.h"
#include "models/build/build_graph.h"
#include "runtime/engine/engine.h"
#include "serving/model/model_fingerprint.h"
#include "serving/model/model_preparation.h"
#include "serving/model/model_tokenizer.h"

namespace pelton {
namespace {

Status CheckCancelled(const LoadOptions& options) {
  if (options.cancelled == nullptr || !options.cancelled->load()) return OkStatus();
  return Cancelled("the load was cancelled");
}

// What the options state goes before what the files advise.
void AdviseSampling(const SamplingDefaults& stated, SamplingDefaults* advised) {
  const auto take = [](const auto& from, auto* to) {
    if (from) *to = from;
  };
  take(stated.sample, &advised->sample);
  take(stated.temperature, &advised->temperature);
  take(stated.top_p, &advised->top_p);
  take(stated.min_p, &advised->min_p);
  take(stated.top_k, &advised->top_k);
  take(stated.repetition_penalty, &advised->repetition_penalty);
  if (stated.temperature && !stated.sample) advised->sample.reset();
}

// The ids with which the model ends an answer, from its configuration and from its vocabulary.
std::vector<int32_t> EndIds(const LanguageModel& model) {
  std::vector<int32_t> ids;
  ids.reserve(model.files.config.eos_ids.size());
  for (uint32_t id : model.files.config.eos_ids) ids.push_back(static_cast<int32_t>(id));
  if (model.tokenizer != nullptr) {
    const std::span<const int32_t> more = model.tokenizer->end_of_generation_ids();
    ids.insert(ids.end(), more.begin(), more.end());
  }
  // A vocabulary may be larger than the head.
  std::erase_if(ids, [&](int32_t id) {
    return id < 0 || static_cast<uint32_t>(id) >= model.files.config.vocab;
  });
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

// The file that keeps a graph's packed weights; nothing where none is wanted.
std::optional<PackedCache> CacheFor(const ModelFiles& files, const LoadOptions& options,
                                    const Graph& graph, size_t expert_bytes,
                                    MetricRegistry* metrics) {
  if (options.packed_cache_folder.empty()) return std::nullopt;
  std::error_code error;  // what is wrong with the folder is seen when the file is made
  std::filesystem::create_directories(options.packed_cache_folder, error);
  PackedIdentity identity = PackedIdentityOf(files, options.passes, graph);
  return PackedCache{.path = options.packed_cache_folder + "/" + identity.file_name,
                     .key = identity.key,
                     .verify = options.verify_packed_cache,
                     .expert_bytes = expert_bytes,
                     .metrics = metrics,
                     .report = options.report};
}

// A graph and its weights, for an executor.
struct Packed {
  Graph graph;
  PackedStore weights;
};

Status StartEngine(const LoadOptions& options, const Preparation& prepared, Packed main,
                   std::optional<Packed> draft, LanguageModel* model) {
  model->prefix_cache = options.prefix_cache;
  const ModelConfig& config = model->files.config;
  const KvCacheView geometry = GeometryFor(
      config, KvDTypeOf(options), model->speculate == Speculation::kMtp, prepared.kv_tokens);
  EngineOptions engine_options{
      .kv_blocks = geometry.num_blocks,
      .prefix_cache = options.prefix_cache,
      .max_queued = options.max_queued,
      .eos_ids = EndIds(*model),
      .speculate = model->speculate != Speculation::kOff,
      .draft_tokens = options.draft_tokens,
      .policies = options.policies,
      .gather_ns = options.gather_ns,
      .touch_ahead_bytes = options.touch_ahead_bytes,
      .profile = model->profile.get(),
      .model_fingerprint = fmt::format(
          "{} {} {} {}", config.file, model->files.weights.TotalBytes(),
          static_cast<int>(model->numerics), UsesLongFactors(config, options.context_tokens))};
  if (options.store != nullptr) {
    engine_options.store = options.store;
    engine_options.store_fingerprint =
        FingerprintOf(model->files.weights, options.passes, model->invariant);
  }
  const auto make_executor =
      [&](const KvCacheView& cache) -> Result<std::unique_ptr<StepExecutor>> {
    ASSIGN_OR_RETURN(
        std::unique_ptr<GraphExecutor> executor,
        GraphExecutor::Create(std::move(main.graph), std::move(main.weights), cache, *model->pool,
                              {.limits = prepared.limits,
                               .need_invariant = model->invariant,
                               .prompts_apart = model->numerics != Numerics::kExact,
                               .sink = model->profile.get()}));
    model->executor = executor.get();
    return std::unique_ptr<StepExecutor>(std::move(executor));
  };
  const GraphExecutor* draft_executor = nullptr;
  std::optional<Engine::DraftFactory> make_draft;
  if (draft) {
    make_draft.emplace();
    // Guesses may depend on what runs beside: they are checked.
    make_draft->make_executor =
        [&](const KvCacheView& cache) -> Result<std::unique_ptr<StepExecutor>> {
      ASSIGN_OR_RETURN(std::unique_ptr<GraphExecutor> executor,
                       GraphExecutor::Create(
                           std::move(draft->graph), std::move(draft->weights), cache, *model->pool,
                           {.limits = prepared.draft_limits, .need_invariant = false}));
      draft_executor = executor.get();
      return std::unique_ptr<StepExecutor>(std::move(executor));
    };
    if (model->speculate == Speculation::kDraft) {
      make_draft->geometry =
          GeometryFor(model->draft_files->config, KvDTypeOf(options), false, prepared.kv_tokens);
    }
  }
  ASSIGN_OR_RETURN(model->engine, Engine::Create(engine_options, geometry, make_executor,
                                                 model->clock, *model->metrics, make_draft));
  model->memory = {.packed_weight_bytes = model->executor->weight_bytes(),
                   .mapped_bytes = model->files.weights.TotalBytes(),
                   .kv_bytes = prepared.memory.kv_bytes,
                   .kv_bytes_per_token =
                       prepared.memory.kv_bytes / (geometry.num_blocks * geometry.block_tokens),
                   .arena_bytes = model->executor->arena_bytes(),
                   .arena_sum_bytes = model->executor->memory().sum_bytes,
                   .scratch_bytes = model->executor->scratch_bytes()};
  if (draft_executor != nullptr) {
    model->memory.packed_weight_bytes += draft_executor->weight_bytes();
    model->memory.arena_bytes += draft_executor->arena_bytes();
    model->memory.arena_sum_bytes += draft_executor->memory().sum_bytes;
    model->memory.scratch_bytes += draft_executor->scratch_bytes();
  }
  if (model->draft_files) model->memory.mapped_bytes += model->draft_files->weights.TotalBytes();
  return OkStatus();
}

// Empty where guesses come from elsewhere.
Result<std::optional<ModelFiles>> OpenDraftModel(const LoadOptions& options) {
  if (options.draft_model.empty() || options.speculate == Speculation::kOff) {
    return std::optional<ModelFiles>();
  }
  Result<ModelFiles> files = OpenModel(options.draft_model);
  if (!files.ok()) return files.status().WithContext("--draft-model");
  return std::optional<ModelFiles>(std::move(files).value());
}

}  // namespace

GrammarCompiler& LanguageModel::grammars() const {
  std::call_once(grammars_made_, [this] {
    grammars_ = std::make_unique<GrammarCompiler>(*tokenizer, files.config.vocab);
  });
  return *grammars_;
}

size_t MemoryForModels() {
  constexpr size_t kReserveBytes = size_t{64} << 20;
  const size_t available = AvailableMemoryBytes();
  return available - std::min(available, kReserveBytes);
}

size_t UsableCores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof(set), &set) == 0) {
    return std::max<size_t>(static_cast<size_t>(CPU_COUNT(&set)), 1);
  }
  return std::max<size_t>(std::thread::hardware_concurrency(), 1);
}

Status LoadTextSide(LanguageModel* model) {
  ASSIGN_OR_RETURN(model->tokenizer, TokenizerOf(model->files));
  ASSIGN_OR_RETURN(model->chat, ChatOf(model->files));
  model->bos_text = model->files.bos_text;
  model->eos_text = model->files.eos_text;
  if (model->tokenizer != nullptr) {
    const auto piece = [&](std::optional<int32_t> id) {
      return id ? std::string(model->tokenizer->Piece(*id)) : std::string();
    };
    if (model->bos_text.empty()) model->bos_text = piece(model->tokenizer->bos_id());
    if (model->eos_text.empty()) model->eos_text = piece(model->tokenizer->eos_id());
  }
  if (model->draft_files) {
    RETURN_IF_ERROR(CheckSameVocabulary(*model->draft_files, model->tokenizer.get()));
  }
  return OkStatus();
}

Result<PlannedModel> PlanModel(const std::string& path, const LoadOptions& options) {
  ASSIGN_OR_RETURN(ModelFiles files, OpenModel(path));
  ASSIGN_OR_RETURN(Graph plain, BuildGraph(files.config, files.weights, options.context_tokens));
  Graph planned = plain;
  ASSIGN_OR_RETURN(std::vector<PassReport> reports, RunPasses(options.passes, planned));
  return PlannedModel{std::move(files), std::move(plain), std::move(planned), std::move(reports)};
}

Result<ModelMemoryPlan> PlanModelMemory(const std::string& path, const LoadOptions& options) {
  ASSIGN_OR_RETURN(const ModelFiles files, OpenModel(path));
  ASSIGN_OR_RETURN(const std::optional<ModelFiles> draft_files, OpenDraftModel(options));
  ASSIGN_OR_RETURN(const Preparation prepared, Prepare(files, draft_files, options));
  return prepared.memory;
}

Result<std::unique_ptr<LanguageModel>> LoadLanguageModel(const std::string& path,
                                                         const LoadOptions& options) {
  ASSIGN_OR_RETURN(ModelFiles files, OpenModel(path));
  auto model = std::make_unique<LanguageModel>(std::move(files));
  ASSIGN_OR_RETURN(model->draft_files, OpenDraftModel(options));
  AdviseSampling(options.sampling, &model->files.config.sampling);

  // The text side is read on a thread of its own while the weights are packed.
  Status text_side;
  std::jthread reader([&] { text_side = LoadTextSide(model.get()); });

  ASSIGN_OR_RETURN(Preparation prepared, Prepare(model->files, model->draft_files, options));
  RETURN_IF_ERROR(CheckAvailable(options, prepared.memory));
  RETURN_IF_ERROR(CheckCancelled(options));
  model->pass_reports = std::move(prepared.pass_reports);
  model->context_tokens = prepared.memory.context_tokens;
  model->pool =
      std::make_unique<ThreadPool>(options.threads == 0 ? UsableCores() : options.threads);
  model->invariant = IsInvariant(options);
  model->speculate = prepared.speculate;
  model->numerics = options.passes.numerics;
  model->metrics = options.metrics;
  if (model->metrics == nullptr) {
    model->own_metrics = std::make_unique<MetricRegistry>();
    model->metrics = model->own_metrics.get();
  }
  const auto pack = [&](const ModelFiles& source, const Graph& graph, size_t expert_bytes,
                        const std::optional<SharedWeights>& shared) {
    const auto forget = [&](const StoredTensor& tensor) { source.weights.Forget(tensor.data); };
    const std::optional<PackedCache> cache =
        CacheFor(source, options, graph, expert_bytes, model->metrics);
    return PackedStore::Pack(graph, *model->pool, forget, options.cancelled, shared,
                             cache ? &*cache : nullptr);
  };
  ASSIGN_OR_RETURN(PackedStore weights,
                   pack(model->files, prepared.graph,
                        prepared.memory.expert_bytes - prepared.draft_expert_bytes, {}));
  std::optional<Packed> draft;
  if (prepared.draft_graph) {
    std::optional<SharedWeights> shared;
    if (!model->draft_files) shared = {.graph = &prepared.graph, .weights = &weights};
    ASSIGN_OR_RETURN(PackedStore draft_weights,
                     pack(model->draft_files ? *model->draft_files : model->files,
                          *prepared.draft_graph, prepared.draft_expert_bytes, shared));
    prepared.draft_graph->owned.clear();
    draft.emplace(*std::move(prepared.draft_graph), std::move(draft_weights));
  }
  prepared.graph.owned.clear();
  reader.join();
  RETURN_IF_ERROR(text_side);
  RETURN_IF_ERROR(CheckCancelled(options));
  RETURN_IF_ERROR(StartEngine(options, prepared, {std::move(prepared.graph), std::move(weights)},
                              std::move(draft), model.get()));
  model->memory.expert_bytes = prepared.memory.expert_bytes;
  return model;
}

}  // namespace pelton
