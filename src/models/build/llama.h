#pragma once

#include "base/status.h"
#include "graph/ir/graph.h"
#include "models/weights/model_config.h"
#include "models/weights/weight_source.h"

namespace pelton {

// The Llama family: pre-norm layers of grouped-query attention with rotary positions and a gated
// feed-forward part. Optional biases, norms of q and k heads, sliding windows and tied embeddings
// make it Mistral, Qwen2 and Qwen3; fused tensors Phi 3; norms after both parts, soft caps, scaled
// embeddings and a second rope for windowed layers Gemma 2 and 3. Source: Touvron et al. 2023,
// LLaMA; Ainslie et al. 2023, GQA; Gemma Team 2024, Gemma 2; Abdin et al. 2024, Phi-3.
Result<Graph> BuildLlama(const ModelConfig& config, const WeightSource& weights);
// The same with a second output: the final norm's rows of all tokens, f32[T, hidden].
Result<Graph> BuildLlamaWithHidden(const ModelConfig& config, const WeightSource& weights);

// The first layer that predicts a further token (MTP) as a graph of its own, see BuildMtpGraph.
// Source: DeepSeek-V3 report, section 2.2. Requires: config.mtp_layers > 0.
Result<Graph> BuildMtpLayer(const ModelConfig& config, const WeightSource& weights);

}  // namespace pelton
