#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "serving/tenant/api_key.h"

namespace pelton {

// What one tenant may do. A limit of 0 is none.
struct TenantLimits {
  uint64_t requests_per_minute = 0;
  uint64_t tokens_per_minute = 0;          // prompts and answers
  uint64_t tokens_per_day = 0;             // of UTC
  uint64_t max_concurrent = 0;             // requests
  double weight = 1;                       // its share of the engine beside other tenants
  std::string service_class = "standard";  // the most urgent that its requests may have
  std::vector<std::string> models;         // that it may ask; empty: all
  bool admin = false;                      // may change what is served, and see all of it
};

struct TenantSpec {
  std::string name;
  std::vector<KeyDigest> digests;  // of the key; of the one before it, too, while that still opens
  int64_t previous_until = 0;      // Unix seconds; until when the second digest opens
  std::string salt;                // of its cached prefixes; stays when the key is changed
  int64_t created = 0;             // Unix seconds
  std::optional<int64_t> expires;  // Unix seconds
  TenantLimits limits;
};

// Names go into metrics, logs and files: 1 to 64 letters, digits and "._-".
bool IsTenantName(std::string_view name);

// The tenants of a key file: {"version":1,"tenants":[{"name","sha256",…}]}. InvalidArgument, naming
// the field, if it is anything else, is larger than 4 MiB, or names a tenant or key twice.
Result<std::vector<TenantSpec>> ParseTenantFile(std::string_view text);
std::string TenantFileText(const std::vector<TenantSpec>& tenants);

// NotFound if there is none; InvalidArgument if others than its owner may read or write it, or as
// ParseTenantFile.
Result<std::vector<TenantSpec>> ReadTenantFile(const std::string& path);

// Replaces the file at once, with mode 0600: whoever reads sees the old one or the new one.
Status WriteTenantFile(const std::string& path, const std::vector<TenantSpec>& tenants);

// "2026-11-25T22:58:28Z"; Unix seconds.
std::string TimeText(int64_t seconds);
std::optional<int64_t> ParseTime(std::string_view text);

}  // namespace pelton
