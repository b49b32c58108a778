#include "serving/http/access_log.h"

#include <algorithm>
#include <array>

namespace pelton {
namespace {

// What is asked again and again by machines, and the files that come with each view of the page.
bool IsProbe(std::string_view path) {
  constexpr std::array<std::string_view, 5> kProbes = {"/health", "/v1/health", "/ready",
                                                       "/metrics", "/debug/requests"};
  return path.starts_with("/assets/") ||
         std::find(kProbes.begin(), kProbes.end(), path) != kProbes.end();
}

}  // namespace

void LogHttp(Log& log, HttpServerOptions* options) {
  options->log = [&log](std::string_view line) { log.Warning("http", {{"detail", line}}); };
  options->access = [&log](const HttpAccess& access) {
    if (IsProbe(access.path)) return;
    // A path is as long as the client likes.
    log.Info("request", {{"request_id", access.id},
                         {"method", access.method},
                         {"path", access.path.substr(0, 200)},
                         {"status", int64_t{access.status}},
                         {"whole", std::string_view(access.whole ? "yes" : "no")},
                         {"bytes", static_cast<int64_t>(access.sent_bytes)},
                         {"ms", static_cast<double>(access.duration_ns) * 1e-6},
                         {"peer", access.peer},
                         {"tenant", access.label}});
  };
}

}  // namespace pelton
