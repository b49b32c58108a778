#pragma once

#include "models/weights/json_fields.h"
#include "models/weights/model_config.h"

namespace pelton {

// Reads ModelConfig::compressed, and the indexer's and the gate's limit that belong to it. The
// sizes are known. Errors as ConfigFromJson's.
Status ReadCompressed(const JsonFields& root, ModelConfig* config);

// Reads the rotary embedding of layers with entries (`rope`) and of the others (`local_rope`).
Status ReadCompressedRope(const JsonFields& root, ModelConfig* config);

}  // namespace pelton
