#include "serving/tenant/admission.h"

#include <fmt/format.h>

#include <algorithm>
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
  if (used_ < reserved_) tenant_->Return(reserved_ - used_, reserved_at_, TenantTime::Now());
  tenant_->Leave();
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
  model_ = name;
  if (tenant_->MayAsk(name)) {
    cache_use_ = tenant_->CacheUseOf(name);
    return std::nullopt;
  }
  return ApiError{.status = 403,
                  .message = fmt::format("model: the key may not ask \"{}\"", name),
                  .param = "model",
                  .code = "model_not_allowed"};
}

std::optional<ApiError> Admission::Reserve(uint64_t tokens) {
  const TenantTime now = TenantTime::Now();
  std::optional<ApiError> refusal = tenant_->Reserve(tokens, now);
  if (!refusal) {
    reserved_ = tokens;
    reserved_at_ = now;
  }
  for (const HttpHeader& header : tenant_->RateHeaders(now)) {
    response_->AddHeader(header.name, header.value);
  }
  return refusal;
}

void Admission::UsePrompt(uint64_t tokens, uint64_t cached_tokens) {
  prompt_tokens_.fetch_add(tokens, std::memory_order_relaxed);
  cached_tokens_.fetch_add(cached_tokens, std::memory_order_relaxed);
  tenant_->metrics().prompt_tokens.Add(tokens);
  tenant_->metrics().cached_tokens.Add(cached_tokens);
  if (cache_use_ != nullptr) {
    cache_use_->prompt_tokens.Add(tokens);
    cache_use_->cached_tokens.Add(cached_tokens);
  }
  Charge(tokens);
}

void Admission::UseOutput(uint64_t tokens) {
  output_tokens_.fetch_add(tokens, std::memory_order_relaxed);
  tenant_->metrics().output_tokens.Add(tokens);
  Charge(tokens);
}

void Admission::Charge(uint64_t tokens) {
  const uint64_t before = used_.fetch_add(tokens, std::memory_order_relaxed);
  const uint64_t set_aside = reserved_ - std::min(before, reserved_);
  if (tokens > set_aside) tenant_->Spend(tokens - set_aside);
}

}  // namespace pelton
