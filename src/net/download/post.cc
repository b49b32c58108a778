#include "net/download/post.h"

#include <fmt/format.h>

#include <array>
#include <memory>

#include "net/download/curl_library.h"

namespace pelton {
namespace {

size_t DropAnswer(char*, size_t size, size_t count, void*) { return size * count; }

}  // namespace

Status Post(const PostRequest& request) {
  const CurlLibrary* const library = LoadCurl();
  if (library == nullptr) return Unavailable("libcurl.so.4 is not installed");
  const auto free_list = [library](curl_slist* list) { library->slist_free_all(list); };
  const auto cleanup = [library](CURL* handle) { library->easy_cleanup(handle); };
  const std::unique_ptr<CURL, decltype(cleanup)> curl(library->easy_init(), cleanup);
  if (curl == nullptr) return Unavailable("libcurl has no memory");
  std::unique_ptr<curl_slist, decltype(free_list)> headers(nullptr, free_list);
  for (const std::string& header : request.headers) {
    curl_slist* const longer = library->slist_append(headers.get(), header.c_str());
    if (longer == nullptr) return Unavailable("libcurl has no memory");
    headers.release();  // NOLINT(bugprone-unused-return-value): it is the beginning of `longer`
    headers.reset(longer);
  }
  std::array<char, CURL_ERROR_SIZE> error{};
  const auto set = [&](CURLoption option, auto value) {
    library->easy_setopt(curl.get(), option, value);
  };
  set(CURLOPT_URL, request.url.c_str());
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_HTTPHEADER, headers.get());
  set(CURLOPT_POST, 1L);
  set(CURLOPT_POSTFIELDS, request.body.data());
  set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
  set(CURLOPT_TIMEOUT_MS, request.timeout_ms);
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_USERAGENT, "pelton");
  set(CURLOPT_WRITEFUNCTION, &DropAnswer);
  set(CURLOPT_ERRORBUFFER, error.data());
  const CURLcode result = library->easy_perform(curl.get());
  if (result != CURLE_OK) {
    const char* const words = error[0] != '\0' ? error.data() : library->easy_strerror(result);
    return Unavailable(fmt::format("{}: {}", request.url, words));
  }
  long code = 0;
  library->easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &code);
  if (code >= 200 && code < 300) return OkStatus();
  const std::string words = fmt::format("{}: the server answers {}", request.url, code);
  return code >= 500 || code == 408 || code == 429 ? Unavailable(words) : InvalidArgument(words);
}

}  // namespace pelton
