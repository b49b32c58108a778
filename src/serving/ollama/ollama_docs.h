#pragma once

#include <vector>

#include "serving/api/route_docs.h"

namespace pelton {

// What /openapi.json says about OllamaRoutes.
std::vector<RouteDocs> OllamaDocs();
// What it says about StoreRoutes.
std::vector<RouteDocs> StoreDocs();

}  // namespace pelton
