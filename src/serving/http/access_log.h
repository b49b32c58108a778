#pragma once

#include "base/log.h"
#include "net/http/server.h"

namespace pelton {

// Makes a server report its requests and its own trouble to the log, which it borrows. Requests
// of probes (/health, /ready, /metrics), which come every few seconds, are left out.
void LogHttp(Log& log, HttpServerOptions* options);

}  // namespace pelton
