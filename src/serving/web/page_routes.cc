#include "serving/web/page_routes.h"

#include <string>

#include "serving/web/page.h"

namespace pelton {
namespace {

Route File(const char* path, const char* type, std::string_view (*bytes)()) {
  return {
      .method = "GET", .path = path, .open = true, .answer = [type, bytes](const ApiCall& call) {
        // The page's own files only: no script, style or address from elsewhere.
        call.response->Send(
            200,
            {{"Content-Type", type},
             {"Content-Security-Policy",
              "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
              "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
             {"X-Content-Type-Options", "nosniff"},
             {"Referrer-Policy", "no-referrer"},
             {"Cache-Control", "no-cache"}},
            std::string(bytes()));
      }};
}

}  // namespace

RouteSet PageRoutes() {
  return {.routes = {File("/", "text/html; charset=utf-8", &PageHtml),
                     File("/page.css", "text/css; charset=utf-8", &PageCss),
                     File("/page.js", "text/javascript; charset=utf-8", &PageJs),
                     File("/live.js", "text/javascript; charset=utf-8", &LiveJs)}};
}

}  // namespace pelton
