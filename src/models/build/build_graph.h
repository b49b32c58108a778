#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"
#include "graph/ir/graph.h"
#include "kernels/ops/kv_cache.h"
#include "models/weights/model_config.h"
#include "models/weights/weight_source.h"

namespace pelton {

// kLogitsAndHidden: also the hidden states behind the final norm of all tokens, f32[T, hidden].
enum class GraphOutputs : uint8_t { kLogits, kLogitsAndHidden };

// The model as a plain graph of standard ops. Inputs: tokens, positions, slots i32[T] and
// logit_rows i32[R]; output: logits f32[R, vocab]. An encoder has token_types i32[T] instead of
// slots and gives hidden states f32[R, hidden], or f32[R, classes] of each text whose first row is
// among the rows. Borrows the data of `weights`. Every tensor's
// presence, type and shape is checked: DataLoss "FILE: tensor NAME: found ..., expected ...";
// Unimplemented for an architecture or a feature without a builder. `context_tokens` is the longest
// sequence that the model is opened for, 0 the longest that it can have: longrope depends on it.
Result<Graph> BuildGraph(const ModelConfig& config, const WeightSource& weights,
                         uint64_t context_tokens = 0, GraphOutputs outputs = GraphOutputs::kLogits);

// Whether the files have a layer that predicts one more token (multi-token prediction), whole or in
// part: a checkpoint may state its number and leave it out.
bool HasMtpLayer(const ModelConfig& config, const WeightSource& weights);

// That layer as a graph of its own. Row i has the main model's hidden state of position i, of the
// input hidden f32[T, hidden], and the token of position i + 1 in `tokens`; its logits are of the
// token of position i + 2. `positions` and `slots` are of position i; its K/V is layer
// config.layers of the cache (see CacheGeometryOf). Outputs: logits f32[R, vocab] and the hidden
// states f32[R, hidden] from which the layer itself goes on. Of several such layers the first is
// built. Errors as above; NotFound if HasMtpLayer is false.
Result<Graph> BuildMtpGraph(const ModelConfig& config, const WeightSource& weights);

// Architectures that BuildGraph builds, for messages: "llama, qwen2, ...".
std::string BuildableArchitectures();

// What a model's graph keeps for each token; blocks and their sizes are the caller's. With `mtp`
// also what the layer of BuildMtpGraph keeps, as one layer more.
KvCacheView CacheGeometryOf(const ModelConfig& config, KvDType dtype, bool mtp = false);

}  // namespace pelton
