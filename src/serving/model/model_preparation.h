#pragma once

#include <optional>
#include <vector>

#include "base/status.h"
#include "graph/execute/step_executor.h"
#include "graph/ir/graph.h"
#include "graph/passes/passes.h"
#include "kernels/ops/kv_cache.h"
#include "models/weights/model_files.h"
#include "serving/model/language_model.h"

namespace pelton {

// A model's graph after its passes, and what it will take.
struct Preparation {
  Graph graph;
  std::optional<Graph> draft_graph;
  Speculation speculate;
  std::vector<PassReport> pass_reports;
  StepLimits limits;
  StepLimits draft_limits;
  size_t kv_tokens = 0;
  size_t draft_expert_bytes = 0;  // of memory.expert_bytes, of the draft graph
  ModelMemoryPlan memory;
};

// Builds the graphs that the options ask for and sizes everything. `draft_files`: those of
// options.draft_model, if it is to be opened. Errors as LoadLanguageModel's.
Result<Preparation> Prepare(const ModelFiles& files, const std::optional<ModelFiles>& draft_files,
                            const LoadOptions& options);

// Whether the system has what loading touches; where the options state no memory, the plan was made
// for what it has. The KV cache is taken as it fills.
Status CheckAvailable(const LoadOptions& options, const ModelMemoryPlan& memory);

// What keys and values are kept in.
KvDType KvDTypeOf(const LoadOptions& options);

// The KV blocks of a model, with those of its MTP layer where that is asked for.
KvCacheView GeometryFor(const ModelConfig& config, KvDType dtype, bool mtp, size_t kv_tokens);

// Whether results must not depend on what runs beside.
bool IsInvariant(const LoadOptions& options);

}  // namespace pelton
