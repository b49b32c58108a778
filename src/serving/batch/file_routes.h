#pragma once

#include "serving/api/route.h"
#include "serving/batch/batch_service.h"

namespace pelton {

// Of one file that is sent.
inline constexpr size_t kMaxUploadBytes = size_t{64} << 20;

// OpenAI's /v1/files: to send, list, get and delete files for batches. `batches` is borrowed; null:
// there are none, as every answer says.
RouteSet FileRoutes(BatchService* batches);
// OpenAI's /v1/batches: to create, list, get and cancel them.
RouteSet BatchRoutes(BatchService* batches);

// How long files may be kept, where a client says.
inline constexpr int64_t kLeastKeptSeconds = 3600, kMostKeptSeconds = 2'592'000;

// Whose files and batches a call sees.
std::string TenantOf(const ApiCall& call);

// One of these routes; without batches it says so.
using BatchAnswer = void (*)(BatchService& batches, const ApiCall& call);
Route BatchRoute(BatchService* batches, const char* method, const char* path, BatchAnswer answer);

}  // namespace pelton
