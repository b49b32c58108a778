#include "serving/openai/openai_routes.h"

#include <fmt/format.h>

#include <memory>
#include <utility>

#include "serving/generate/generation_job.h"
#include "serving/openai/openai_error.h"
#include "serving/openai/openai_request.h"
#include "serving/openai/openai_writer.h"
#include "serving/openai/text_requests.h"

namespace pelton {
namespace {

using ReadRequest = std::optional<ApiError> (*)(const LanguageModel& model, std::string_view body,
                                                OpenAiRequest* request);

void Generate(const ServedModel& served, ReadRequest read, const ApiCall& call) {
  OpenAiRequest request;
  if (const auto error = read(served.model, call.request->body, &request)) {
    return call.Fail(*error);
  }
  if (const auto error = served.Refuse(request.form.model)) return call.Fail(*error);
  request.form.model = served.name;
  auto writer = std::make_unique<OpenAiWriter>(served.model, std::move(request.form), call);
  StartGeneration(served.model, std::move(request.generation), call.response, std::move(writer));
}

void AnswerModel(const ServedModel& served, const ApiCall& call) {
  if (const auto error = served.Refuse(call.tail)) return call.Fail(*error);
  SendJson(*call.response, ModelJson(served.model, served.name));
}

void AnswerModels(const ServedModel& served, const ApiCall& call) {
  SendJson(*call.response, fmt::format("{{\"object\":\"list\",\"data\":[{}]}}",
                                       ModelJson(served.model, served.name)));
}

}  // namespace

RouteSet OpenAiRoutes(const ServedModel& served) {
  RouteSet set{.errors = &OpenAiErrorBody};
  const auto post = [&](const char* path, std::function<void(const ApiCall&)> answer) {
    set.routes.push_back({.method = "POST",
                          .path = path,
                          .versioned = true,
                          .intake = true,
                          .answer = std::move(answer)});
  };
  const auto get = [&](const char* path, void (*answer)(const ServedModel&, const ApiCall&)) {
    set.routes.push_back({.method = "GET",
                          .path = path,
                          .versioned = true,
                          .answer = [&served, answer](const ApiCall& c) { answer(served, c); }});
  };
  post("/chat/completions", [&served](const ApiCall& c) { Generate(served, &ReadChatRequest, c); });
  post("/completions",
       [&served](const ApiCall& c) { Generate(served, &ReadCompletionRequest, c); });
  post("/tokenize", [&served](const ApiCall& c) { AnswerTokenize(served.model, c); });
  post("/detokenize", [&served](const ApiCall& c) { AnswerDetokenize(served.model, c); });
  get("/models", &AnswerModels);
  get("/models/*", &AnswerModel);
  return set;
}

}  // namespace pelton
