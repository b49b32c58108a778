#pragma once

#include <string>

#include "serving/api/route.h"

namespace pelton {

// The routes of a table as an OpenAPI 3.1 document in JSON: paths, methods, keys and forms of
// errors from the routes themselves, fields and answers from their RouteDocs. `keys`: whether
// routes that are not open need one.
std::string OpenApiText(const RouteTable& table, const std::string& version, bool keys);

}  // namespace pelton
