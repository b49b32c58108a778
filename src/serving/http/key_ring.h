#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "net/http/server.h"

namespace pelton {

// The keys that open an interface. Only their SHA-256 digests are kept; comparing takes the same
// time whatever the key. Immutable once filled; then any thread.
class KeyRing {
 public:
  void Add(std::string_view key);
  // One key a line; empty lines and those that begin with # are passed over. NotFound or
  // InvalidArgument, naming the file.
  Status AddFile(const std::string& path);

  bool empty() const { return digests_.empty(); }
  // Whether the request carries one of the keys: "Authorization: Bearer KEY" or "X-Api-Key: KEY".
  bool Opens(const HttpRequest& request) const;

 private:
  using Digest = std::array<uint8_t, 32>;
  static Digest DigestOf(std::string_view key);

  std::vector<Digest> digests_;
};

}  // namespace pelton
