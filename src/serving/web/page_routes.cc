#include "serving/web/page_routes.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "serving/web/page_files.h"
#include "serving/web/page_pack.h"

namespace pelton {
namespace {

// The page's own files only: no script, style, font or picture from elsewhere, none within the page
// itself, and text becomes markup by the cleaner's hand alone.
constexpr const char* kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types dompurify";

using Files = std::vector<PageFile>;

void SendFile(const ApiCall& call, const Files& files, std::string_view name) {
  const auto file = std::find_if(files.begin(), files.end(),
                                 [&](const PageFile& each) { return each.name == name; });
  if (file == files.end()) {
    return call.Fail({.status = 404, .message = "the page has no such file"});
  }
  const bool packed = file->gzip && AcceptsGzip(call.request->Header("accept-encoding"));
  // The two forms of a file are different things for a cache.
  const std::string tag = "\"" + std::string(file->tag) + (packed ? "-gz" : "") + "\"";
  std::vector<HttpHeader> headers = {{"Content-Security-Policy", kPolicy},
                                     {"X-Content-Type-Options", "nosniff"},
                                     {"Referrer-Policy", "no-referrer"},
                                     {"Cross-Origin-Opener-Policy", "same-origin"},
                                     {"Cross-Origin-Resource-Policy", "same-origin"},
                                     {"Cache-Control", "no-cache"},
                                     {"Vary", "Accept-Encoding"},
                                     {"ETag", tag}};
  if (call.request->Header("if-none-match") == tag) {
    return call.response->Send(304, headers, "");
  }
  headers.push_back({"Content-Type", std::string(file->type)});
  if (packed) headers.push_back({"Content-Encoding", "gzip"});
  call.response->Send(200, headers, packed ? std::string(file->bytes) : Unpacked(*file));
}

RouteDocs Docs(std::string_view path, std::string_view summary, std::string_view media) {
  return {.method = "GET", .path = path, .summary = summary, .media = media};
}

}  // namespace

RouteSet PageRoutes() {
  const auto files = std::make_shared<const Files>(ReadPack(PagePack()));
  return {
      .routes = {{.method = "GET",
                  .path = "/",
                  .open = true,
                  .answer = [files](const ApiCall& call) { SendFile(call, *files, "page.html"); }},
                 {.method = "GET",
                  .path = "/assets/*",
                  .open = true,
                  .answer = [files](const ApiCall& call) { SendFile(call, *files, call.tail); }}},
      .docs = {Docs("/", "The page to chat with", "text/html"),
               Docs("/assets/*", "Its files", "application/octet-stream")}};
}

}  // namespace pelton
