#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/metrics.h"
#include "base/mutex.h"
#include "net/http/server.h"
#include "serving/api/api_error.h"
#include "serving/tenant/tenant_file.h"
#include "serving/tenant/token_bucket.h"

namespace pelton {

// A moment, for rates and for days.
struct TenantTime {
  int64_t steady_ns;
  int64_t unix_seconds;

  static TenantTime Now();
};

// Of one tenant.
struct TenantMetrics {
  TenantMetrics(MetricRegistry& registry, std::string_view tenant);

  Counter& requests;  // that were let in
  Counter& refused;   // for a rate, a quota, or concurrency
  Counter& prompt_tokens;
  Counter& cached_tokens;
  Counter& output_tokens;
  Gauge& running;
};

// Prompt tokens of one model, and how many of them its prefix cache gave.
struct CacheUse {
  uint64_t prompt_tokens = 0;
  uint64_t cached_tokens = 0;
};
struct CacheUseCounters {
  Counter prompt_tokens;
  Counter cached_tokens;
};

// What somebody with a key may do, and what he did. Outlives the requests that he began, also when
// his key is taken away. Any thread.
class Tenant {
 public:
  Tenant(const TenantSpec& spec, TenantMetrics metrics);

  // Other limits from here on; what was used stays used.
  void Update(const TenantSpec& spec);

  const std::string& name() const { return name_; }
  // Of cached prefixes; no other tenant has it.
  const std::string& salt() const { return salt_; }
  // Says whose something is, also in later processes; letters and digits. A tenant with the same
  // name and another salt is another one.
  const std::string& identity() const { return identity_; }
  TenantLimits limits() const;
  bool MayAsk(std::string_view model) const;

  // Whether another request would be refused now; takes nothing.
  std::optional<ApiError> Check(TenantTime now);
  // Counts a request in, or says why not. Each that was let in is let go with Leave.
  std::optional<ApiError> Enter(TenantTime now);
  void Leave();

  // Sets tokens aside for a request that is about to run, or says why not.
  std::optional<ApiError> Reserve(uint64_t tokens, TenantTime now);
  // Gives back what was set aside at that time and not used.
  void Return(uint64_t tokens, TenantTime reserved_at, TenantTime now);
  // Takes tokens beyond what was set aside. Without a lock: they count at the next look.
  void Spend(uint64_t tokens) { spent_.fetch_add(tokens, std::memory_order_relaxed); }

  // OpenAI's x-ratelimit headers; empty without limits.
  std::vector<HttpHeader> RateHeaders(TenantTime now);

  TenantMetrics& metrics() { return metrics_; }

  // What its requests took from the caches of models, by their names; at most 1,000 of them. Null
  // for further ones. Counters stay as long as the tenant does.
  CacheUseCounters* CacheUseOf(const std::string& model);
  std::map<std::string, CacheUse> CacheUses() const;

 private:
  void Refill(TenantTime now) REQUIRES_LOCK(mutex_);
  std::optional<ApiError> Refusal() REQUIRES_LOCK(mutex_);
  int64_t SecondsToMidnight(TenantTime now) const { return 86'400 - now.unix_seconds % 86'400; }

  const std::string name_;
  const std::string salt_;
  const std::string identity_;
  TenantMetrics metrics_;
  mutable Mutex mutex_;
  TenantLimits limits_ GUARDED_BY(mutex_);
  TokenBucket requests_ GUARDED_BY(mutex_);
  TokenBucket tokens_ GUARDED_BY(mutex_);
  uint64_t running_ GUARDED_BY(mutex_) = 0;
  int64_t day_ GUARDED_BY(mutex_) = 0;
  uint64_t day_tokens_ GUARDED_BY(mutex_) = 0;  // used or set aside
  std::map<std::string, CacheUseCounters> cache_uses_ GUARDED_BY(mutex_);
  std::atomic<uint64_t> spent_{0};  // and not taken from the above yet
};

}  // namespace pelton
