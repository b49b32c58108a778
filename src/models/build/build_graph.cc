#include "models/build/build_graph.h"

#include <fmt/format.h>

#include <algorithm>

#include "models/build/bert.h"
#include "models/build/deepseek4.h"
#include "models/build/llama.h"

namespace pelton {
namespace {

struct Architecture {
  std::string_view name;
  Result<Graph> (*build)(const ModelConfig&, const WeightSource&);
};

// Mistral is built as llama (see ModelConfig::architecture).
constexpr Architecture kArchitectures[] = {
    {"llama", BuildLlama},         {"qwen2", BuildLlama},   {"qwen3", BuildLlama},
    {"gemma2", BuildLlama},        {"gemma3", BuildLlama},  {"phi3", BuildLlama},
    {"deepseek2", BuildLlama},     {"gpt-oss", BuildLlama}, {"bert", BuildBert},
    {"deepseek4", BuildDeepseek4},
};

// Builders see longrope as the divisors that it comes to.
ModelConfig WithDivisors(ModelConfig config, uint64_t context_tokens) {
  RopeConfig& rope = config.rope;
  rope.frequency_divisors =
      UsesLongFactors(config, context_tokens) ? rope.long_factors : rope.short_factors;
  rope.scaling = RopeScaling::kNone;
  rope.factor = 1;
  return config;
}

}  // namespace

std::string BuildableArchitectures() {
  std::string names;
  for (const Architecture& architecture : kArchitectures) {
    if (!names.empty()) names += ", ";
    names += architecture.name;
  }
  return names;
}

Result<Graph> BuildGraph(const ModelConfig& config, const WeightSource& weights,
                         uint64_t context_tokens, GraphOutputs outputs) {
  for (const Architecture& architecture : kArchitectures) {
    if (architecture.name != config.architecture) continue;
    auto* build = architecture.build;
    if (outputs == GraphOutputs::kLogitsAndHidden) {
      if (build != &BuildLlama) {
        return Unimplemented(fmt::format("{}: hidden states of {} are not given out", config.file,
                                         config.architecture));
      }
      build = &BuildLlamaWithHidden;
    }
    if (config.rope.scaling != RopeScaling::kLongRope) return build(config, weights);
    return build(WithDivisors(config, context_tokens), weights);
  }
  return Unimplemented(fmt::format("{}: architecture: found \"{}\", expected one of {}",
                                   config.file, config.architecture, BuildableArchitectures()));
}

bool HasMtpLayer(const ModelConfig& config, const WeightSource& weights) {
  if (config.mtp_layers == 0) return false;
  const std::string prefix = fmt::format("model.layers.{}.", config.layers);
  return std::ranges::any_of(
      weights.tensors(), [&](const TensorInfo& tensor) { return tensor.name.starts_with(prefix); });
}

Result<Graph> BuildMtpGraph(const ModelConfig& config, const WeightSource& weights) {
  if (!HasMtpLayer(config, weights)) {
    return NotFound(
        fmt::format("{}: multi-token prediction: found num_nextn_predict_layers {} and no tensor "
                    "model.layers.{}.eh_proj.weight, expected a checkpoint with both",
                    config.file, config.mtp_layers, config.layers));
  }
  return BuildMtpLayer(config, weights);
}

KvCacheView CacheGeometryOf(const ModelConfig& config, KvDType dtype, bool mtp) {
  KvCacheView view{};
  view.dtype = dtype;
  view.layers = config.layers + (mtp ? 1 : 0);
  view.kv_heads = config.kv_heads;
  view.head_dim = config.head_dim;
  if (config.mla) {
    view.head_dim = config.mla->kv_rank + config.mla->rope_dim;
    view.value_dim = config.mla->kv_rank;
  }
  if (config.indexer) view.index_dim = config.indexer->head_dim;
  if (config.compressed) {
    view.value_dim = config.head_dim;
    view.index_dim = CompressedLanes(config);
  }
  return view;
}

}  // namespace pelton
