#pragma once

#include "models/weights/gguf_fields.h"
#include "models/weights/json_fields.h"
#include "models/weights/model_config.h"

namespace pelton {

struct ArchitectureTraits;

// Reads ModelConfig::moe and ::mla from either format, where the architecture has them. Called
// after the sizes are known. Errors as ConfigFromJson's.
Status ReadMoe(const JsonFields& root, const ArchitectureTraits& traits, ModelConfig* config);
Status ReadMoe(const GgufFields& model, const WeightSource& weights,
               const ArchitectureTraits& traits, ModelConfig* config);

// Reads ModelConfig::indexer; mla or compressed is known.
Status ReadIndexer(const JsonFields& root, ModelConfig* config);

// Also sets head_dim (nope + rope lanes, of a query) and kv_heads.
Status ReadMla(const JsonFields& root, ModelConfig* config);
Status ReadMla(const GgufFields& model, ModelConfig* config);

}  // namespace pelton
