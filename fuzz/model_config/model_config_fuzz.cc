// Any text as config.json and generation_config.json, and as the files that say how a model's
// embeddings are made. An accepted configuration keeps what its header promises, so that builders
// may divide and allocate by it; an accepted pooling module lies in the model's folder.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>

#include "models/weights/model_config.h"
#include "models/weights/pooling_config.h"

namespace {

bool KeepsPromises(const pelton::ModelConfig& config, const pelton::RopeConfig& rope) {
  const bool long_rope = rope.scaling == pelton::RopeScaling::kLongRope;
  return rope.dims > 0 && rope.dims % 2 == 0 && rope.dims <= config.head_dim && rope.theta >= 1 &&
         rope.factor > 0 && std::isfinite(rope.attention_factor) && rope.attention_factor > 0 &&
         (!long_rope ||
          (rope.short_factors.size() == rope.dims / 2 &&
           rope.long_factors.size() == rope.dims / 2 && rope.original_context_tokens > 1));
}

bool KeepsPromises(const pelton::IndexerConfig& indexer, const pelton::ModelConfig& config) {
  if (!config.compressed && !(config.mla && config.mla->q_rank > 0)) return false;
  return indexer.heads > 0 && indexer.top > 0 && indexer.head_dim >= config.rope.dims;
}

bool KeepsPromises(const pelton::ModelConfig& config) {
  const bool windowed =
      std::count(config.windowed_layers.begin(), config.windowed_layers.end(), true) > 0;
  return config.layers > 0 && config.mtp_layers <= 64 && config.hidden > 0 && config.heads > 0 &&
         config.kv_heads > 0 && config.heads % config.kv_heads == 0 && config.head_dim > 0 &&
         config.vocab > 0 && config.intermediate > 0 && config.max_positions > 0 &&
         config.context_tokens >= config.max_positions &&
         config.windowed_layers.size() == config.layers && config.rms_epsilon > 0 &&
         (config.sliding_window > 0) == windowed && (windowed || !config.local_rope) &&
         (config.encoder ? config.token_types > 0 : KeepsPromises(config, config.rope)) &&
         (!config.local_rope || KeepsPromises(config, *config.local_rope)) &&
         std::isfinite(config.embedding_scale) && config.embedding_scale > 0 &&
         config.attention_soft_cap >= 0 && config.final_soft_cap >= 0 &&
         (!config.indexer || KeepsPromises(*config.indexer, config)) &&
         std::isfinite(config.attention_scale) && config.attention_scale > 0 &&
         (config.eos_ids.empty() || config.eos_ids.back() < config.vocab);
}

bool MoeKeepsPromises(const pelton::ModelConfig& config) {
  if (!config.moe) return true;
  const pelton::MoeConfig& moe = *config.moe;
  return moe.experts > 0 && moe.top > 0 && moe.intermediate > 0 && moe.groups > 0 &&
         moe.experts % moe.groups == 0 && moe.top_groups > 0 && moe.top_groups <= moe.groups &&
         moe.top <= moe.experts / moe.groups * moe.top_groups && moe.scale > 0 &&
         moe.layers.size() == config.layers;
}

bool CompressedKeepsPromises(const pelton::ModelConfig& config) {
  if (!config.compressed) return true;
  const pelton::CompressedConfig& c = *config.compressed;
  return c.ratios.size() == config.layers && c.chosen.size() == config.layers && c.q_rank > 0 &&
         c.out_rank > 0 && c.out_groups > 0 && config.heads % c.out_groups == 0 &&
         config.kv_heads == 1 && config.rope.dims == c.rope_dim && config.local_rope &&
         c.streams > 0 && c.streams <= 8 && c.sinkhorn_rounds > 0 && c.stream_epsilon > 0 &&
         config.indexer && config.moe && config.gate_limit > 0;
}

bool MlaKeepsPromises(const pelton::ModelConfig& config) {
  if (!config.mla) return true;
  const pelton::MlaConfig& mla = *config.mla;
  return mla.kv_rank > 0 && mla.nope_dim > 0 && mla.value_dim > 0 &&
         mla.rope_dim == config.rope.dims && config.head_dim == mla.nope_dim + mla.rope_dim &&
         config.kv_heads == 1;
}

void CheckPooling(std::string_view text) {
  const auto modules = pelton::SentenceModulesFromJson(text, "fuzz.json");
  if (modules.ok() && (modules->pooling_folder.find('/') != std::string::npos ||
                       modules->pooling_folder == "." || modules->pooling_folder == "..")) {
    __builtin_trap();
  }
  const auto mode = pelton::PoolingModeFromJson(text, "fuzz.json");
  if (mode.ok() && *mode != "mean" && *mode != "cls" && *mode != "last") __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  CheckPooling(text);
  auto config = pelton::ConfigFromJson(text, "fuzz.json");
  if (!config.ok()) return 0;
  if (!KeepsPromises(*config) || !MoeKeepsPromises(*config) || !MlaKeepsPromises(*config) ||
      !CompressedKeepsPromises(*config)) {
    __builtin_trap();
  }
  (void)pelton::AddGenerationConfig(text, "fuzz.json", &*config);
  return 0;
}
