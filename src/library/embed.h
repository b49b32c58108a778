#pragma once

#include <span>

#include "base/status.h"
#include "library/loaded_model.h"
#include "pelton.h"
#include "runtime/embed/embedding_engine.h"

namespace pelton::library {

// One vector for each text; waits until all are there. `sizes`: bytes of each, or null.
// InvalidArgument naming the text if the model is no encoder of single texts, for texts that are
// too long or missing, and for dimensions beyond the model's.
Result<EmbeddingResult> Embed(const LoadedModel& model, std::span<const char* const> texts,
                              const size_t* sizes, const pelton_embed_options& options);

}  // namespace pelton::library
