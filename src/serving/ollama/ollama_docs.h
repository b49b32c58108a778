#pragma once

#include <vector>

#include "serving/api/route_docs.h"

namespace pelton {

// What /openapi.json says about OllamaRoutes.
std::vector<RouteDocs> OllamaDocs();

}  // namespace pelton
