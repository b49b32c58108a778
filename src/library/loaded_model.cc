#include "library/loaded_model.h"

#include <fmt/format.h>

#include <string_view>
#include <utility>

#include "serving/model/model_store.h"

namespace pelton::library {
namespace {

Status CheckRange(std::string_view name, uint32_t value, uint32_t low, uint32_t high) {
  if (value >= low && value <= high) return OkStatus();
  return InvalidArgument(fmt::format("{}: found {}, expected {} to {}", name, value, low, high));
}

Status Unexpected(std::string_view name, std::string_view found, std::string_view expected) {
  return InvalidArgument(
      fmt::format("{}: found \"{}\", expected {}", name, found.substr(0, 40), expected));
}

Status ReadKvDType(std::string_view found, std::optional<KvDType>* dtype) {
  if (found == "f32") {
    *dtype = KvDType::kF32;
  } else if (found == "f16") {
    *dtype = KvDType::kF16;
  } else if (found == "q8") {
    *dtype = KvDType::kQ8;
  } else if (found == "fp8") {
    *dtype = KvDType::kFp8;
  } else if (found != "auto") {
    return Unexpected("kv_cache_dtype", found, "\"f32\", \"f16\", \"q8\", \"fp8\" or \"auto\"");
  }
  return OkStatus();
}

Result<LoadOptions> ReadOptions(const pelton_model_options& given) {
  constexpr uint32_t kMostTokens = uint32_t{1} << 30;
  RETURN_IF_ERROR(CheckRange("threads", given.threads, 0, 1024));
  RETURN_IF_ERROR(CheckRange("context_tokens", given.context_tokens, 0, kMostTokens));
  RETURN_IF_ERROR(CheckRange("kv_tokens", given.kv_tokens, 0, kMostTokens));
  RETURN_IF_ERROR(CheckRange("step_tokens", given.step_tokens, 1, 65536));
  RETURN_IF_ERROR(CheckRange("max_sequences", given.max_sequences, 1, 1024));
  RETURN_IF_ERROR(CheckRange("max_queued", given.max_queued, 1, uint32_t{1} << 24));
  LoadOptions options;
  const std::string_view numerics = given.numerics == nullptr ? "fast" : given.numerics;
  if (numerics != "fast" && numerics != "exact") {
    return Unexpected("numerics", numerics, "\"fast\" or \"exact\"");
  }
  options.passes.numerics = numerics == "exact" ? Numerics::kExact : Numerics::kFast;
  options.invariant = given.invariant != 0;
  const std::string_view speculate = given.speculate == nullptr ? "auto" : given.speculate;
  if (speculate == "ngram") {
    options.speculate = Speculation::kNgram;
  } else if (speculate == "mtp") {
    options.speculate = Speculation::kMtp;
  } else if (speculate == "draft") {
    options.speculate = Speculation::kDraft;
  } else if (speculate == "off") {
    options.speculate = Speculation::kOff;
  } else if (speculate != "auto") {
    return Unexpected("speculate", speculate, "\"ngram\", \"mtp\", \"draft\", \"off\" or \"auto\"");
  }
  const std::string_view weights = given.weights == nullptr ? "stored" : given.weights;
  if (weights != "stored" && weights != "w8") {
    return Unexpected("weights", weights, "\"stored\" or \"w8\"");
  }
  options.passes.weights = weights == "w8" ? PackedFormat::kW8 : PackedFormat::kStored;
  RETURN_IF_ERROR(ReadKvDType(given.kv_cache_dtype == nullptr ? "auto" : given.kv_cache_dtype,
                              &options.kv_dtype));
  if (given.packed_cache_folder != nullptr) {
    options.packed_cache_folder = given.packed_cache_folder;
  }
  options.threads = given.threads;
  options.context_tokens = given.context_tokens;
  options.kv_tokens = given.kv_tokens;
  options.max_step_tokens = given.step_tokens;
  options.max_sequences = given.max_sequences;
  options.max_queued = given.max_queued;
  options.prefix_cache = given.prefix_cache != 0;
  return options;
}

}  // namespace

Result<std::shared_ptr<LoadedModel>> OpenLoadedModel(const std::string& model,
                                                     const pelton_model_options& given) {
  ASSIGN_OR_RETURN(LoadOptions options, ReadOptions(given));
  auto loaded = std::make_shared<LoadedModel>();
  const std::string folder =
      given.models_folder == nullptr ? DefaultModelsFolder() : given.models_folder;
  ASSIGN_OR_RETURN(loaded->path, ResolveModel(model, folder));
  if (given.draft_model != nullptr) {
    ASSIGN_OR_RETURN(options.draft_model, ResolveModel(given.draft_model, folder));
  }
  ASSIGN_OR_RETURN(const bool is_encoder, IsEncoder(loaded->path));
  if (is_encoder) {
    ASSIGN_OR_RETURN(loaded->encoder,
                     LoadEmbeddingModel(loaded->path, {.passes = options.passes,
                                                       .threads = options.threads,
                                                       .max_step_tokens = options.max_step_tokens,
                                                       .max_queued = options.max_queued}));
    return loaded;
  }
  ASSIGN_OR_RETURN(loaded->language, LoadLanguageModel(loaded->path, options));
  loaded->max_sequences = options.max_sequences;
  return loaded;
}

pelton_model_info InfoOf(const LoadedModel& model) {
  const ModelConfig& config = model.config();
  pelton_model_info info;
  pelton_model_info_init(&info);
  info.path = model.path.c_str();
  info.architecture = config.architecture.c_str();
  info.name = config.name.c_str();
  info.is_encoder = model.encoder != nullptr ? 1 : 0;
  info.has_tokenizer = model.tokenizer() != nullptr ? 1 : 0;
  info.vocab_size = config.vocab;
  info.layers = config.layers;
  info.max_sequences = static_cast<uint32_t>(model.max_sequences);
  if (model.encoder != nullptr) {
    info.embedding_width = static_cast<uint32_t>(model.encoder->engine->width());
    info.context_tokens = model.encoder->max_tokens;
    return info;
  }
  info.has_chat_template = model.language->chat.format ? 1 : 0;
  info.context_tokens = model.language->context_tokens;
  info.weight_bytes = model.language->memory.packed_weight_bytes;
  info.kv_bytes = model.language->memory.kv_bytes;
  return info;
}

}  // namespace pelton::library
