#include "net/download/download.h"

#include <curl/curl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "base/mapped_file.h"

namespace pelton {
namespace {

constexpr long kConnectSeconds = 30;
constexpr long kStallSeconds = 60;  // below 1 byte a second for so long: give up

struct CurlDeleter {
  void operator()(CURL* curl) const { ::curl_easy_cleanup(curl); }
  void operator()(curl_slist* list) const { ::curl_slist_free_all(list); }
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using CurlHandle = std::unique_ptr<CURL, CurlDeleter>;
using File = std::unique_ptr<std::FILE, CurlDeleter>;

CurlHandle NewHandle(const std::string& url, const std::string& token) {
  static const CURLcode initialized = ::curl_global_init(CURL_GLOBAL_DEFAULT);
  if (initialized != CURLE_OK) return nullptr;
  CurlHandle curl(::curl_easy_init());
  if (curl == nullptr) return nullptr;
  ::curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
  ::curl_easy_setopt(curl.get(), CURLOPT_PROTOCOLS_STR, "http,https");
  ::curl_easy_setopt(curl.get(), CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  ::curl_easy_setopt(curl.get(), CURLOPT_FOLLOWLOCATION, 1L);
  ::curl_easy_setopt(curl.get(), CURLOPT_MAXREDIRS, 10L);
  ::curl_easy_setopt(curl.get(), CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
  ::curl_easy_setopt(curl.get(), CURLOPT_LOW_SPEED_LIMIT, 1L);
  ::curl_easy_setopt(curl.get(), CURLOPT_LOW_SPEED_TIME, kStallSeconds);
  ::curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  ::curl_easy_setopt(curl.get(), CURLOPT_USERAGENT, "pelton");
  if (!token.empty()) {
    // Bearer tokens are not sent on to other hosts when the server redirects.
    ::curl_easy_setopt(curl.get(), CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
    ::curl_easy_setopt(curl.get(), CURLOPT_XOAUTH2_BEARER, token.c_str());
  }
  return curl;
}

Status HttpStatus(const std::string& url, long code) {
  if (code == 404) return NotFound(fmt::format("{}: the server has no such file (404)", url));
  if (code == 401 || code == 403) {
    return InvalidArgument(
        fmt::format("{}: the server refuses access ({}); set HF_TOKEN if it needs one", url, code));
  }
  if (code >= 500) return Unavailable(fmt::format("{}: the server failed ({})", url, code));
  return InvalidArgument(fmt::format("{}: the server refuses ({})", url, code));
}

// One transfer into a file that may hold a beginning already.
struct Transfer {
  CURL* curl;
  std::FILE* file;
  uint64_t offset;  // bytes that were there
  uint64_t done;    // bytes that are there now
  uint64_t limit;   // more is refused
  bool checked = false;
  bool too_much = false;
  int write_error = 0;
  const DownloadProgress* progress;
};

size_t OnBody(char* data, size_t size, size_t count, void* user) {
  auto* t = static_cast<Transfer*>(user);
  long code = 0;
  ::curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &code);
  if (code >= 300) return size * count;  // an error page
  if (!t->checked) {
    t->checked = true;
    // 200 instead of 206: the server sends everything again.
    if (t->offset > 0 && code == 200) {
      if (::ftruncate(::fileno(t->file), 0) != 0 || std::fseek(t->file, 0, SEEK_SET) != 0) return 0;
      t->offset = t->done = 0;
    }
  }
  const size_t bytes = size * count;
  if (bytes > t->limit - t->done) {
    t->too_much = true;
    return 0;
  }
  if (std::fwrite(data, 1, bytes, t->file) != bytes) {
    t->write_error = errno;
    return 0;
  }
  t->done += bytes;
  return bytes;
}

int OnProgress(void* user, curl_off_t total, curl_off_t, curl_off_t, curl_off_t) {
  const auto* t = static_cast<const Transfer*>(user);
  if (*t->progress && total > 0) {
    (*t->progress)(t->done, t->offset + static_cast<uint64_t>(total));
  }
  return 0;
}

Status CheckComplete(const DownloadRequest& request, const std::string& part) {
  std::error_code error;
  const uint64_t bytes = std::filesystem::file_size(part, error);
  if (request.bytes && bytes != *request.bytes) {
    std::filesystem::remove(part, error);
    return DataLoss(
        fmt::format("{}: found {} bytes, expected {}", request.url, bytes, *request.bytes));
  }
  if (!request.sha256) return OkStatus();
  ASSIGN_OR_RETURN(const std::string digest, Sha256OfFile(part));
  if (digest != *request.sha256) {
    std::filesystem::remove(part, error);
    return DataLoss(
        fmt::format("{}: found SHA-256 {}, expected {}", request.url, digest, *request.sha256));
  }
  return OkStatus();
}

}  // namespace

Status Download(const DownloadRequest& request) {
  const std::string part = request.path + ".part";
  const File file(std::fopen(part.c_str(), "ab+"));
  if (file == nullptr) {
    return InvalidArgument(
        fmt::format("{}: cannot be written: {}", part, std::generic_category().message(errno)));
  }
  struct stat info;
  if (::fstat(::fileno(file.get()), &info) != 0) return Internal(part + ": has no size");
  auto offset = static_cast<uint64_t>(info.st_size);
  if (request.bytes && offset > *request.bytes) {
    if (::ftruncate(::fileno(file.get()), 0) != 0) return Internal(part + ": cannot be emptied");
    offset = 0;
  }
  if (!request.bytes || offset < *request.bytes) {
    const CurlHandle curl = NewHandle(request.url, request.bearer_token);
    if (curl == nullptr) return Internal("curl cannot be initialised");
    Transfer transfer{.curl = curl.get(),
                      .file = file.get(),
                      .offset = offset,
                      .done = offset,
                      .limit = request.bytes.value_or(UINT64_MAX),
                      .progress = &request.progress};
    ::curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, OnBody);
    ::curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &transfer);
    ::curl_easy_setopt(curl.get(), CURLOPT_NOPROGRESS, 0L);
    ::curl_easy_setopt(curl.get(), CURLOPT_XFERINFOFUNCTION, OnProgress);
    ::curl_easy_setopt(curl.get(), CURLOPT_XFERINFODATA, &transfer);
    const std::string range = fmt::format("{}-", offset);
    if (offset > 0) ::curl_easy_setopt(curl.get(), CURLOPT_RANGE, range.c_str());
    const CURLcode result = ::curl_easy_perform(curl.get());
    long code = 0;
    ::curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &code);
    // 416: nothing follows what is there; the checks below decide.
    const bool complete_already = code == 416 && offset > 0;
    if (code >= 300 && !complete_already) return HttpStatus(request.url, code);
    if (transfer.write_error != 0) {
      return ResourceExhausted(fmt::format("{}: cannot be written: {}", part,
                                           std::generic_category().message(transfer.write_error)));
    }
    if (transfer.too_much) {
      return DataLoss(fmt::format("{}: the server sends more than the {} bytes that were announced",
                                  request.url, transfer.limit));
    }
    if (result != CURLE_OK && !complete_already) {
      return Unavailable(fmt::format("{}: {}; {} bytes are kept, call again to go on", request.url,
                                     ::curl_easy_strerror(result), transfer.done));
    }
  }
  if (std::fflush(file.get()) != 0 || ::fsync(::fileno(file.get())) != 0) {
    return ResourceExhausted(
        fmt::format("{}: cannot be written: {}", part, std::generic_category().message(errno)));
  }
  RETURN_IF_ERROR(CheckComplete(request, part));
  std::error_code error;
  std::filesystem::rename(part, request.path, error);
  if (error) return InvalidArgument(request.path + ": cannot be written: " + error.message());
  return OkStatus();
}

Result<std::string> FetchText(const std::string& url, const std::string& bearer_token,
                              size_t max_bytes) {
  const CurlHandle curl = NewHandle(url, bearer_token);
  if (curl == nullptr) return Internal("curl cannot be initialised");
  struct Body {
    std::string text;
    size_t max_bytes;
    bool too_long = false;
  } body{.max_bytes = max_bytes};
  const auto on_body = +[](char* data, size_t size, size_t count, void* user) -> size_t {
    auto* b = static_cast<Body*>(user);
    if (size * count > b->max_bytes - b->text.size()) {
      b->too_long = true;
      return 0;
    }
    b->text.append(data, size * count);
    return size * count;
  };
  ::curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, on_body);
  ::curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &body);
  const CURLcode result = ::curl_easy_perform(curl.get());
  if (body.too_long) {
    return ResourceExhausted(fmt::format("{}: the answer is longer than {} bytes", url, max_bytes));
  }
  if (result != CURLE_OK) {
    return Unavailable(fmt::format("{}: {}", url, ::curl_easy_strerror(result)));
  }
  long code = 0;
  ::curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &code);
  if (code >= 300) return HttpStatus(url, code);
  return std::move(body.text);
}

Result<std::string> Sha256OfFile(const std::string& path) {
  ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned size = 0;
  if (::EVP_Digest(file.bytes().data(), file.bytes().size(), digest.data(), &size, EVP_sha256(),
                   nullptr) != 1) {
    return Internal(path + ": its SHA-256 cannot be computed");
  }
  std::string hex;
  for (unsigned i = 0; i < size; ++i) hex += fmt::format("{:02x}", digest[i]);
  return hex;
}

}  // namespace pelton
