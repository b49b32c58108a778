#include "serving/ollama/ollama_routes.h"

#include <memory>
#include <utility>

#include "serving/generate/generation_job.h"
#include "serving/ollama/ollama_docs.h"
#include "serving/ollama/ollama_error.h"
#include "serving/ollama/ollama_models.h"
#include "serving/ollama/ollama_request.h"
#include "serving/ollama/ollama_writer.h"
#include "serving/request/service_terms.h"
#include "serving/tenant/admission.h"

namespace pelton {
namespace {

// Who has no right to change what is served cannot say how long it stays in memory either.
void KeepAlive(ModelDirectory& models, const ApiCall& call, const std::string& name, int64_t ns) {
  if (call.admission->MayAdminister()) models.KeepAlive(name, ns);
}

// A model that is only to go need not be loaded for that.
bool Unload(ModelDirectory& models, bool chat, const ApiCall& call, const std::string& name) {
  if (!OnlyUnloads(call.request->body)) return false;
  KeepAlive(models, call, name, 0);
  OllamaWriter({.chat = chat, .model = name}, call).AnswerLoaded(false);
  return true;
}

void Generate(ModelDirectory& models, bool chat, const ApiCall& call) {
  const ServedModel& served = *call.model;
  OllamaRequest request;
  const Result<ServiceTerms> terms = TermsOfHeaders(*call.request);
  if (!terms.ok()) return call.Fail(ApiErrorOf(terms.status()));
  request.generation.terms = *terms;
  std::optional<ApiError> error =
      ReadOllamaRequest(served.model, call.request->body, chat, &request);
  if (!error) error = served.Refuse(request.model);
  if (error) return call.Fail(*error);
  request.model = served.name();
  if (request.keep_alive_ns) KeepAlive(models, call, request.model, *request.keep_alive_ns);
  auto writer = std::make_unique<OllamaWriter>(request, call);
  if (request.only_load) return writer->AnswerLoaded();
  StartGeneration(served.model, std::move(request.generation), call, std::move(writer));
}

}  // namespace

RouteSet OllamaRoutes(ModelDirectory& models, const std::string& version) {
  RouteSet set{.root = "/api/", .errors = &OllamaErrorBody, .docs = OllamaDocs()};
  const auto generate = [&](const char* path, bool chat) {
    set.routes.push_back(
        {.method = "POST",
         .path = path,
         .intake = true,
         .asks = RouteAsks::kLanguageModel,
         .generates = true,
         .answer = [&models, chat](const ApiCall& c) { Generate(models, chat, c); },
         .shortcut = [&models, chat](
                         const ApiCall& c,
                         const std::string& name) { return Unload(models, chat, c, name); }});
  };
  const auto get = [&](const char* path, std::function<void(const ApiCall&)> answer) {
    set.routes.push_back({.method = "GET", .path = path, .answer = std::move(answer)});
  };
  generate("/api/chat", true);
  generate("/api/generate", false);
  set.routes.push_back({.method = "POST",
                        .path = "/api/show",
                        .intake = true,
                        .answer = [&models](const ApiCall& c) { AnswerShow(models, c); }});
  get("/api/tags", [&models](const ApiCall& c) { AnswerTags(models, c); });
  get("/api/ps", [&models](const ApiCall& c) { AnswerRunning(models, c); });
  get("/api/version", [version](const ApiCall& c) {
    SendJson(*c.response, ToText({{"version", version}}));
  });
  return set;
}

}  // namespace pelton
