#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "net/http/server.h"
#include "serving/api/api_error.h"
#include "serving/tenant/audit_log.h"
#include "serving/tenant/tenant.h"

namespace pelton {

// A request that was counted in for a tenant, as long as it runs: it is let go and written to the
// audit log when the last share of this goes. What it uses is charged at once. Any thread, but what
// is said to come before it runs is one thread's.
class Admission {
 public:
  // Counts the request in; on refusal `error` says why. Borrows the audit log, which may be null.
  static std::shared_ptr<Admission> Enter(std::shared_ptr<Tenant> tenant,
                                          std::shared_ptr<const HttpRequest> request,
                                          std::shared_ptr<HttpResponse> response, AuditLog* audit,
                                          ApiError* error);
  ~Admission();
  Admission(const Admission&) = delete;
  Admission& operator=(const Admission&) = delete;

  Tenant& tenant() { return *tenant_; }

  // Whether the tenant may change what is served.
  bool MayAdminister() const { return tenant_->limits().admin; }
  // The refusal if the tenant may not ask this model, which the audit log names from here on.
  // Before it runs.
  std::optional<ApiError> AskModel(const std::string& name);
  // Sets tokens aside, and puts the rates into the answer's headers. The refusal if the tenant has
  // not so many. At most once, before it runs.
  std::optional<ApiError> Reserve(uint64_t tokens);
  // Nobody waits for the request: it gets what nobody else needs. Before it runs.
  void RunInBackground() { background_ = true; }
  bool background() const { return background_; }

  // Charges what is used, first against what was set aside. Takes no lock.
  void UsePrompt(uint64_t tokens, uint64_t cached_tokens);
  void UseOutput(uint64_t tokens);

 private:
  Admission(std::shared_ptr<Tenant> tenant, std::shared_ptr<const HttpRequest> request,
            std::shared_ptr<HttpResponse> response, AuditLog* audit);
  void Charge(uint64_t tokens);

  const std::shared_ptr<Tenant> tenant_;
  const std::shared_ptr<const HttpRequest> request_;
  const std::shared_ptr<HttpResponse> response_;
  AuditLog* const audit_;
  bool background_ = false;
  std::string model_;
  CacheUseCounters* cache_use_ = nullptr;  // of the model
  uint64_t reserved_ = 0;
  TenantTime reserved_at_ = {};
  std::atomic<uint64_t> prompt_tokens_{0};
  std::atomic<uint64_t> cached_tokens_{0};
  std::atomic<uint64_t> output_tokens_{0};
  std::atomic<uint64_t> used_{0};  // of both
};

}  // namespace pelton
