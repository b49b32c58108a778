#pragma once

#include "models/build/tensor_names.h"
#include "models/build/tensor_reader.h"
#include "models/weights/model_config.h"

namespace pelton {

// Inputs of a layer's latent attention.
struct LatentInputs {
  ValueId x;           // normed rows
  ValueId rope_table;  // of mla->rope_dim lanes
  ValueId slots;
};

// Latent attention of a layer with its output projection, in the absorbed form: the key half of
// kv_b is multiplied into the queries and the value half into the result, so that attention runs
// over the cached rows themselves. With config.indexer each token sees only the positions that the
// indexer chooses. kNoValue if a tensor failed. Requires: config.mla.
// Source: DeepSeek-V2 report, section 2.1 and appendix C; DeepSeek-V3.2 report, section 2.1.
ValueId AddLatentAttention(const ModelConfig& config, const TensorNames& names, uint32_t layer,
                           const LatentInputs& in, TensorReader* tensors, Graph* graph);

}  // namespace pelton
