#include "serving/anthropic/anthropic_routes.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <utility>

#include "serving/anthropic/anthropic_docs.h"
#include "serving/anthropic/anthropic_error.h"
#include "serving/anthropic/messages_request.h"
#include "serving/anthropic/messages_writer.h"
#include "serving/generate/generation_job.h"
#include "serving/generate/served_model.h"
#include "serving/request/service_terms.h"

namespace pelton {
namespace {

// Versions of the interface. The later one took the sampling parameters away; here they stay.
constexpr std::string_view kVersions[] = {"2026-10-21", "2023-06-01"};

// Reads the request; false, and the error is sent, if it is refused.
bool Read(const ApiCall& call, bool counting, MessagesRequest* request) {
  const std::string_view version = call.request->Header("anthropic-version");
  if (!version.empty() &&
      std::find(std::begin(kVersions), std::end(kVersions), version) == std::end(kVersions)) {
    call.Fail({.message = fmt::format("anthropic-version: found \"{}\", expected {}",
                                      version.substr(0, 40), fmt::join(kVersions, " or "))});
    return false;
  }
  const Result<ServiceTerms> terms = TermsOfHeaders(*call.request);
  if (!terms.ok()) {
    call.Fail(ApiErrorOf(terms.status()));
    return false;
  }
  request->generation.terms = *terms;
  std::optional<ApiError> error =
      ReadMessagesRequest(call.model->model, call.request->body, counting, request);
  if (!error) error = call.model->Refuse(request->model);
  if (error) call.Fail(*error);
  return !error;
}

void AnswerMessages(const ApiCall& call) {
  MessagesRequest request;
  if (!Read(call, false, &request)) return;
  request.model = call.model->name();
  auto writer = std::make_unique<MessagesWriter>(request, call);
  StartGeneration(call.model->model, std::move(request.generation), call, std::move(writer));
}

void AnswerCountTokens(const ApiCall& call) {
  MessagesRequest request;
  if (!Read(call, true, &request)) return;
  SendJson(*call.response,
           fmt::format("{{\"input_tokens\":{}}}", request.generation.prompts[0].size()));
}

}  // namespace

RouteSet AnthropicRoutes() {
  RouteSet set{.root = "/v1/messages", .errors = &AnthropicErrorBody, .docs = AnthropicDocs()};
  const auto post = [&](const char* path, bool generates, void (*answer)(const ApiCall&)) {
    set.routes.push_back({.method = "POST",
                          .path = path,
                          .intake = true,
                          .asks = RouteAsks::kLanguageModel,
                          .generates = generates,
                          .answer = answer});
  };
  post("/v1/messages", true, &AnswerMessages);
  post("/v1/messages/count_tokens", false, &AnswerCountTokens);
  return set;
}

}  // namespace pelton
