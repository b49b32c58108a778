#include "serving/model/model_preparation.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/available_memory.h"
#include "base/checked_math.h"
#include "models/build/build_graph.h"

namespace pelton {
namespace {

constexpr size_t kBlockTokens = 32;

// What a cache has where q8, or fp8, needs something else; empty: it can be kept so.
std::string FoundInsteadOfQ8(const KvCacheView& view) {
  if (view.IsLatent() || view.index_dim != 0) {
    return "a cache of latent rows, expected heads with keys and values";
  }
  if (view.head_dim % kQ8DimMultiple == 0 && view.head_dim <= kQ8MaxDim) return "";
  return fmt::format("heads of {}, expected a multiple of {} up to {}", view.head_dim,
                     kQ8DimMultiple, kQ8MaxDim);
}
std::string FoundInsteadOfFp8(const KvCacheView& view, bool has_mla) {
  if (!has_mla) {
    return fmt::format(
        "{}, expected the latent rows of multi-head latent attention (DeepSeek V2 to V3.2)",
        view.IsLatent() ? "keys with compressed entries" : "heads with keys and values");
  }
  if (view.value_dim % kFp8Group == 0 && view.head_dim <= kFp8MaxDim) return "";
  return fmt::format(
      "latent rows of {} + {} numbers, expected a multiple of {}, and up to {} in all",
      view.value_dim, view.head_dim - view.value_dim, kFp8Group, kFp8MaxDim);
}

// Refuses what the model's keys and values cannot be kept in, and names what they can.
Status CheckKvDType(KvDType dtype, const ModelFiles& files) {
  if (dtype != KvDType::kQ8 && dtype != KvDType::kFp8) return OkStatus();
  const KvCacheView view = CacheGeometryOf(files.config, dtype);
  const std::string no_q8 = FoundInsteadOfQ8(view);
  const std::string no_fp8 = FoundInsteadOfFp8(view, files.config.mla.has_value());
  const bool q8 = dtype == KvDType::kQ8;
  const std::string& found = q8 ? no_q8 : no_fp8;
  if (found.empty()) return OkStatus();
  const bool other_fits = (q8 ? no_fp8 : no_q8).empty();
  return Unimplemented(fmt::format("{}: --kv-cache-dtype {}: found {}; use {}f16 or f32",
                                   files.path, q8 ? "q8" : "fp8", found,
                                   !other_fits ? ""
                                   : q8        ? "fp8, "
                                               : "q8, "));
}

size_t Mib(size_t bytes) { return DivUp(bytes, size_t{1} << 20); }

size_t AvailableFor(const LoadOptions& options) {
  return options.memory_bytes == 0 ? MemoryForModels() : options.memory_bytes;
}

// The longest context that fits, the model's own limit at most. A block takes `block_bytes`, those
// of a draft model included.
Status ChooseContext(const LoadOptions& options, const ModelConfig& config, size_t block_bytes,
                     size_t fixed_bytes, size_t* context_tokens, size_t* kv_tokens) {
  const size_t available = AvailableFor(options);
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

// Bytes of experts that are in memory at a time; 0: all of them, whatever they take. `experts` is
// what all of them take, `others` what the model takes besides.
size_t ChooseExpertBytes(const LoadOptions& options, size_t experts, size_t others) {
  if (options.packed_cache_folder.empty() || experts == 0) return 0;
  if (options.expert_bytes != kExpertsThatFit) {
    return options.expert_bytes < experts ? options.expert_bytes : 0;
  }
  const size_t available = AvailableFor(options);
  if (available <= others || available - others > experts) return 0;
  // The other half is for the KV cache, and for pages of files that are read besides.
  return (available - others) / 2;
}

// Reading experts early is of use only where they are read at all.
void Foresee(const LoadOptions& options, Graph& graph) {
  const std::vector<std::string>& off = options.passes.switched_off;
  if (std::ranges::find(off, "foresee-experts") == off.end()) ForeseeExperts(graph);
}

Result<Speculation> ChooseSpeculation(const LoadOptions& options, const ModelFiles& files) {
  const bool draft = !options.draft_model.empty();
  if (options.speculate == Speculation::kAuto) {
    if (!IsInvariant(options)) return Speculation::kOff;
    if (draft) return Speculation::kDraft;
    return HasMtpLayer(files.config, files.weights) ? Speculation::kMtp : Speculation::kNgram;
  }
  if (draft != (options.speculate == Speculation::kDraft) &&
      options.speculate != Speculation::kOff) {
    return InvalidArgument(draft ? "--draft-model: found --speculate with another source of "
                                   "guesses, expected draft, auto or off"
                                 : "--speculate draft: found no --draft-model");
  }
  return options.speculate;
}

Status CheckGenerates(const ModelFiles& files) {
  if (!files.config.encoder) return OkStatus();
  return Unimplemented(fmt::format(
      "{}: is an encoder, which gives embeddings and no text; expected a language model",
      files.path));
}

Result<Graph> BuildDraftGraph(const ModelFiles& files, const std::optional<ModelFiles>& draft,
                              const LoadOptions& options) {
  if (!draft) return BuildMtpGraph(files.config, files.weights);
  RETURN_IF_ERROR(CheckGenerates(*draft));
  const size_t context = std::min<size_t>(options.context_tokens, draft->config.context_tokens);
  return BuildGraph(draft->config, draft->weights, context);
}

}  // namespace

KvDType KvDTypeOf(const LoadOptions& options) {
  const bool exact = options.passes.numerics == Numerics::kExact;
  return options.kv_dtype.value_or(exact ? KvDType::kF32 : KvDType::kF16);
}

KvCacheView GeometryFor(const ModelConfig& config, KvDType dtype, bool mtp, size_t kv_tokens) {
  KvCacheView view = CacheGeometryOf(config, dtype, mtp);
  view.block_tokens = kBlockTokens;
  view.num_blocks = DivUp(kv_tokens, kBlockTokens);
  return view;
}

bool IsInvariant(const LoadOptions& options) {
  return options.passes.numerics == Numerics::kExact || options.invariant;
}

Result<Preparation> Prepare(const ModelFiles& files, const std::optional<ModelFiles>& draft_files,
                            const LoadOptions& options) {
  const ModelConfig& config = files.config;
  RETURN_IF_ERROR(CheckGenerates(files));
  const KvDType dtype = KvDTypeOf(options);
  RETURN_IF_ERROR(CheckKvDType(dtype, files));
  if (draft_files) RETURN_IF_ERROR(CheckKvDType(dtype, *draft_files));
  ASSIGN_OR_RETURN(const Speculation speculate, ChooseSpeculation(options, files));
  const bool mtp = speculate == Speculation::kMtp;
  const bool has_draft_graph = mtp || speculate == Speculation::kDraft;
  ASSIGN_OR_RETURN(Graph graph,
                   BuildGraph(config, files.weights, options.context_tokens,
                              mtp ? GraphOutputs::kLogitsAndHidden : GraphOutputs::kLogits));
  ASSIGN_OR_RETURN(std::vector<PassReport> reports, RunPasses(options.passes, graph));
  std::optional<Graph> draft_graph;
  if (has_draft_graph) {
    ASSIGN_OR_RETURN(draft_graph, BuildDraftGraph(files, draft_files, options));
    RETURN_IF_ERROR(RunPasses(options.passes, *draft_graph).status());
  }
  const size_t step_tokens = std::max(options.max_step_tokens, options.max_sequences);
  Preparation out{
      .graph = std::move(graph),
      .draft_graph = std::move(draft_graph),
      .speculate = speculate,
      .pass_reports = std::move(reports),
      .limits = {.max_tokens = step_tokens,
                 .max_sequences = options.max_sequences,
                 .max_logit_rows = std::max(options.max_sequences, options.max_logit_rows),
                 .max_context = options.context_tokens != 0
                                    ? options.context_tokens
                                    : static_cast<size_t>(config.context_tokens)},
      .draft_limits = {}};
  // One row of a sequence is guessed from at a time.
  out.draft_limits = out.limits;
  out.draft_limits.max_logit_rows = out.limits.max_sequences;
  ModelMemoryPlan& memory = out.memory;
  ASSIGN_OR_RETURN(memory.weight_bytes, PackedStore::BytesFor(out.graph));
  memory.arena_bytes = ArenaBytesFor(out.graph, out.limits);
  ASSIGN_OR_RETURN(size_t experts, PackedStore::ExpertBytesFor(out.graph));
  size_t draft_experts = 0;
  if (out.draft_graph) {
    const Graph* shared = mtp ? &out.graph : nullptr;
    ASSIGN_OR_RETURN(const size_t more, PackedStore::BytesFor(*out.draft_graph, shared));
    ASSIGN_OR_RETURN(draft_experts, PackedStore::ExpertBytesFor(*out.draft_graph, shared));
    memory.weight_bytes += more;
    memory.arena_bytes += ArenaBytesFor(*out.draft_graph, out.draft_limits);
    experts += draft_experts;
  }
  memory.expert_bytes =
      ChooseExpertBytes(options, experts, memory.weight_bytes - experts + memory.arena_bytes);
  if (memory.expert_bytes > 0) {
    memory.weight_bytes -= experts - memory.expert_bytes;
    // Each graph gets what its share of the experts is.
    out.draft_expert_bytes =
        static_cast<size_t>(static_cast<double>(memory.expert_bytes) *
                            static_cast<double>(draft_experts) / static_cast<double>(experts));
    Foresee(options, out.graph);
    if (out.draft_graph) Foresee(options, *out.draft_graph);
    memory.arena_bytes = ArenaBytesFor(out.graph, out.limits);
    if (out.draft_graph) memory.arena_bytes += ArenaBytesFor(*out.draft_graph, out.draft_limits);
  }
  size_t block_bytes = GeometryFor(config, dtype, mtp, kBlockTokens).BlockBytes();
  if (speculate == Speculation::kDraft) {
    block_bytes += GeometryFor(draft_files->config, dtype, false, kBlockTokens).BlockBytes();
  }
  const Status chosen =
      ChooseContext(options, config, block_bytes, memory.weight_bytes + memory.arena_bytes,
                    &memory.context_tokens, &out.kv_tokens);
  if (chosen.code() == StatusCode::kResourceExhausted && experts > 0 &&
      options.packed_cache_folder.empty()) {
    return ResourceExhausted(chosen.message() +
                             ", or --packed-cache-dir, from which experts are read when needed");
  }
  RETURN_IF_ERROR(chosen);
  out.limits.max_context = out.draft_limits.max_context = memory.context_tokens;
  if (speculate == Speculation::kDraft) {
    out.draft_limits.max_context =
        std::min<size_t>(memory.context_tokens, draft_files->config.context_tokens);
  }
  memory.kv_bytes = DivUp(out.kv_tokens, kBlockTokens) * block_bytes;
  return out;
}

Status CheckAvailable(const LoadOptions& options, const ModelMemoryPlan& memory) {
  const size_t touched = memory.weight_bytes + memory.arena_bytes;
  const size_t available = AvailableMemoryBytes();
  if (options.memory_bytes == 0 || touched <= available) return OkStatus();
  return ResourceExhausted(fmt::format(
      "not enough memory: weights and activations take {} MiB, the system has {} MiB left",
      Mib(touched), Mib(available)));
}

}  // namespace pelton
