#include "serving/openai/openai_routes.h"

#include <fmt/format.h>

#include <memory>
#include <utility>

#include "serving/generate/generation_job.h"
#include "serving/openai/openai_docs.h"
#include "serving/openai/openai_error.h"
#include "serving/openai/openai_request.h"
#include "serving/openai/openai_writer.h"
#include "serving/openai/text_requests.h"

namespace pelton {
namespace {

using ReadRequest = std::optional<ApiError> (*)(const LanguageModel& model, std::string_view body,
                                                OpenAiRequest* request);

void Generate(ReadRequest read, const ApiCall& call) {
  const ServedModel& served = *call.model;
  OpenAiRequest request;
  const Result<ServiceTerms> terms = TermsOfHeaders(*call.request);
  if (!terms.ok()) return call.Fail(ApiErrorOf(terms.status()));
  request.generation.terms = *terms;
  if (const auto error = read(served.model, call.request->body, &request)) {
    return call.Fail(*error);
  }
  if (const auto error = served.Refuse(request.form.model)) return call.Fail(*error);
  request.form.model = served.name();
  auto writer = std::make_unique<OpenAiWriter>(served.model, std::move(request.form), call);
  StartGeneration(served.model, std::move(request.generation), call, std::move(writer));
}

void AnswerModel(const ModelDirectory& models, const ApiCall& call) {
  for (const ListedModel& listed : models.List()) {
    if (listed.called.Is(call.tail)) return SendJson(*call.response, ModelJson(listed));
  }
  call.Fail(UnknownModel(call.tail, models));
}

void AnswerModels(const ModelDirectory& models, const ApiCall& call) {
  std::string list;
  for (const ListedModel& listed : models.List()) {
    list += (list.empty() ? "" : ",") + ModelJson(listed);
  }
  SendJson(*call.response, fmt::format("{{\"object\":\"list\",\"data\":[{}]}}", list));
}

}  // namespace

RouteSet OpenAiRoutes(const ModelDirectory& models) {
  RouteSet set{.errors = &OpenAiErrorBody, .docs = OpenAiDocs()};
  const auto post = [&](const char* path, std::function<void(const ApiCall&)> answer) {
    set.routes.push_back({.method = "POST",
                          .path = path,
                          .versioned = true,
                          .intake = true,
                          .asks = RouteAsks::kLanguageModel,
                          .generates = std::string_view(path).ends_with("completions"),
                          .answer = std::move(answer)});
  };
  const auto get = [&](const char* path, void (*answer)(const ModelDirectory&, const ApiCall&)) {
    set.routes.push_back({.method = "GET",
                          .path = path,
                          .versioned = true,
                          .answer = [&models, answer](const ApiCall& c) { answer(models, c); }});
  };
  post("/chat/completions", [](const ApiCall& c) { Generate(&ReadChatRequest, c); });
  post("/completions", [](const ApiCall& c) { Generate(&ReadCompletionRequest, c); });
  post("/tokenize", [](const ApiCall& c) { AnswerTokenize(c.model->model, c); });
  post("/detokenize", [](const ApiCall& c) { AnswerDetokenize(c.model->model, c); });
  get("/models", &AnswerModels);
  get("/models/*", &AnswerModel);
  return set;
}

}  // namespace pelton
