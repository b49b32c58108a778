#include "models/weights/model_config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "models/weights/config_fields.h"

namespace pelton {
namespace {

// llama.cpp turns adjacent pairs for "llama" (its converter reorders the rows of q and k) and
// halves for the others. Values that config.json may leave out are those of transformers' classes.
constexpr ArchitectureTraits kArchitectures[] = {
    {.model_type = "llama",
     .gguf_name = "llama",
     .builder = "llama",
     .gguf_interleaved = true,
     .experts = ExpertRule::kGgufOnly},
    {.model_type = "mistral", .gguf_name = "", .builder = "llama", .window_rule = WindowRule::kAll},
    {.model_type = "qwen2",
     .gguf_name = "qwen2",
     .builder = "qwen2",
     .has_qkv_bias = true,
     .window_rule = WindowRule::kUpperLayers},
    {.model_type = "qwen3",
     .gguf_name = "qwen3",
     .builder = "qwen3",
     .has_qk_norm = true,
     .window_rule = WindowRule::kUpperLayers,
     .default_head_dim = 128},
    {.model_type = "mixtral",
     .gguf_name = "",
     .builder = "llama",
     .experts = ExpertRule::kMixtral,
     .window_rule = WindowRule::kAll,
     .default_theta = 1e6},
    {.model_type = "qwen3_moe",
     .gguf_name = "qwen3moe",
     .builder = "qwen3",
     .has_qk_norm = true,
     .experts = ExpertRule::kQwen3,
     .window_rule = WindowRule::kUpperLayers,
     .default_head_dim = 128},
    {.model_type = "deepseek_v2",
     .gguf_name = "deepseek2",
     .builder = "deepseek2",
     .gguf_interleaved = true,
     .experts = ExpertRule::kDeepseek2,
     .has_mla = true},
    {.model_type = "deepseek_v3",
     .gguf_name = "",
     .builder = "deepseek2",
     .experts = ExpertRule::kDeepseek3,
     .has_mla = true},
    {.model_type = "deepseek_v32",
     .gguf_name = "",
     .builder = "deepseek2",
     .experts = ExpertRule::kDeepseek3,
     .has_mla = true,
     .has_indexer = true},
    {.model_type = "deepseek_v4",
     .gguf_name = "",
     .builder = "deepseek4",
     .experts = ExpertRule::kDeepseek4,
     .has_sinks = true,
     .has_compressed = true,
     .window_rule = WindowRule::kAll,
     .default_window = 128,
     .default_head_dim = 512},
    {.model_type = "gemma2",
     .gguf_name = "gemma2",
     .builder = "gemma2",
     .tied_by_default = true,
     .is_gemma = true,
     .window_rule = WindowRule::kPattern,
     .window_pattern = 2,
     .default_window = 4096,
     .default_head_dim = 256,
     .default_attention_cap = 50,
     .default_final_cap = 30},
    {.model_type = "gemma3_text",
     .gguf_name = "gemma3",
     .builder = "gemma3",
     .tied_by_default = true,
     .has_qk_norm = true,
     .is_gemma = true,
     .window_rule = WindowRule::kPattern,
     .window_pattern = 6,
     .default_window = 4096,
     .default_head_dim = 256,
     .default_theta = 1e6,
     .local_theta = 1e4},
    {.model_type = "phi3",
     .gguf_name = "phi3",
     .builder = "phi3",
     .fused_weights = true,
     .window_rule = WindowRule::kAll},
    {.model_type = "gpt_oss",
     .gguf_name = "gpt-oss",
     .builder = "gpt-oss",
     .biased_by_default = true,
     .experts = ExpertRule::kGptOss,
     .has_sinks = true,
     .yarn_truncate = false,
     .default_swiglu_limit = 7,
     .window_rule = WindowRule::kPattern,
     .window_pattern = 2,
     .default_window = 128,
     .default_head_dim = 64,
     .default_theta = 150000},
    {.model_type = "bert", .gguf_name = "bert", .builder = "bert", .encoder = true},
};

}  // namespace

const ArchitectureTraits* FindModelType(std::string_view model_type) {
  for (const ArchitectureTraits& traits : kArchitectures) {
    if (!traits.model_type.empty() && traits.model_type == model_type) return &traits;
  }
  return nullptr;
}

const ArchitectureTraits* FindGgufArchitecture(std::string_view name) {
  for (const ArchitectureTraits& traits : kArchitectures) {
    if (!traits.gguf_name.empty() && traits.gguf_name == name) return &traits;
  }
  return nullptr;
}

std::string KnownArchitectures() {
  std::set<std::string_view> names;
  for (const ArchitectureTraits& traits : kArchitectures) {
    names.insert(traits.model_type);
    if (!traits.gguf_name.empty()) names.insert(traits.gguf_name);
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

bool UsesLongFactors(const ModelConfig& config, uint64_t context_tokens) {
  const uint64_t longest = context_tokens != 0 ? context_tokens : config.context_tokens;
  return config.rope.scaling == RopeScaling::kLongRope &&
         longest > config.rope.original_context_tokens;
}

double YarnAttentionFactor(double factor, double mscale) {
  return factor <= 1 ? 1 : 0.1 * mscale * std::log(factor) + 1;
}

double LongRopeAttentionFactor(double factor, uint64_t original_context_tokens) {
  if (factor <= 1) return 1;
  return std::sqrt(1 + std::log(factor) / std::log(static_cast<double>(original_context_tokens)));
}

Status CheckEosIds(std::string_view file, std::string_view field, uint32_t vocab,
                   std::vector<uint32_t>* ids) {
  std::sort(ids->begin(), ids->end());
  ids->erase(std::unique(ids->begin(), ids->end()), ids->end());
  if (ids->empty() || ids->back() < vocab) return OkStatus();
  return FieldError(file, field, fmt::format("{}", ids->back()),
                    fmt::format("an id below {}, the size of the vocabulary", vocab));
}

namespace {

Status CheckFactors(const ModelConfig& config, const RopeConfig& rope, std::string_view what,
                    const std::vector<float>& factors) {
  if (factors.size() == rope.dims / 2) return OkStatus();
  return FieldError(config.file, what, fmt::format("{} values", factors.size()),
                    fmt::format("{}, half of the lanes that turn", rope.dims / 2));
}

Status CheckRope(const ConfigFieldNames& names, const ModelConfig& config, const RopeConfig& rope) {
  if (rope.dims == 0 || rope.dims % 2 != 0 || rope.dims > config.head_dim) {
    return FieldError(config.file, names.rope_dims, fmt::format("{} lanes that turn", rope.dims),
                      fmt::format("an even number from 2 to {}, the head's size", config.head_dim));
  }
  if (rope.scaling == RopeScaling::kLlama3 && rope.high_freq_factor <= rope.low_freq_factor) {
    return FieldError(config.file, "rope scaling: high_freq_factor",
                      fmt::format("{}", rope.high_freq_factor),
                      fmt::format("more than low_freq_factor, {}", rope.low_freq_factor));
  }
  if (rope.scaling == RopeScaling::kLongRope) {
    RETURN_IF_ERROR(CheckFactors(config, rope, "rope scaling: short factors", rope.short_factors));
    RETURN_IF_ERROR(CheckFactors(config, rope, "rope scaling: long factors", rope.long_factors));
  }
  if (!rope.frequency_divisors.empty()) {
    RETURN_IF_ERROR(
        CheckFactors(config, rope, "tensor \"rope_freqs.weight\"", rope.frequency_divisors));
  }
  return OkStatus();
}

}  // namespace

Status FinishConfig(const ConfigFieldNames& names, ModelConfig* config) {
  if (config->heads % config->kv_heads != 0) {
    return FieldError(config->file, names.kv_heads, fmt::format("{}", config->kv_heads),
                      fmt::format("a divisor of {}, which is {}", names.heads, config->heads));
  }
  if (!config->encoder) RETURN_IF_ERROR(CheckRope(names, *config, config->rope));
  if (config->local_rope) RETURN_IF_ERROR(CheckRope(names, *config, *config->local_rope));
  if (config->bos_id && *config->bos_id >= config->vocab) {
    return FieldError(config->file, names.bos, fmt::format("{}", *config->bos_id),
                      fmt::format("an id below {}, the size of the vocabulary", config->vocab));
  }
  RETURN_IF_ERROR(CheckEosIds(config->file, names.eos, config->vocab, &config->eos_ids));

  config->windowed_layers.resize(config->layers, false);
  const std::vector<bool>& windowed = config->windowed_layers;
  if (std::find(windowed.begin(), windowed.end(), true) == windowed.end()) {
    config->sliding_window = 0;
    config->local_rope.reset();
  }
  config->context_tokens = config->max_positions;
  if (config->rope.scaling == RopeScaling::kYarn) {
    const double scaled =
        static_cast<double>(config->rope.original_context_tokens) * config->rope.factor;
    config->context_tokens =
        std::max(config->max_positions,
                 static_cast<uint64_t>(std::min(scaled, double{kPositionsRange.max})));
  }
  return OkStatus();
}

}  // namespace pelton
