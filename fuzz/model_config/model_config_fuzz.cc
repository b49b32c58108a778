// Any text as config.json and generation_config.json, and as the files that say how a model's
// embeddings are made. An accepted configuration keeps what its header promises, so that builders
// may divide and allocate by it; an accepted pooling module lies in the model's folder.

#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>

#include "models/weights/model_config.h"
#include "models/weights/pooling_config.h"

namespace {

bool KeepsPromises(const pelton::ModelConfig& config) {
  const pelton::RopeConfig& rope = config.rope;
  return config.layers > 0 && config.hidden > 0 && config.heads > 0 && config.kv_heads > 0 &&
         config.heads % config.kv_heads == 0 && config.head_dim > 0 && config.vocab > 0 &&
         config.intermediate > 0 && config.max_positions > 0 &&
         config.context_tokens >= config.max_positions &&
         config.windowed_layers.size() == config.layers && config.rms_epsilon > 0 &&
         (config.encoder ? config.token_types > 0
                         : rope.dims > 0 && rope.dims % 2 == 0 && rope.dims <= config.head_dim) &&
         rope.factor > 0 && std::isfinite(rope.attention_factor) && rope.attention_factor > 0 &&
         std::isfinite(config.attention_scale) && config.attention_scale > 0 &&
         (config.eos_ids.empty() || config.eos_ids.back() < config.vocab);
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
  if (!KeepsPromises(*config)) __builtin_trap();
  (void)pelton::AddGenerationConfig(text, "fuzz.json", &*config);
  return 0;
}
