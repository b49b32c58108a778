#pragma once

#include <vector>

#include "serving/api/route_docs.h"

namespace pelton {

// What /openapi.json says about FileRoutes and BatchRoutes.
std::vector<RouteDocs> FileDocs();
std::vector<RouteDocs> BatchDocs();

}  // namespace pelton
