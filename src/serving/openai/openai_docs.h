#pragma once

#include <vector>

#include "serving/api/route_docs.h"

namespace pelton {

// What /openapi.json says about OpenAiRoutes.
std::vector<RouteDocs> OpenAiDocs();

}  // namespace pelton
