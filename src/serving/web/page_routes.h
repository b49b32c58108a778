#pragma once

#include "serving/api/route.h"

namespace pelton {

// The page to chat with and to watch the server, at "/", and its files below "/assets".
RouteSet PageRoutes();

}  // namespace pelton
