#pragma once

#include <memory>

#include "serving/api/route.h"
#include "serving/responses/response_store.h"

namespace pelton {

// OpenAI's /v1/responses: to create them, and to get, list, cancel and delete what is stored.
RouteSet ResponseRoutes(const std::shared_ptr<ResponseStore>& store);

}  // namespace pelton
