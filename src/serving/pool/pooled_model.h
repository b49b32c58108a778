#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "serving/generate/served_model.h"
#include "serving/model/embedding_model.h"
#include "serving/model/language_model.h"
#include "serving/model/model_facts.h"

namespace pelton {

inline constexpr int64_t kKeepForever = -1;

// A model that a pool may hold, as it was declared.
struct PooledModel {
  ServedName called;
  std::shared_ptr<const ModelFacts> facts;  // its path and kind are there
  LoadOptions load;                         // of a language model
  EmbeddingLoadOptions embedding;           // of an encoder
  int64_t keep_alive_ns = kKeepForever;     // in memory after its last use
  bool preload = false;                     // loaded before clients are served
  bool pinned = false;                      // once loaded it stays

  ModelKind kind() const { return facts->encoder ? ModelKind::kEncoder : ModelKind::kLanguage; }
};

// A model in memory: exactly one of both.
struct LoadedModel {
  std::unique_ptr<LanguageModel> language;
  std::unique_ptr<EmbeddingModel> encoder;
};

// What a model will take of a pool's memory.
struct MemoryNeed {
  size_t weight_bytes = 0;  // of an encoder: all
  size_t kv_bytes = 0;
  size_t arena_bytes = 0;

  size_t TotalBytes() const { return weight_bytes + kv_bytes + arena_bytes; }
  // "812 MiB (weights 512, KV cache 256, activations 44)".
  std::string Text() const;
};

// How a pool gets at models; tests replace it. Any thread, one call at a time.
class ModelLoader {
 public:
  ModelLoader() = default;
  // `report` gets a line about what loads notice besides; any thread.
  explicit ModelLoader(std::function<void(std::string_view line)> report)
      : report_(std::move(report)) {}
  virtual ~ModelLoader() = default;
  virtual Result<MemoryNeed> Need(const PooledModel& model);
  // Errors of LoadLanguageModel and LoadEmbeddingModel. Cancelled soon after *cancelled became
  // true.
  virtual Result<LoadedModel> Load(const PooledModel& model, MetricRegistry& metrics,
                                   const std::atomic<bool>& cancelled);

 private:
  std::function<void(std::string_view line)> report_;
};

// Gives every model of a pool what all of them share: the budget, and, where there are several, to
// each language model an equal share of its half for a KV cache whose size nobody stated.
void ShareMemory(size_t budget_bytes, std::vector<PooledModel>* models);

}  // namespace pelton
