#pragma once

#include "serving/api/route.h"
#include "serving/generate/served_model.h"

namespace pelton {

// OpenAI's interface, and vLLM's and llama.cpp's /tokenize and /detokenize. Borrows the
// models.
RouteSet OpenAiRoutes(const ModelDirectory& models);

}  // namespace pelton
