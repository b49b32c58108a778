#pragma once

#include "serving/api/route.h"

namespace pelton {

// The page to chat with, at "/".
RouteSet PageRoutes();

}  // namespace pelton
