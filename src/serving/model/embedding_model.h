#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <string_view>

#include "base/metrics.h"
#include "base/status.h"
#include "base/thread_pool.h"
#include "graph/passes/passes.h"
#include "models/weights/model_files.h"
#include "models/weights/pooling_config.h"
#include "runtime/embed/embedding_engine.h"
#include "text/tokenizer/tokenizer.h"

namespace pelton {

struct EmbeddingLoadOptions {
  PassOptions passes;                 // fast: weights that are plain floats become 8 bits
  size_t threads = 0;                 // 0: every core that this process may use
  size_t max_step_tokens = 512;       // rows of one step; at least the longest input
  size_t max_queued = 1024;           // requests
  MetricRegistry* metrics = nullptr;  // borrowed; null: its own
  const std::atomic<bool>* cancelled = nullptr;  // borrowed; ends the load early when it is true
};

// An encoder that is ready to run: texts to vectors, or, for a model with a classifier (a
// cross-encoder), pairs of texts to numbers. The engine is safe to use from any thread, everything
// else is read-only. Members are destroyed in reverse order.
struct EmbeddingModel {
  explicit EmbeddingModel(ModelFiles opened) : files(std::move(opened)) {}

  ModelFiles files;
  std::unique_ptr<Tokenizer> tokenizer;
  PoolingConfig pooling_config;
  Pooling pooling = Pooling::kMean;
  size_t max_tokens = 0;  // of one input
  std::unique_ptr<MetricRegistry> own_metrics;
  std::unique_ptr<ThreadPool> pool;
  std::unique_ptr<EmbeddingEngine> engine;

  bool cross_encoder() const { return files.config.classes > 0; }

  // The ids of a text with what the model expects around it. InvalidArgument if it has more than
  // max_tokens; with `truncate_tokens` its end is cut so that so many remain, what stands around
  // it included.
  Result<EmbeddingInput> Encode(std::string_view text, size_t truncate_tokens = 0) const;
  // Two texts as one input; the second one has token type 1. Of both the longer one is cut.
  Result<EmbeddingInput> EncodePair(std::string_view first, std::string_view second,
                                    size_t truncate_tokens = 0) const;
};

// Opens an encoder and makes it ready. Errors: those of OpenModel, BuildGraph, ReadPoolingConfig
// and the tokenizers; Unimplemented for a model that is none; ResourceExhausted without memory.
Result<std::unique_ptr<EmbeddingModel>> LoadEmbeddingModel(const std::string& path,
                                                           const EmbeddingLoadOptions& options);

// At most so many bytes are taken by its weights and activations. Errors as there.
Result<size_t> PlanEmbeddingMemory(const std::string& path, const EmbeddingLoadOptions& options);

// Whether the model at `path` is an encoder, by its configuration alone.
Result<bool> IsEncoder(const std::string& path);

}  // namespace pelton
