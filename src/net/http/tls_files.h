#pragma once

#include <array>
#include <boost/asio/ssl/context.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"

namespace pelton {

// A certificate chain and its key, in files that may be replaced while the server runs. One thread.
class TlsFiles {
 public:
  // InvalidArgument, naming the file, if the pair cannot be used.
  static Result<std::unique_ptr<TlsFiles>> Open(std::string certificate, std::string key);

  // The context for a new connection. Looks at the files at most once a second; if they changed,
  // reads them, or calls `log` and keeps what it had.
  std::shared_ptr<boost::asio::ssl::context> Current(
      int64_t now_ns, const std::function<void(std::string_view)>& log);

 private:
  // Of each file: device, inode, size, and time of change in seconds and nanoseconds.
  using Stamp = std::array<int64_t, 10>;

  TlsFiles(std::string certificate, std::string key)
      : certificate_(std::move(certificate)), key_(std::move(key)) {}
  Result<std::shared_ptr<boost::asio::ssl::context>> Load() const;
  Stamp ReadStamp() const;

  const std::string certificate_;
  const std::string key_;
  std::shared_ptr<boost::asio::ssl::context> context_;  // connections hold theirs
  Stamp stamp_{};
  int64_t checked_ns_ = 0;
};

}  // namespace pelton
