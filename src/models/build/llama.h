#pragma once

#include "base/status.h"
#include "graph/ir/graph.h"
#include "models/weights/model_config.h"
#include "models/weights/weight_source.h"

namespace pelton {

// The Llama family: pre-norm layers of grouped-query attention with rotary positions and a gated
// feed-forward part. Optional biases, norms of q and k heads, sliding windows and tied embeddings
// make it Mistral, Qwen2 and Qwen3. Source: Touvron et al. 2023, LLaMA; Ainslie et al. 2023, GQA.
Result<Graph> BuildLlama(const ModelConfig& config, const WeightSource& weights);

}  // namespace pelton
