#include "serving/model/language_model.h"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <thread>

#include "base/available_memory.h"
#include "base/checked_math.h"
#include "models/build/build_graph.h"
#include "models/weights/gguf.h"
#include "runtime/engine/engine.h"
#include "serving/model/gguf_vocab.h"
#include "serving/model/model_fingerprint.h"
#include "text/parsers/output_parser.h"

namespace pelton {
namespace {

constexpr size_t kBlockTokens = 32;

Result<std::string> ReadTextFile(const std::string& path) {
  ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  return std::string(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
}

std::string_view AsText(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

// tokenizer_config.json beside a tokenizer.json, empty if there is none.
std::string ConfigBeside(const std::string& tokenizer_json_path) {
  const size_t slash = tokenizer_json_path.rfind('/');
  const std::string folder =
      slash == std::string::npos ? "." : tokenizer_json_path.substr(0, slash);
  Result<std::string> text = ReadTextFile(folder + "/tokenizer_config.json");
  return text.ok() ? std::move(text).value() : std::string();
}

Result<std::unique_ptr<Tokenizer>> TokenizerFromJsonFile(const std::string& path) {
  ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  Result<std::unique_ptr<Tokenizer>> tokenizer =
      TokenizerFromJson(AsText(file), ConfigBeside(path));
  if (!tokenizer.ok()) return tokenizer.status().WithContext(path);
  return tokenizer;
}

Result<std::unique_ptr<Tokenizer>> TokenizerFromModelFile(const std::string& path) {
  ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  Result<std::unique_ptr<Tokenizer>> tokenizer = TokenizerFromSentencePiece(file.bytes());
  if (!tokenizer.ok()) return tokenizer.status().WithContext(path);
  return tokenizer;
}

Result<std::unique_ptr<Tokenizer>> TokenizerOf(const ModelFiles& files) {
  if (files.gguf) {
    Result<std::unique_ptr<Tokenizer>> tokenizer = TokenizerFromMetadata(GgufVocab(*files.gguf));
    if (!tokenizer.ok()) return tokenizer.status().WithContext(files.path);
    return tokenizer;
  }
  if (!files.tokenizer_json_path.empty()) return TokenizerFromJsonFile(files.tokenizer_json_path);
  if (!files.tokenizer_model_path.empty())
    return TokenizerFromModelFile(files.tokenizer_model_path);
  return std::unique_ptr<Tokenizer>();  // the model takes and gives ids only
}

KvCacheView GeometryFor(const ModelConfig& config, Numerics numerics, bool mtp, size_t kv_tokens) {
  KvCacheView view =
      CacheGeometryOf(config, numerics == Numerics::kExact ? KvDType::kF32 : KvDType::kF16, mtp);
  view.block_tokens = kBlockTokens;
  view.num_blocks = DivUp(kv_tokens, kBlockTokens);
  return view;
}

size_t Mib(size_t bytes) { return DivUp(bytes, size_t{1} << 20); }

// The longest context that fits, the model's own limit at most.
Status ChooseContext(const LoadOptions& options, const ModelConfig& config, bool mtp,
                     size_t fixed_bytes, size_t* context_tokens, size_t* kv_tokens) {
  const KvCacheView one = GeometryFor(config, options.passes.numerics, mtp, kBlockTokens);
  const size_t block_bytes = one.BlockBytes();
  const size_t available = options.memory_bytes == 0 ? MemoryForModels() : options.memory_bytes;
  const size_t blocks_that_fit =
      available > fixed_bytes ? (available - fixed_bytes) / block_bytes : 0;
  // What a size that nobody stated may come to.
  const size_t most_blocks =
      options.most_kv_bytes == 0
          ? blocks_that_fit
          : std::min(blocks_that_fit, std::max<size_t>(options.most_kv_bytes / block_bytes, 1));
  *kv_tokens =
      options.kv_bytes == 0 ? options.kv_tokens : options.kv_bytes / block_bytes * kBlockTokens;
  *context_tokens = options.context_tokens;
  if (*context_tokens == 0) {
    const size_t most_tokens = options.kv_bytes == 0 ? most_blocks * kBlockTokens : *kv_tokens;
    *context_tokens = std::min<size_t>(config.context_tokens, most_tokens);
  }
  if (*context_tokens > config.context_tokens) {
    return InvalidArgument(
        fmt::format("context_tokens (--ctx): found {}, expected at most {} (the model's limit)",
                    *context_tokens, config.context_tokens));
  }
  if (options.kv_bytes != 0 && *kv_tokens < *context_tokens) {
    return InvalidArgument(
        fmt::format("--kv-memory: found {} MiB, expected {} MiB or more for a context of {} tokens",
                    Mib(options.kv_bytes), Mib(DivUp(*context_tokens, kBlockTokens) * block_bytes),
                    *context_tokens));
  }
  if (*kv_tokens == 0) {
    // One context for each sequence as far as half of the memory goes; pages are taken when used.
    const size_t all = *context_tokens * options.max_sequences;
    const size_t most = std::min(blocks_that_fit / 2, most_blocks) * kBlockTokens;
    *kv_tokens = std::max(*context_tokens, std::min(all, most));
  }
  const size_t blocks = DivUp(*kv_tokens, kBlockTokens);
  if (blocks == 0 || blocks > blocks_that_fit) {
    const std::string advice =
        blocks_that_fit == 0 ? std::string("a smaller or more strongly quantised model is needed")
                             : fmt::format("--ctx {} would fit", blocks_that_fit * kBlockTokens);
    return ResourceExhausted(fmt::format(
        "not enough memory: weights and activations take {} MiB and the KV cache of {} tokens {} "
        "MiB, {} MiB are available; {}",
        Mib(fixed_bytes), *kv_tokens, Mib(blocks * block_bytes), Mib(available), advice));
  }
  return OkStatus();
}

// A model's graph after its passes, and what it will take.
struct Preparation {
  Graph graph;
  std::optional<Graph> mtp_graph;
  Speculation speculate;
  std::vector<PassReport> pass_reports;
  StepLimits limits;
  size_t kv_tokens = 0;
  ModelMemoryPlan memory;
};

bool IsInvariant(const LoadOptions& options) {
  return options.passes.numerics == Numerics::kExact || options.invariant;
}

Speculation ChooseSpeculation(const LoadOptions& options, const ModelFiles& files) {
  if (options.speculate != Speculation::kAuto) return options.speculate;
  if (!IsInvariant(options)) return Speculation::kOff;
  return HasMtpLayer(files.config, files.weights) ? Speculation::kMtp : Speculation::kNgram;
}

// One row of a sequence is guessed from at a time.
StepLimits MtpLimits(StepLimits limits) {
  limits.max_logit_rows = limits.max_sequences;
  return limits;
}

Result<Preparation> Prepare(const ModelFiles& files, const LoadOptions& options) {
  const ModelConfig& config = files.config;
  if (config.encoder) {
    return Unimplemented(fmt::format(
        "{}: is an encoder, which gives embeddings and no text; expected a language model",
        files.path));
  }
  const Speculation speculate = ChooseSpeculation(options, files);
  const bool mtp = speculate == Speculation::kMtp;
  ASSIGN_OR_RETURN(Graph graph,
                   BuildGraph(config, files.weights, options.context_tokens,
                              mtp ? GraphOutputs::kLogitsAndHidden : GraphOutputs::kLogits));
  ASSIGN_OR_RETURN(std::vector<PassReport> reports, RunPasses(options.passes, graph));
  std::optional<Graph> mtp_graph;
  if (mtp) {
    ASSIGN_OR_RETURN(mtp_graph, BuildMtpGraph(config, files.weights));
    RETURN_IF_ERROR(RunPasses(options.passes, *mtp_graph).status());
  }
  const size_t step_tokens = std::max(options.max_step_tokens, options.max_sequences);
  Preparation out{
      .graph = std::move(graph),
      .mtp_graph = std::move(mtp_graph),
      .speculate = speculate,
      .pass_reports = std::move(reports),
      .limits = {.max_tokens = step_tokens,
                 .max_sequences = options.max_sequences,
                 .max_logit_rows = std::max(options.max_sequences, options.max_logit_rows),
                 .max_context = options.context_tokens != 0
                                    ? options.context_tokens
                                    : static_cast<size_t>(config.context_tokens)}};
  ModelMemoryPlan& memory = out.memory;
  ASSIGN_OR_RETURN(memory.weight_bytes, PackedStore::BytesFor(out.graph));
  memory.arena_bytes = ArenaBytesFor(out.graph, out.limits);
  if (out.mtp_graph) {
    ASSIGN_OR_RETURN(const size_t more, PackedStore::BytesFor(*out.mtp_graph, &out.graph));
    memory.weight_bytes += more;
    memory.arena_bytes += ArenaBytesFor(*out.mtp_graph, MtpLimits(out.limits));
  }
  RETURN_IF_ERROR(ChooseContext(options, config, mtp, memory.weight_bytes + memory.arena_bytes,
                                &memory.context_tokens, &out.kv_tokens));
  out.limits.max_context = memory.context_tokens;
  const KvCacheView geometry = GeometryFor(config, options.passes.numerics, mtp, out.kv_tokens);
  memory.kv_bytes = geometry.num_blocks * geometry.BlockBytes();
  return out;
}

// Whether the system has what loading touches; where the options state no memory, the plan was made
// for what it has. The KV cache is taken as it fills.
Status CheckAvailable(const LoadOptions& options, const ModelMemoryPlan& memory) {
  const size_t touched = memory.weight_bytes + memory.arena_bytes;
  const size_t available = AvailableMemoryBytes();
  if (options.memory_bytes == 0 || touched <= available) return OkStatus();
  return ResourceExhausted(fmt::format(
      "not enough memory: weights and activations take {} MiB, the system has {} MiB left",
      Mib(touched), Mib(available)));
}

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

// A graph and its weights, for an executor.
struct Packed {
  Graph graph;
  PackedStore weights;
};

Status StartEngine(const LoadOptions& options, const StepLimits& limits, size_t kv_tokens,
                   Packed main, std::optional<Packed> mtp, LanguageModel* model) {
  model->metrics = options.metrics;
  if (model->metrics == nullptr) {
    model->own_metrics = std::make_unique<MetricRegistry>();
    model->metrics = model->own_metrics.get();
  }
  model->prefix_cache = options.prefix_cache;
  const ModelConfig& config = model->files.config;
  const KvCacheView geometry = GeometryFor(config, model->numerics, mtp.has_value(), kv_tokens);
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
                              {.limits = limits,
                               .need_invariant = model->invariant,
                               .prompts_apart = model->numerics != Numerics::kExact,
                               .sink = model->profile.get()}));
    model->executor = executor.get();
    return std::unique_ptr<StepExecutor>(std::move(executor));
  };
  const GraphExecutor* mtp_executor = nullptr;
  Engine::ExecutorFactory make_mtp_executor;
  if (mtp) {
    // Guesses may depend on what runs beside: they are checked.
    make_mtp_executor = [&](const KvCacheView& cache) -> Result<std::unique_ptr<StepExecutor>> {
      ASSIGN_OR_RETURN(
          std::unique_ptr<GraphExecutor> executor,
          GraphExecutor::Create(std::move(mtp->graph), std::move(mtp->weights), cache, *model->pool,
                                {.limits = MtpLimits(limits), .need_invariant = false}));
      mtp_executor = executor.get();
      return std::unique_ptr<StepExecutor>(std::move(executor));
    };
  }
  ASSIGN_OR_RETURN(model->engine, Engine::Create(engine_options, geometry, make_executor,
                                                 model->clock, *model->metrics, make_mtp_executor));
  model->memory = {.packed_weight_bytes = model->executor->weight_bytes(),
                   .mapped_bytes = model->files.weights.TotalBytes(),
                   .kv_bytes = geometry.num_blocks * geometry.BlockBytes(),
                   .kv_bytes_per_token = geometry.BlockBytes() / geometry.block_tokens,
                   .arena_bytes = model->executor->arena_bytes(),
                   .arena_sum_bytes = model->executor->memory().sum_bytes,
                   .scratch_bytes = model->executor->scratch_bytes()};
  if (mtp_executor != nullptr) {
    model->memory.packed_weight_bytes += mtp_executor->weight_bytes();
    model->memory.arena_bytes += mtp_executor->arena_bytes();
    model->memory.arena_sum_bytes += mtp_executor->memory().sum_bytes;
    model->memory.scratch_bytes += mtp_executor->scratch_bytes();
  }
  return OkStatus();
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

Result<std::unique_ptr<Tokenizer>> LoadTokenizer(const std::string& path) {
  if (path.ends_with(".json")) return TokenizerFromJsonFile(path);
  if (path.ends_with(".model")) return TokenizerFromModelFile(path);
  if (path.ends_with(".gguf")) {
    // A bare vocabulary is no whole model, so only the metadata is looked at.
    ASSIGN_OR_RETURN(const GgufModel file, OpenGguf(path));
    Result<std::unique_ptr<Tokenizer>> tokenizer = TokenizerFromMetadata(GgufVocab(file.metadata));
    if (!tokenizer.ok()) return tokenizer.status().WithContext(path);
    return tokenizer;
  }
  ASSIGN_OR_RETURN(const ModelFiles files, OpenModel(path));
  ASSIGN_OR_RETURN(std::unique_ptr<Tokenizer> tokenizer, TokenizerOf(files));
  if (tokenizer == nullptr) {
    return NotFound(fmt::format("{}: found no tokenizer.json and no tokenizer.model", path));
  }
  return tokenizer;
}

Status LoadTextSide(LanguageModel* model) {
  ASSIGN_OR_RETURN(model->tokenizer, TokenizerOf(model->files));
  if (!model->files.chat_template.empty()) {
    Result<jinja::Template> parsed = jinja::Template::Parse(model->files.chat_template);
    if (!parsed.ok()) return parsed.status().WithContext(model->files.path + ": chat template");
    model->chat_template = std::move(parsed).value();
    model->parser_family = FamilyOfTemplate(model->files.chat_template);
  }
  model->bos_text = model->files.bos_text;
  model->eos_text = model->files.eos_text;
  if (model->tokenizer != nullptr) {
    const auto piece = [&](std::optional<int32_t> id) {
      return id ? std::string(model->tokenizer->Piece(*id)) : std::string();
    };
    if (model->bos_text.empty()) model->bos_text = piece(model->tokenizer->bos_id());
    if (model->eos_text.empty()) model->eos_text = piece(model->tokenizer->eos_id());
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
  ASSIGN_OR_RETURN(const Preparation prepared, Prepare(files, options));
  return prepared.memory;
}

Result<std::unique_ptr<LanguageModel>> LoadLanguageModel(const std::string& path,
                                                         const LoadOptions& options) {
  ASSIGN_OR_RETURN(ModelFiles files, OpenModel(path));
  auto model = std::make_unique<LanguageModel>(std::move(files));
  AdviseSampling(options.sampling, &model->files.config.sampling);

  // The text side is read on a thread of its own while the weights are packed.
  Status text_side;
  std::jthread reader([&] { text_side = LoadTextSide(model.get()); });

  ASSIGN_OR_RETURN(Preparation prepared, Prepare(model->files, options));
  RETURN_IF_ERROR(CheckAvailable(options, prepared.memory));
  RETURN_IF_ERROR(CheckCancelled(options));
  model->pass_reports = std::move(prepared.pass_reports);
  model->context_tokens = prepared.memory.context_tokens;
  model->pool =
      std::make_unique<ThreadPool>(options.threads == 0 ? UsableCores() : options.threads);
  model->invariant = IsInvariant(options);
  model->speculate = prepared.speculate;
  model->numerics = options.passes.numerics;
  const auto forget = [&](const StoredTensor& tensor) { model->files.weights.Forget(tensor.data); };
  ASSIGN_OR_RETURN(PackedStore weights,
                   PackedStore::Pack(prepared.graph, *model->pool, forget, options.cancelled));
  std::optional<Packed> mtp;
  if (prepared.mtp_graph) {
    ASSIGN_OR_RETURN(PackedStore mtp_weights,
                     PackedStore::Pack(*prepared.mtp_graph, *model->pool, forget, options.cancelled,
                                       {{.graph = &prepared.graph, .weights = &weights}}));
    prepared.mtp_graph->owned.clear();
    mtp.emplace(*std::move(prepared.mtp_graph), std::move(mtp_weights));
  }
  prepared.graph.owned.clear();
  reader.join();
  RETURN_IF_ERROR(text_side);
  RETURN_IF_ERROR(CheckCancelled(options));
  RETURN_IF_ERROR(StartEngine(options, prepared.limits, prepared.kv_tokens,
                              {std::move(prepared.graph), std::move(weights)}, std::move(mtp),
                              model.get()));
  return model;
}

}  // namespace pelton
