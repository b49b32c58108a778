#include "serving/ollama/ollama_routes.h"

#include <memory>
#include <utility>

#include "serving/generate/generation_job.h"
#include "serving/ollama/ollama_error.h"
#include "serving/ollama/ollama_models.h"
#include "serving/ollama/ollama_request.h"
#include "serving/ollama/ollama_writer.h"
#include "serving/request/service_terms.h"

namespace pelton {
namespace {

void Generate(bool chat, const ApiCall& call) {
  const ServedModel& served = *call.model;
  OllamaRequest request;
  const Result<ServiceTerms> terms = TermsOfHeaders(*call.request);
  if (!terms.ok()) return call.Fail(ApiErrorOf(terms.status()));
  request.generation.terms = *terms;
  std::optional<ApiError> error =
      ReadOllamaRequest(served.model, call.request->body, chat, &request);
  if (!error) error = served.Refuse(request.model);
  if (error) return call.Fail(*error);
  request.model = served.name;
  auto writer = std::make_unique<OllamaWriter>(request, call);
  if (request.only_load) return writer->AnswerLoaded();
  StartGeneration(served.model, std::move(request.generation), call, std::move(writer));
}

}  // namespace

RouteSet OllamaRoutes(const ModelDirectory& models, const std::string& version) {
  RouteSet set{.root = "/api/", .errors = &OllamaErrorBody};
  const auto post = [&](const char* path, bool model, std::function<void(const ApiCall&)> answer) {
    set.routes.push_back({.method = "POST",
                          .path = path,
                          .intake = true,
                          .model = model,
                          .generates = model,
                          .answer = std::move(answer)});
  };
  const auto get = [&](const char* path, std::function<void(const ApiCall&)> answer) {
    set.routes.push_back({.method = "GET", .path = path, .answer = std::move(answer)});
  };
  post("/api/chat", true, [](const ApiCall& c) { Generate(true, c); });
  post("/api/generate", true, [](const ApiCall& c) { Generate(false, c); });
  post("/api/show", false, [&models](const ApiCall& c) { AnswerShow(models, c); });
  get("/api/tags", [&models](const ApiCall& c) { AnswerTags(models, c); });
  get("/api/ps", [&models](const ApiCall& c) { AnswerRunning(models, c); });
  get("/api/version", [version](const ApiCall& c) {
    SendJson(*c.response, ToText({{"version", version}}));
  });
  return set;
}

}  // namespace pelton
