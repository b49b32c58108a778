#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"

namespace pelton {

// Told of the bytes that are there, and of how many (0 while that is unknown). False ends the
// transfer; what has come is kept.
using DownloadProgress = std::function<bool(uint64_t done, uint64_t total)>;

// A transfer ends if it is almost still for so long.
inline constexpr long kStallSeconds = 60;

struct DownloadRequest {
  std::string url;                        // http or https
  std::string path;                       // where the file appears when it is complete
  std::string bearer_token;               // sent to the host of `url` only; empty: none
  std::optional<uint64_t> bytes;          // as announced; another size is refused
  std::optional<std::string> sha256;      // 64 hexadecimal digits; another content is refused
  DownloadProgress progress;              // may be empty
  std::vector<std::string> proxies = {};  // that the environment names, as addresses or hosts
  long stall_seconds = kStallSeconds;
};

// Fetches a file over HTTP. What arrives goes to PATH.part, which a later call continues where the
// server can (and starts anew where it cannot); the file gets its name only when it is complete and
// its checksum is right. Proxies are taken from the environment, as curl does. A
// redirect leads to public addresses only (address_guard.h): else InvalidArgument. Unavailable if
// the server cannot be reached, stalls or breaks off, if `progress` ends it, or if another process
// fetches the same file; NotFound for 404, InvalidArgument for other refusals, DataLoss if size,
// range or checksum differ (the part is then deleted), ResourceExhausted if the file cannot be
// written. Blocks; any thread.
Status Download(const DownloadRequest& request);

struct TextRequest {
  std::string url;
  std::string bearer_token;
  size_t max_bytes = 0;
  std::vector<std::string> proxies = {};
  long stall_seconds = kStallSeconds;
};

// A small answer as text; DataLoss if it is longer than max_bytes. Errors as above.
Result<std::string> FetchText(const TextRequest& request);

// SHA-256 of a file as 64 hexadecimal digits.
Result<std::string> Sha256OfFile(const std::string& path);

}  // namespace pelton
