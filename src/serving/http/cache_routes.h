#pragma once

#include "serving/api/route.h"
#include "serving/generate/served_model.h"
#include "serving/tenant/tenant_directory.h"

namespace pelton {

// GET /v1/cache: what the prefix caches hold and how well they do. Who may administer sees every
// model and everybody; others see what their own requests took, and nothing of what is held, which
// would tell of other tenants. Borrows both.
RouteSet CacheRoutes(const ModelDirectory& models, const TenantDirectory& tenants);

}  // namespace pelton
