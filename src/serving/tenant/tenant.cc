#include "serving/tenant/tenant.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "base/clock.h"
#include "serving/tenant/api_key.h"

namespace pelton {
namespace {

constexpr int64_t kDaySeconds = 86'400;

ApiError TooMany(std::string message, double wait_seconds) {
  return {.status = 429,
          .message = std::move(message),
          .code = "rate_limit_exceeded",
          .retry_after = static_cast<uint32_t>(
              std::clamp(std::ceil(wait_seconds), 1.0, static_cast<double>(kDaySeconds)))};
}

ApiError QuotaSpent(uint64_t asked, uint64_t used, uint64_t quota, int64_t wait_seconds) {
  return {.status = 429,
          .message = fmt::format(
              "the request may use {} tokens, but {} of the {} that this key has a day are used",
              asked, used, quota),
          .code = "insufficient_quota",
          .retry_after = static_cast<uint32_t>(wait_seconds)};
}

int64_t DayOf(TenantTime time) { return time.unix_seconds / kDaySeconds; }

std::string Duration(double seconds) {
  return seconds < 1 ? fmt::format("{:.0f}ms", std::ceil(seconds * 1000))
                     : fmt::format("{:.1f}s", seconds);
}

}  // namespace

TenantTime TenantTime::Now() {
  const auto unix_time = std::chrono::system_clock::now().time_since_epoch();
  return {MonotonicClock().NowNs(),
          std::chrono::duration_cast<std::chrono::seconds>(unix_time).count()};
}

TenantMetrics::TenantMetrics(MetricRegistry& registry, std::string_view tenant)
    : requests(registry.AddCounter("pelton_tenant_requests_total",
                                   fmt::format("tenant=\"{}\"", tenant),
                                   "Requests that were let in, by tenant")),
      refused(registry.AddCounter("pelton_tenant_refused_total",
                                  fmt::format("tenant=\"{}\"", tenant),
                                  "Requests refused for a rate or quota, by tenant")),
      prompt_tokens(registry.AddCounter("pelton_tenant_tokens_total",
                                        fmt::format("tenant=\"{}\",kind=\"prompt\"", tenant),
                                        "Tokens by tenant; cached ones are prompts, too")),
      cached_tokens(registry.AddCounter("pelton_tenant_tokens_total",
                                        fmt::format("tenant=\"{}\",kind=\"cached\"", tenant),
                                        "Tokens by tenant; cached ones are prompts, too")),
      output_tokens(registry.AddCounter("pelton_tenant_tokens_total",
                                        fmt::format("tenant=\"{}\",kind=\"output\"", tenant),
                                        "Tokens by tenant; cached ones are prompts, too")),
      running(registry.AddGauge("pelton_tenant_requests_running",
                                fmt::format("tenant=\"{}\"", tenant),
                                "Requests in progress, by tenant")) {}

Tenant::Tenant(const TenantSpec& spec, TenantMetrics metrics)
    : name_(spec.name),
      salt_(spec.salt),
      identity_(HexOf(DigestOf("pelton tenant " + (salt_.empty() ? name_ : salt_)))),
      metrics_(metrics),
      limits_(spec.limits),
      requests_(spec.limits.requests_per_minute),
      tokens_(spec.limits.tokens_per_minute) {}

void Tenant::Update(const TenantSpec& spec) {
  const MutexLock lock(mutex_);
  if (limits_.requests_per_minute != spec.limits.requests_per_minute) {
    requests_.SetRate(spec.limits.requests_per_minute);
  }
  if (limits_.tokens_per_minute != spec.limits.tokens_per_minute) {
    tokens_.SetRate(spec.limits.tokens_per_minute);
  }
  limits_ = spec.limits;
}

TenantLimits Tenant::limits() const {
  const MutexLock lock(mutex_);
  return limits_;
}

bool Tenant::MayAsk(std::string_view model) const {
  const MutexLock lock(mutex_);
  return limits_.models.empty() ||
         std::find(limits_.models.begin(), limits_.models.end(), model) != limits_.models.end();
}

void Tenant::Refill(TenantTime now) {
  requests_.Refill(now.steady_ns);
  tokens_.Refill(now.steady_ns);
  if (DayOf(now) != day_) {
    day_ = DayOf(now);
    day_tokens_ = 0;
  }
  const uint64_t spent = spent_.exchange(0, std::memory_order_relaxed);
  tokens_.Take(static_cast<double>(spent));
  day_tokens_ += spent;
}

std::optional<ApiError> Tenant::Refusal() {
  if (limits_.max_concurrent > 0 && running_ >= limits_.max_concurrent) {
    return TooMany(
        fmt::format("{} requests of this key run, the most that it may have at once", running_), 1);
  }
  if (!requests_.Has(1)) {
    return TooMany(fmt::format("this key may send {} requests a minute", requests_.per_minute()),
                   requests_.SecondsUntil(1));
  }
  if (!tokens_.Has(1)) {
    return TooMany(fmt::format("this key may use {} tokens a minute", tokens_.per_minute()),
                   tokens_.SecondsUntil(1));
  }
  return std::nullopt;
}

std::optional<ApiError> Tenant::Check(TenantTime now) {
  const MutexLock lock(mutex_);
  Refill(now);
  std::optional<ApiError> refusal = Refusal();
  if (!refusal && limits_.tokens_per_day > 0 && day_tokens_ >= limits_.tokens_per_day) {
    refusal = QuotaSpent(1, day_tokens_, limits_.tokens_per_day, SecondsToMidnight(now));
  }
  if (refusal) metrics_.refused.Add();
  return refusal;
}

std::optional<ApiError> Tenant::Enter(TenantTime now) {
  const MutexLock lock(mutex_);
  Refill(now);
  if (std::optional<ApiError> refusal = Refusal()) {
    metrics_.refused.Add();
    return refusal;
  }
  requests_.Take(1);
  ++running_;
  metrics_.requests.Add();
  metrics_.running.Add(1);
  return std::nullopt;
}

void Tenant::Leave() {
  const MutexLock lock(mutex_);
  --running_;
  metrics_.running.Add(-1);
}

std::optional<ApiError> Tenant::Reserve(uint64_t tokens, TenantTime now) {
  const MutexLock lock(mutex_);
  Refill(now);
  std::optional<ApiError> refusal;
  const auto amount = static_cast<double>(tokens);
  if (limits_.tokens_per_day > 0 &&
      (day_tokens_ > limits_.tokens_per_day || tokens > limits_.tokens_per_day - day_tokens_)) {
    refusal = QuotaSpent(tokens, day_tokens_, limits_.tokens_per_day, SecondsToMidnight(now));
  } else if (!tokens_.Has(amount)) {
    refusal = TooMany(
        fmt::format("the request may use {} tokens, and {} of the {} that this key has a minute "
                    "are left",
                    tokens, tokens_.left(), tokens_.per_minute()),
        tokens_.SecondsUntil(amount));
  }
  if (refusal) {
    metrics_.refused.Add();
    return refusal;
  }
  tokens_.Take(amount);
  day_tokens_ += tokens;
  return std::nullopt;
}

void Tenant::Return(uint64_t tokens, TenantTime reserved_at, TenantTime now) {
  const MutexLock lock(mutex_);
  Refill(now);
  tokens_.Take(-static_cast<double>(tokens));
  if (DayOf(reserved_at) == day_) day_tokens_ -= std::min(day_tokens_, tokens);
}

std::vector<HttpHeader> Tenant::RateHeaders(TenantTime now) {
  const MutexLock lock(mutex_);
  Refill(now);
  std::vector<HttpHeader> headers;
  const auto add = [&](const char* what, const TokenBucket& bucket) {
    if (!bucket.limited()) return;
    headers.push_back(
        {fmt::format("x-ratelimit-limit-{}", what), fmt::format("{}", bucket.per_minute())});
    headers.push_back(
        {fmt::format("x-ratelimit-remaining-{}", what), fmt::format("{}", bucket.left())});
    headers.push_back(
        {fmt::format("x-ratelimit-reset-{}", what), Duration(bucket.SecondsUntilFull())});
  };
  add("requests", requests_);
  add("tokens", tokens_);
  return headers;
}

CacheUseCounters* Tenant::CacheUseOf(const std::string& model) {
  constexpr size_t kMostModels = 1000;
  const MutexLock lock(mutex_);
  if (cache_uses_.size() >= kMostModels && !cache_uses_.contains(model)) return nullptr;
  return &cache_uses_[model];
}

std::map<std::string, CacheUse> Tenant::CacheUses() const {
  std::map<std::string, CacheUse> uses;
  const MutexLock lock(mutex_);
  for (const auto& [model, counters] : cache_uses_) {
    if (counters.prompt_tokens.value() == 0) continue;
    uses[model] = {.prompt_tokens = counters.prompt_tokens.value(),
                   .cached_tokens = counters.cached_tokens.value()};
  }
  return uses;
}

}  // namespace pelton
