#include "serving/responses/response_routes.h"

#include <fmt/format.h>

#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "net/http/local_exchange.h"
#include "serving/api/query_fields.h"
#include "serving/generate/generation_job.h"
#include "serving/generate/served_model.h"
#include "serving/request/list_answer.h"
#include "serving/request/service_terms.h"
#include "serving/responses/response_docs.h"
#include "serving/responses/response_request.h"
#include "serving/responses/response_writer.h"
#include "serving/tenant/admission.h"

namespace pelton {
namespace {

using StorePtr = std::shared_ptr<ResponseStore>;

std::string TenantOf(const ApiCall& call) { return call.admission->tenant().identity(); }

// Reads the request; false, and the error is sent, if it is refused.
bool Read(const StorePtr& store, const ApiCall& call, ResponseRequest* request) {
  const Result<ServiceTerms> terms = TermsOfHeaders(*call.request);
  if (!terms.ok()) {
    call.Fail(ApiErrorOf(terms.status()));
    return false;
  }
  request->generation.terms = *terms;
  std::optional<ApiError> error =
      ReadResponseRequest(call.model->model, call.request->body, TenantOf(call), *store, request);
  if (!error) error = call.model->Refuse(request->form.model);
  if (error) call.Fail(*error);
  return !error;
}

void Create(const StorePtr& store, const ApiCall& call) {
  ResponseRequest request;
  if (!Read(store, call, &request)) return;
  request.form.model = call.model->name();
  ApiCall run = call;
  std::shared_ptr<LocalExchange> exchange;
  if (request.form.background) {
    // Nobody waits for it: only a cancellation ends it early.
    exchange = std::make_shared<LocalExchange>(call.request->id);
    run.response = exchange->TakeResponse();
  }
  auto writer = std::make_unique<ResponseWriter>(call.model->model.tokenizer.get(), request.form,
                                                 call, store, std::move(exchange));
  StartGeneration(call.model->model, std::move(request.generation), run, std::move(writer));
}

void CountTokens(const StorePtr& store, const ApiCall& call) {
  ResponseRequest request;
  request.generation.prompt_limit = {.tokens = std::numeric_limits<size_t>::max()};
  if (!Read(store, call, &request)) return;
  SendJson(*call.response,
           fmt::format("{{\"object\":\"response.input_tokens\",\"input_tokens\":{}}}",
                       request.generation.prompts[0].size()));
}

// Of the query: what more an answer shall hold; nothing more is kept.
bool ReadQuery(QueryFields& query, const ApiCall& call) {
  std::vector<std::string> include;
  query.Strings("include", &include);
  if (const std::optional<ApiError> error = query.Error()) {
    call.Fail(*error);
    return false;
  }
  return true;
}

void Retrieve(const StorePtr& store, const ApiCall& call) {
  QueryFields query(call.request->query);
  std::string stream = "false";
  query.String("stream", &stream);
  if (stream != "false") query.Refuse("stream", "stream: expected false: events are not stored");
  if (!ReadQuery(query, call)) return;
  const auto response = store->Find(TenantOf(call), call.tail);
  if (response == nullptr) return call.Fail(NoSuchResponse(call.tail));
  SendJson(*call.response, response->body);
}

void ListInput(const StorePtr& store, const ApiCall& call, const std::string& id) {
  QueryFields query(call.request->query);
  PageQuery page_query;
  page_query.Read(query, 100);
  if (!ReadQuery(query, call)) return;
  const std::string tenant = TenantOf(call);
  const auto response = store->Find(tenant, id);
  if (response == nullptr) return call.Fail(NoSuchResponse(id));
  Json items = Json::array();
  if (!response->previous_id.empty()) {
    if (const auto error = store->Conversation(tenant, response->previous_id, &items)) {
      return call.Fail(*error);
    }
  }
  for (Json& item : Json::parse(response->input, nullptr, false)) items.push_back(std::move(item));
  std::vector<Json> list;
  list.reserve(items.size());
  for (Json& item : items) list.push_back(std::move(item));
  AnswerList(call, page_query, std::move(list));
}

void Get(const StorePtr& store, const ApiCall& call) {
  constexpr std::string_view kItems = "/input_items";
  if (call.tail.ends_with(kItems)) {
    return ListInput(store, call, call.tail.substr(0, call.tail.size() - kItems.size()));
  }
  Retrieve(store, call);
}

void Delete(const StorePtr& store, const ApiCall& call) {
  if (!store->Erase(TenantOf(call), call.tail)) return call.Fail(NoSuchResponse(call.tail));
  SendJson(*call.response, ToText({{"id", call.tail}, {"object", "response"}, {"deleted", true}}));
}

void Cancel(const StorePtr& store, const ApiCall& call) {
  constexpr std::string_view kCancel = "/cancel";
  if (!call.tail.ends_with(kCancel)) {
    return call.Fail(
        {.status = 404, .message = fmt::format("{} does not exist", call.request->path)});
  }
  const std::string id = call.tail.substr(0, call.tail.size() - kCancel.size());
  const std::string tenant = TenantOf(call);
  auto response = store->Find(tenant, id);
  if (response == nullptr) return call.Fail(NoSuchResponse(id));
  if (!response->background) {
    return call.Fail({.message = fmt::format("\"{}\" was not created with \"background\"; "
                                             "such a response ends when its client leaves",
                                             id)});
  }
  if (response->cancel) {
    Json body = Json::parse(response->body, nullptr, false);
    body["status"] = "cancelled";
    // Its own end may come first; then that counts.
    if (store->Finish(tenant, id, ToText(body), {})) response->cancel();
    response = store->Find(tenant, id);
    if (response == nullptr) return call.Fail(NoSuchResponse(id));
  }
  SendJson(*call.response, response->body);
}

}  // namespace

RouteSet ResponseRoutes(const std::shared_ptr<ResponseStore>& store) {
  RouteSet set{.docs = ResponseDocs()};
  const auto add = [&](const char* method, const char* path, RouteAsks asks, bool generates,
                       void (*answer)(const StorePtr&, const ApiCall&)) {
    set.routes.push_back({.method = method,
                          .path = path,
                          .versioned = true,
                          .intake = true,
                          .asks = asks,
                          .generates = generates,
                          .answer = [store, answer](const ApiCall& c) { answer(store, c); }});
  };
  add("POST", "/responses", RouteAsks::kLanguageModel, true, &Create);
  add("POST", "/responses/input_tokens", RouteAsks::kLanguageModel, false, &CountTokens);
  add("POST", "/responses/*", RouteAsks::kNothing, false, &Cancel);
  add("GET", "/responses/*", RouteAsks::kNothing, false, &Get);
  add("DELETE", "/responses/*", RouteAsks::kNothing, false, &Delete);
  return set;
}

}  // namespace pelton
