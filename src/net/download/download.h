#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/status.h"

namespace pelton {

// Bytes that are there, and of how many; total is 0 while it is unknown.
using DownloadProgress = std::function<void(uint64_t done, uint64_t total)>;

struct DownloadRequest {
  std::string url;                    // http or https
  std::string path;                   // where the file appears when it is complete
  std::string bearer_token;           // sent to the host of `url` only; empty: none
  std::optional<uint64_t> bytes;      // as announced; another size is refused
  std::optional<std::string> sha256;  // 64 hexadecimal digits; another content is refused
  DownloadProgress progress;          // may be empty
};

// Fetches a file over HTTP. What arrives goes to PATH.part, which a later call continues where the
// server can (and starts anew where it cannot); the file gets its name only when it is complete and
// its checksum is right. Proxies are taken from the environment, as curl does. Unavailable if the
// server cannot be reached or breaks off, NotFound for 404, InvalidArgument for other refusals,
// DataLoss if size or checksum differ (the part is then deleted). Blocks; any thread.
Status Download(const DownloadRequest& request);

// A small answer as text; ResourceExhausted if it is longer than max_bytes. Errors as above.
Result<std::string> FetchText(const std::string& url, const std::string& bearer_token,
                              size_t max_bytes);

// SHA-256 of a file as 64 hexadecimal digits.
Result<std::string> Sha256OfFile(const std::string& path);

}  // namespace pelton
