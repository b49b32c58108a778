#pragma once

#include <string>

#include "serving/api/route.h"
#include "serving/generate/served_model.h"

namespace pelton {

// Ollama's interface, below /api. Borrows `models`; `version` is the program's.
RouteSet OllamaRoutes(ModelDirectory& models, const std::string& version);

}  // namespace pelton
