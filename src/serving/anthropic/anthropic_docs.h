#pragma once

#include <vector>

#include "serving/api/route_docs.h"

namespace pelton {

// What /openapi.json says about AnthropicRoutes.
std::vector<RouteDocs> AnthropicDocs();

}  // namespace pelton
