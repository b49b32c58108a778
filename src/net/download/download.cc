#include "net/download/download.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "base/mapped_file.h"
#include "net/download/address_guard.h"
#include "net/download/curl_library.h"

namespace pelton {
namespace {

constexpr long kConnectSeconds = 30;
constexpr long kStallBytes = 100;  // fewer a second for DownloadRequest::stall_seconds: give up

// Requires: LoadCurl gave it.
const CurlLibrary& Curl() { return *LoadCurl(); }

struct CurlDeleter {
  void operator()(CURL* curl) const { Curl().easy_cleanup(curl); }
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using CurlHandle = std::unique_ptr<CURL, CurlDeleter>;
using File = std::unique_ptr<std::FILE, CurlDeleter>;

using ErrorText = std::array<char, CURL_ERROR_SIZE>;

// `error` gets curl's words for what goes wrong; it and the guard must outlive the handle.
CurlHandle NewHandle(const std::string& url, const std::string& token, long stall_seconds,
                     ErrorText* error, AddressGuard* guard) {
  if (LoadCurl() == nullptr) return nullptr;
  CurlHandle curl(Curl().easy_init());
  if (curl == nullptr) return nullptr;
  Curl().easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
  Curl().easy_setopt(curl.get(), CURLOPT_PROTOCOLS_STR, "http,https");
  Curl().easy_setopt(curl.get(), CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  Curl().easy_setopt(curl.get(), CURLOPT_FOLLOWLOCATION, 1L);
  Curl().easy_setopt(curl.get(), CURLOPT_MAXREDIRS, 10L);
  Curl().easy_setopt(curl.get(), CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
  Curl().easy_setopt(curl.get(), CURLOPT_LOW_SPEED_LIMIT, kStallBytes);
  Curl().easy_setopt(curl.get(), CURLOPT_LOW_SPEED_TIME, stall_seconds);
  Curl().easy_setopt(curl.get(), CURLOPT_ERRORBUFFER, error->data());
  Curl().easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  Curl().easy_setopt(curl.get(), CURLOPT_USERAGENT, "pelton");
  guard->Watch(curl.get());
  if (!token.empty()) {
    // Bearer tokens are not sent on to other hosts when the server redirects.
    Curl().easy_setopt(curl.get(), CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
    Curl().easy_setopt(curl.get(), CURLOPT_XOAUTH2_BEARER, token.c_str());
  }
  return curl;
}

std::string Words(CURLcode result, const ErrorText& error) {
  return error[0] != '\0' ? error.data() : Curl().easy_strerror(result);
}

long ResponseCode(CURL* curl) {
  long code = 0;
  Curl().easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &code);
  return code;
}

Status HttpStatus(const std::string& url, long code) {
  if (code == 404) return NotFound(fmt::format("{}: the server has no such file (404)", url));
  if (code == 401 || code == 403) {
    return InvalidArgument(
        fmt::format("{}: the server refuses access ({}); set HF_TOKEN if it needs one", url, code));
  }
  if (code >= 500 || code == 408 || code == 429) {
    return Unavailable(fmt::format("{}: the server failed ({})", url, code));
  }
  return InvalidArgument(fmt::format("{}: the server refuses ({})", url, code));
}

// What a response to a range request says: "bytes 5-9/20", or "bytes */20" if nothing follows.
struct ContentRange {
  std::optional<uint64_t> first;
  std::optional<uint64_t> total;
};

std::optional<uint64_t> LeadingNumber(std::string_view text) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return std::nullopt;
  return number;
}

ContentRange ContentRangeOf(CURL* curl) {
  struct curl_header* header = nullptr;
  if (Curl().easy_header(curl, "Content-Range", 0, CURLH_HEADER, -1, &header) != CURLHE_OK) {
    return {};
  }
  std::string_view text(header->value);
  if (!text.starts_with("bytes ")) return {};
  text.remove_prefix(6);
  const size_t slash = text.find('/');
  return {.first = LeadingNumber(text),
          .total = slash == text.npos ? std::nullopt : LeadingNumber(text.substr(slash + 1))};
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
  bool wrong_range = false;
  int write_error = 0;
  const DownloadProgress* progress;
};

bool Empty(std::FILE* file) {
  return std::fflush(file) == 0 && ::ftruncate(::fileno(file), 0) == 0;
}

// Whether the answer to the request, whose headers have come, goes on from the offset.
bool CheckAnswer(Transfer* t) {
  t->checked = true;
  const long code = ResponseCode(t->curl);
  if (code == 206) {
    t->wrong_range = ContentRangeOf(t->curl).first != t->offset;
    return !t->wrong_range;
  }
  // 200 instead of 206: the server sends everything again.
  if (t->offset > 0 && !Empty(t->file)) {
    t->write_error = errno;
    return false;
  }
  t->offset = t->done = 0;
  return true;
}

size_t OnBody(char* data, size_t size, size_t count, void* user) {
  auto* t = static_cast<Transfer*>(user);
  if (ResponseCode(t->curl) >= 300) return 0;  // an error page
  if (!t->checked && !CheckAnswer(t)) return 0;
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

// Called about each second also while nothing comes.
int OnProgress(void* user, curl_off_t total, curl_off_t, curl_off_t, curl_off_t) {
  const auto* t = static_cast<const Transfer*>(user);
  if (!*t->progress) return 0;
  const uint64_t all =
      t->checked && total > 0 ? t->offset + static_cast<uint64_t>(total) : uint64_t{0};
  return (*t->progress)(t->done, all) ? 0 : 1;
}

Status CannotWrite(const std::string& path, int error) {
  return ResourceExhausted(
      fmt::format("{}: cannot be written: {}", path, std::generic_category().message(error)));
}

// The part, locked against other processes that fetch the same file.
Result<File> OpenPart(const std::string& part) {
  File file(std::fopen(part.c_str(), "ab+"));
  if (file == nullptr) {
    return InvalidArgument(
        fmt::format("{}: cannot be written: {}", part, std::generic_category().message(errno)));
  }
  struct stat locked;
  struct stat named;
  // The other process may have given the file its name between opening and locking.
  if (::flock(::fileno(file.get()), LOCK_EX | LOCK_NB) != 0 ||
      ::fstat(::fileno(file.get()), &locked) != 0 || ::stat(part.c_str(), &named) != 0 ||
      locked.st_ino != named.st_ino) {
    return Unavailable(part + ": another process is fetching this file");
  }
  return file;
}

// Judges a transfer that has ended.
Status CheckTransfer(const DownloadRequest& request, const std::string& part, Transfer* transfer,
                     CURLcode result, const ErrorText& error, const AddressGuard& guard) {
  const std::string& url = request.url;
  if (!guard.refused().empty()) return InvalidArgument(url + ": " + guard.refused());
  const long code = ResponseCode(transfer->curl);
  if (result == CURLE_UNSUPPORTED_PROTOCOL || result == CURLE_TOO_MANY_REDIRECTS ||
      result == CURLE_URL_MALFORMAT) {
    return InvalidArgument(fmt::format("{}: {}", url, Words(result, error)));
  }
  if (code >= 300) return HttpStatus(url, code);
  // An answer without a body has not been looked at.
  if (result == CURLE_OK && !transfer->checked) CheckAnswer(transfer);
  if (transfer->write_error != 0) return CannotWrite(part, transfer->write_error);
  if (transfer->wrong_range) {
    return DataLoss(
        fmt::format("{}: the server sends another range than from byte {}", url, transfer->offset));
  }
  if (transfer->too_much) {
    return DataLoss(fmt::format("{}: the server sends more than the {} bytes that were announced",
                                url, transfer->limit));
  }
  const uint64_t total = ContentRangeOf(transfer->curl).total.value_or(transfer->done);
  if (result != CURLE_OK || total > transfer->done) {
    return Unavailable(
        fmt::format("{}: {}; {} bytes are kept, call again to go on", url,
                    result == CURLE_OK ? "the server sent only a piece" : Words(result, error),
                    transfer->done));
  }
  if (code != 200 && code != 206) return HttpStatus(url, code);
  return OkStatus();
}

// Brings the part, which holds `offset` bytes, to its end.
Status Fetch(const DownloadRequest& request, const std::string& part, std::FILE* file,
             uint64_t offset) {
  ErrorText error{};
  AddressGuard guard(request.url, request.proxies);
  const CurlHandle curl =
      NewHandle(request.url, request.bearer_token, request.stall_seconds, &error, &guard);
  if (curl == nullptr)
    return Internal("libcurl.so.4 cannot be used; Debian has it in the package libcurl4");
  Transfer transfer{.curl = curl.get(),
                    .file = file,
                    .offset = offset,
                    .done = offset,
                    .limit = request.bytes.value_or(UINT64_MAX),
                    .progress = &request.progress};
  Curl().easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, OnBody);
  Curl().easy_setopt(curl.get(), CURLOPT_WRITEDATA, &transfer);
  Curl().easy_setopt(curl.get(), CURLOPT_NOPROGRESS, 0L);
  Curl().easy_setopt(curl.get(), CURLOPT_XFERINFOFUNCTION, OnProgress);
  Curl().easy_setopt(curl.get(), CURLOPT_XFERINFODATA, &transfer);
  const std::string range = fmt::format("{}-", offset);
  if (offset > 0) Curl().easy_setopt(curl.get(), CURLOPT_RANGE, range.c_str());
  const CURLcode result = Curl().easy_perform(curl.get());
  if (offset > 0 && ResponseCode(curl.get()) == 416) {
    // Nothing follows what is there: that is all, or the file has become another one.
    if (ContentRangeOf(curl.get()).total == offset) return OkStatus();
    if (!Empty(file)) return CannotWrite(part, errno);
    return Fetch(request, part, file, 0);
  }
  return CheckTransfer(request, part, &transfer, result, error, guard);
}

Status CheckComplete(const DownloadRequest& request, const std::string& part) {
  std::error_code error;
  const uint64_t bytes = std::filesystem::file_size(part, error);
  if (error) return Internal(part + ": has no size: " + error.message());
  if (request.bytes && bytes != *request.bytes) {
    return DataLoss(
        fmt::format("{}: found {} bytes, expected {}", request.url, bytes, *request.bytes));
  }
  if (!request.sha256) return OkStatus();
  ASSIGN_OR_RETURN(const std::string digest, Sha256OfFile(part));
  if (digest != *request.sha256) {
    return DataLoss(
        fmt::format("{}: found SHA-256 {}, expected {}", request.url, digest, *request.sha256));
  }
  return OkStatus();
}

Status FetchAndCheck(const DownloadRequest& request, const std::string& part, std::FILE* file) {
  struct stat info;
  if (::fstat(::fileno(file), &info) != 0) return Internal(part + ": has no size");
  auto offset = static_cast<uint64_t>(info.st_size);
  if (request.bytes && offset > *request.bytes) {
    if (!Empty(file)) return CannotWrite(part, errno);
    offset = 0;
  }
  if (!request.bytes || offset < *request.bytes) {
    RETURN_IF_ERROR(Fetch(request, part, file, offset));
  }
  if (std::fflush(file) != 0 || ::fsync(::fileno(file)) != 0) return CannotWrite(part, errno);
  return CheckComplete(request, part);
}

}  // namespace

Status Download(const DownloadRequest& request) {
  const std::string part = request.path + ".part";
  ASSIGN_OR_RETURN(const File file, OpenPart(part));
  Status status = FetchAndCheck(request, part, file.get());
  std::error_code error;
  if (!status.ok()) {
    // Only a beginning that can be right is worth keeping.
    std::fflush(file.get());
    if (status.code() == StatusCode::kDataLoss || std::filesystem::file_size(part, error) == 0) {
      std::filesystem::remove(part, error);
    }
    return status;
  }
  std::filesystem::rename(part, request.path, error);
  if (error) return InvalidArgument(request.path + ": cannot be written: " + error.message());
  return OkStatus();
}

Result<std::string> FetchText(const TextRequest& request) {
  ErrorText error{};
  AddressGuard guard(request.url, request.proxies);
  const CurlHandle curl =
      NewHandle(request.url, request.bearer_token, request.stall_seconds, &error, &guard);
  if (curl == nullptr)
    return Internal("libcurl.so.4 cannot be used; Debian has it in the package libcurl4");
  struct Body {
    CURL* curl;
    size_t max_bytes;
    std::string text;
    bool too_long = false;
  } body{.curl = curl.get(), .max_bytes = request.max_bytes};
  const auto on_body = +[](char* data, size_t size, size_t count, void* user) -> size_t {
    auto* b = static_cast<Body*>(user);
    if (ResponseCode(b->curl) >= 300) return 0;  // an error page
    if (size * count > b->max_bytes - b->text.size()) {
      b->too_long = true;
      return 0;
    }
    b->text.append(data, size * count);
    return size * count;
  };
  Curl().easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, on_body);
  Curl().easy_setopt(curl.get(), CURLOPT_WRITEDATA, &body);
  const CURLcode result = Curl().easy_perform(curl.get());
  if (body.too_long) {
    return DataLoss(fmt::format("{}: found an answer of more than {} bytes, expected no more",
                                request.url, request.max_bytes));
  }
  if (!guard.refused().empty()) return InvalidArgument(request.url + ": " + guard.refused());
  const long code = ResponseCode(curl.get());
  if (code >= 400 || (code >= 300 && result == CURLE_OK)) return HttpStatus(request.url, code);
  if (result != CURLE_OK) {
    return Unavailable(fmt::format("{}: {}", request.url, Words(result, error)));
  }
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
