#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/mutex.h"
#include "net/http/server.h"
#include "serving/api/api_error.h"
#include "serving/tenant/audit_log.h"
#include "serving/tenant/tenant.h"

namespace pelton {

// A request that was counted in for a tenant, as long as it runs: it is let go, paid for and
// written to the audit log when the last share of this goes. Any thread.
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
  std::optional<ApiError> AskModel(const std::string& name);
  // Sets tokens aside before the request runs, and puts the rates into the answer's headers. The
  // refusal if the tenant has not so many. At most once.
  std::optional<ApiError> Reserve(uint64_t tokens);
  // Nobody waits for the request: it gets what nobody else needs. Before it runs.
  void RunInBackground() { background_ = true; }
  bool background() const { return background_; }

  // Adds to what was used.
  void Use(uint64_t prompt_tokens, uint64_t cached_tokens, uint64_t output_tokens);

 private:
  Admission(std::shared_ptr<Tenant> tenant, std::shared_ptr<const HttpRequest> request,
            std::shared_ptr<HttpResponse> response, AuditLog* audit);

  const std::shared_ptr<Tenant> tenant_;
  const std::shared_ptr<const HttpRequest> request_;
  const std::shared_ptr<HttpResponse> response_;
  AuditLog* const audit_;
  bool background_ = false;
  Mutex mutex_;
  std::string model_ GUARDED_BY(mutex_);
  uint64_t reserved_ GUARDED_BY(mutex_) = 0;
  uint64_t prompt_tokens_ GUARDED_BY(mutex_) = 0;
  uint64_t cached_tokens_ GUARDED_BY(mutex_) = 0;
  uint64_t output_tokens_ GUARDED_BY(mutex_) = 0;
};

}  // namespace pelton
