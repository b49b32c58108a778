#include "serving/tenant/admission.h"

#include <fmt/format.h>

#include <utility>

namespace pelton {

Admission::Admission(std::shared_ptr<Tenant> tenant, std::shared_ptr<const HttpRequest> request,
                     std::shared_ptr<HttpResponse> response, AuditLog* audit)
    : tenant_(std::move(tenant)),
      request_(std::move(request)),
      response_(std::move(response)),
      audit_(audit) {}

std::shared_ptr<Admission> Admission::Enter(std::shared_ptr<Tenant> tenant,
                                            std::shared_ptr<const HttpRequest> request,
                                            std::shared_ptr<HttpResponse> response, AuditLog* audit,
                                            ApiError* error) {
  if (std::optional<ApiError> refusal = tenant->Enter(TenantTime::Now())) {
    *error = *std::move(refusal);
    return nullptr;
  }
  return std::shared_ptr<Admission>(
      new Admission(std::move(tenant), std::move(request), std::move(response), audit));
}

Admission::~Admission() {
  const MutexLock lock(mutex_);
  tenant_->Settle(reserved_, prompt_tokens_ + output_tokens_, TenantTime::Now());
  tenant_->Leave();
  TenantMetrics& metrics = tenant_->metrics();
  tenant_->CountPrompt(model_, prompt_tokens_, cached_tokens_);
  metrics.prompt_tokens.Add(prompt_tokens_);
  metrics.cached_tokens.Add(cached_tokens_);
  metrics.output_tokens.Add(output_tokens_);
  if (audit_ == nullptr) return;
  audit_->Write({.tenant = tenant_->name(),
                 .request_id = request_->id,
                 .method = request_->method,
                 .path = request_->path,
                 .model = model_,
                 .peer = request_->peer,
                 .status = response_->status(),
                 .prompt_tokens = prompt_tokens_,
                 .cached_tokens = cached_tokens_,
                 .output_tokens = output_tokens_});
}

std::optional<ApiError> Admission::AskModel(const std::string& name) {
  {
    const MutexLock lock(mutex_);
    model_ = name;
  }
  if (tenant_->MayAsk(name)) return std::nullopt;
  return ApiError{.status = 403,
                  .message = fmt::format("model: the key may not ask \"{}\"", name),
                  .param = "model",
                  .code = "model_not_allowed"};
}

std::optional<ApiError> Admission::Reserve(uint64_t tokens) {
  const TenantTime now = TenantTime::Now();
  std::optional<ApiError> refusal = tenant_->Reserve(tokens, now);
  if (!refusal) {
    const MutexLock lock(mutex_);
    reserved_ = tokens;
  }
  for (const HttpHeader& header : tenant_->RateHeaders(now)) {
    response_->AddHeader(header.name, header.value);
  }
  return refusal;
}

void Admission::Use(uint64_t prompt_tokens, uint64_t cached_tokens, uint64_t output_tokens) {
  const MutexLock lock(mutex_);
  prompt_tokens_ += prompt_tokens;
  cached_tokens_ += cached_tokens;
  output_tokens_ += output_tokens;
}

}  // namespace pelton
