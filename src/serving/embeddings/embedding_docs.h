#pragma once

#include <vector>

#include "serving/api/route_docs.h"

namespace pelton {

// What /openapi.json says about EmbeddingRoutes.
std::vector<RouteDocs> EmbeddingDocs();

}  // namespace pelton
