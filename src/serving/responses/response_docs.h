#pragma once

#include <vector>

#include "serving/api/route_docs.h"

namespace pelton {

// What /openapi.json says about the routes of responses.
std::vector<RouteDocs> ResponseDocs();

}  // namespace pelton
