#include "models/build/build_graph.h"

#include <fmt/format.h>

#include "models/build/bert.h"
#include "models/build/llama.h"

namespace pelton {
namespace {

struct Architecture {
  std::string_view name;
  Result<Graph> (*build)(const ModelConfig&, const WeightSource&);
};

// Mistral is built as llama (see ModelConfig::architecture).
constexpr Architecture kArchitectures[] = {
    {"llama", BuildLlama},
    {"qwen2", BuildLlama},
    {"qwen3", BuildLlama},
    {"bert", BuildBert},
};

}  // namespace

std::string BuildableArchitectures() {
  std::string names;
  for (const Architecture& architecture : kArchitectures) {
    if (!names.empty()) names += ", ";
    names += architecture.name;
  }
  return names;
}

Result<Graph> BuildGraph(const ModelConfig& config, const WeightSource& weights) {
  for (const Architecture& architecture : kArchitectures) {
    if (architecture.name == config.architecture) return architecture.build(config, weights);
  }
  return Unimplemented(fmt::format("{}: architecture: found \"{}\", expected one of {}",
                                   config.file, config.architecture, BuildableArchitectures()));
}

}  // namespace pelton
