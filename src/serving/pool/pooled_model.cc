#include "serving/pool/pooled_model.h"

#include <fmt/format.h>

#include "base/checked_math.h"

namespace pelton {
namespace {

size_t Mib(size_t bytes) { return DivUp(bytes, size_t{1} << 20); }

}  // namespace

std::string MemoryNeed::Text() const {
  if (kv_bytes == 0) return fmt::format("{} MiB", Mib(TotalBytes()));
  return fmt::format("{} MiB (weights {}, KV cache {}, activations {})", Mib(TotalBytes()),
                     Mib(weight_bytes), Mib(kv_bytes), Mib(arena_bytes));
}

Result<MemoryNeed> ModelLoader::Need(const PooledModel& model) {
  MemoryNeed need;
  if (model.kind() == ModelKind::kEncoder) {
    ASSIGN_OR_RETURN(need.weight_bytes, PlanEmbeddingMemory(model.facts->path, model.embedding));
    return need;
  }
  ASSIGN_OR_RETURN(const ModelMemoryPlan plan, PlanModelMemory(model.facts->path, model.load));
  need = {.weight_bytes = plan.weight_bytes,
          .kv_bytes = plan.kv_bytes,
          .arena_bytes = plan.arena_bytes};
  return need;
}

Result<LoadedModel> ModelLoader::Load(const PooledModel& model, MetricRegistry& metrics,
                                      const std::atomic<bool>& cancelled) {
  LoadedModel loaded;
  if (model.kind() == ModelKind::kEncoder) {
    EmbeddingLoadOptions options = model.embedding;
    options.metrics = &metrics;
    options.cancelled = &cancelled;
    ASSIGN_OR_RETURN(loaded.encoder, LoadEmbeddingModel(model.facts->path, options));
    return loaded;
  }
  LoadOptions options = model.load;
  options.report = report_;
  options.metrics = &metrics;
  options.cancelled = &cancelled;
  ASSIGN_OR_RETURN(loaded.language, LoadLanguageModel(model.facts->path, options));
  if (loaded.language->tokenizer == nullptr) {
    return InvalidArgument(model.facts->path + ": has no tokenizer, which serving needs");
  }
  return loaded;
}

void ShareMemory(size_t budget_bytes, std::vector<PooledModel>* models) {
  size_t languages = 0;
  for (const PooledModel& model : *models) languages += model.kind() == ModelKind::kLanguage;
  for (PooledModel& model : *models) {
    model.load.memory_bytes = budget_bytes;
    if (models->size() > 1 && languages > 0)
      model.load.most_kv_bytes = budget_bytes / 2 / languages;
  }
}

}  // namespace pelton
