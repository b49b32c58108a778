#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/thread_pool.h"
#include "graph/execute/graph_executor.h"
#include "models/weights/model_files.h"
#include "runtime/engine/engine.h"

namespace pelton {

struct ModelEngineOptions {
  std::string path;
  PassOptions passes = {};
  size_t threads = 1;
  size_t step_tokens = 256;
  size_t max_sequences = 8;
  size_t kv_blocks = 64;
  bool prefix_cache = true;
  std::optional<KvDType> kv_dtype = {};  // f16, or f32 where the numerics are exact
  bool mtp = false;                      // guesses come from the model's own layer for it
  std::string draft_path = {};           // or from this model; empty: from neither
  size_t draft_tokens = 3;
};

// A small model under a whole engine, without the text side.
class ModelEngine {
 public:
  explicit ModelEngine(const ModelEngineOptions& options);

  Engine& engine() { return *engine_; }

 private:
  ModelFiles files_;
  std::optional<ModelFiles> draft_files_;
  ThreadPool pool_;
  MonotonicClock clock_;
  MetricRegistry metrics_;
  std::unique_ptr<Engine> engine_;
};

}  // namespace pelton
