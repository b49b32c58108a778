#pragma once

#include <cstddef>

#include "runtime/engine/request.h"
#include "serving/generate/generation_request.h"
#include "serving/model/language_model.h"

namespace pelton {

// What the engine is asked for one choice of the request, below request.choices(). The observer,
// and what a tenant brings, are the caller's to add.
Request EngineRequest(const LanguageModel& model, const GenerationRequest& request, size_t choice);

}  // namespace pelton
