#include "serving/embeddings/embedding_routes.h"

#include <fmt/format.h>

#include <utility>

#include "serving/embeddings/embedding_docs.h"
#include "serving/embeddings/embedding_json.h"
#include "serving/embeddings/embedding_request.h"
#include "serving/embeddings/rank_request.h"
#include "serving/generate/served_model.h"
#include "serving/request/body_fields.h"
#include "serving/tenant/admission.h"

namespace pelton {
namespace {

// Reads the body's object; false, and the error is sent, if it is refused.
template <typename Form>
bool ReadForm(const ApiCall& call, void (*read)(FieldReader&, Form*), Form* form) {
  if (const auto error =
          ReadBody(call.request->body, [&](FieldReader& reader) { read(reader, form); })) {
    call.Fail(*error);
    return false;
  }
  if (form->model.empty() || call.encoder->called.Is(form->model)) return true;
  call.Fail({.status = 404,
             .message = fmt::format("model: found \"{}\", expected \"{}\"",
                                    form->model.substr(0, 100), call.encoder->name()),
             .param = "model",
             .code = "model_not_found"});
  return false;
}

// 0: nothing is cut.
size_t TruncateTokens(const EmbeddingModel& model, const std::optional<int64_t>& asked) {
  if (!asked) return 0;
  return *asked < 0 ? model.max_tokens : std::min(static_cast<size_t>(*asked), model.max_tokens);
}

// Runs the work; `answer` makes the body from a good result, on the engine's thread.
void Submit(const ApiCall& call, EmbeddingRequest work,
            std::function<std::string(const EmbeddingResult&)> answer) {
  const EmbeddingModel& model = call.encoder->model;
  uint64_t tokens = 0;
  for (const EmbeddingInput& input : work.inputs) tokens += input.ids.size();
  if (const auto error = call.admission->Reserve(tokens)) return call.Fail(*error);
  work.computed = [admission = call.admission](size_t used) { admission->UsePrompt(used, 0); };
  work.done = [call, answer = std::move(answer)](const EmbeddingResult& result) {
    if (!result.status.ok()) return call.Fail(ApiErrorOf(result.status));
    SendJson(*call.response, answer(result));
  };
  const Result<uint64_t> id = model.engine->Submit(std::move(work));
  if (!id.ok()) return call.Fail(ApiErrorOf(id.status(), "input"));
  call.response->OnClose([encoder = call.encoder, id = *id] { encoder->model.engine->Cancel(id); });
}

Result<EmbeddingRequest> WorkOf(const EmbeddingModel& model, const EmbeddingsForm& form) {
  EmbeddingRequest work;
  work.pooling = model.pooling;
  work.normalize = model.pooling_config.normalize;
  const size_t truncate = TruncateTokens(model, form.truncate_tokens);
  for (size_t i = 0; i < form.inputs.size(); ++i) {
    if (const auto* ids = std::get_if<std::vector<int32_t>>(&form.inputs[i])) {
      work.inputs.push_back({.ids = *ids, .token_types = {}});
      if (truncate > 0 && ids->size() > truncate) work.inputs.back().ids.resize(truncate);
      continue;
    }
    Result<EmbeddingInput> input = model.Encode(std::get<std::string>(form.inputs[i]), truncate);
    if (!input.ok()) return input.status().WithContext(fmt::format("input {}", i));
    work.inputs.push_back(*std::move(input));
  }
  return work;
}

void AnswerEmbeddings(const ApiCall& call, void (*read)(FieldReader&, EmbeddingsForm*),
                      bool ollama) {
  EmbeddingsForm form;
  if (!ReadForm(call, read, &form)) return;
  const EmbeddingModel& model = call.encoder->model;
  if (model.cross_encoder()) {
    return call.Fail({.message = "the model scores pairs of texts; ask /v1/score or /v1/rerank",
                      .param = "model"});
  }
  const auto width = static_cast<int64_t>(model.engine->width());
  if (form.dimensions && *form.dimensions != width &&
      (!model.pooling_config.matryoshka || *form.dimensions < 1 || *form.dimensions > width)) {
    return call.Fail(
        {.message = fmt::format("dimensions: found {}, expected {}{}", *form.dimensions, width,
                                model.pooling_config.matryoshka
                                    ? " at most"
                                    : ", as the model does not say that fewer would do"),
         .param = "dimensions"});
  }
  Result<EmbeddingRequest> work = WorkOf(model, form);
  if (!work.ok()) return call.Fail(ApiErrorOf(work.status(), form.one ? "prompt" : "input"));
  if (form.dimensions) work->dimensions = static_cast<size_t>(*form.dimensions);
  Submit(call, *std::move(work),
         [name = call.encoder->name(), base64 = form.base64, one = form.one,
          ollama](const EmbeddingResult& result) {
           return ollama ? OllamaEmbeddingsJson(result, name, one)
                         : OpenAiEmbeddingsJson(result, name, base64);
         });
}

void AnswerPairs(const ApiCall& call, void (*read)(FieldReader&, RankForm*), bool rerank) {
  auto form = std::make_shared<RankForm>();
  if (!ReadForm(call, read, form.get())) return;
  const EmbeddingModel& model = call.encoder->model;
  Result<EmbeddingRequest> work =
      WorkForPairs(model, *form, TruncateTokens(model, form->truncate_tokens));
  if (!work.ok()) return call.Fail(ApiErrorOf(work.status()));
  // The call holds the model as long as the work may end.
  Submit(call, *std::move(work),
         [&model, name = call.encoder->name(), form, rerank](const EmbeddingResult& result) {
           const std::vector<double> scores = ScoresOfPairs(model, *form, result);
           return rerank ? RerankJson(*form, scores, name, result.tokens)
                         : ScoreJson(scores, name, result.tokens);
         });
}

}  // namespace

RouteSet EmbeddingRoutes() {
  RouteSet set{.docs = EmbeddingDocs()};
  const auto post = [&](const char* path, bool versioned, void (*answer)(const ApiCall&)) {
    set.routes.push_back({.method = "POST",
                          .path = path,
                          .versioned = versioned,
                          .intake = true,
                          .asks = RouteAsks::kEncoder,
                          .answer = answer});
  };
  post("/embeddings", true,
       [](const ApiCall& c) { AnswerEmbeddings(c, &ReadOpenAiEmbeddings, false); });
  post("/rerank", true, [](const ApiCall& c) { AnswerPairs(c, &ReadRerank, true); });
  post("/score", true, [](const ApiCall& c) { AnswerPairs(c, &ReadScore, false); });
  post("/api/embed", false, [](const ApiCall& c) { AnswerEmbeddings(c, &ReadOllamaEmbed, true); });
  post("/api/embeddings", false,
       [](const ApiCall& c) { AnswerEmbeddings(c, &ReadOllamaEmbeddings, true); });
  return set;
}

}  // namespace pelton
