#include "serving/http/api_server.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <cstdint>
#include <iterator>
#include <new>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "base/available_memory.h"
#include "base/clock.h"
#include "base/memory_reserve.h"
#include "serving/anthropic/anthropic_routes.h"
#include "serving/api/route.h"
#include "serving/batch/file_routes.h"
#include "serving/embeddings/embedding_routes.h"
#include "serving/generate/served_model.h"
#include "serving/http/access_log.h"
#include "serving/http/cache_routes.h"
#include "serving/http/intake.h"
#include "serving/http/journal_routes.h"
#include "serving/http/openapi.h"
#include "serving/http/operator_routes.h"
#include "serving/http/profile_routes.h"
#include "serving/journal/request_journal.h"
#include "serving/metrics/metrics_text.h"
#include "serving/metrics/process_metrics.h"
#include "serving/metrics/vllm_metrics.h"
#include "serving/ollama/ollama_routes.h"
#include "serving/openai/openai_error.h"
#include "serving/openai/openai_routes.h"
#include "serving/request/model_field.h"
#include "serving/request/service_terms.h"
#include "serving/responses/response_routes.h"
#include "serving/tenant/admission.h"
#include "serving/tenant/api_key.h"
#include "serving/trace/request_trace.h"
#include "serving/web/page_routes.h"

namespace pelton {
namespace {

using RequestPtr = std::shared_ptr<const HttpRequest>;
using ResponsePtr = std::shared_ptr<HttpResponse>;

// What the interfaces' clients send from a browser.
constexpr std::string_view kInvitedHeaders =
    "Authorization, Content-Type, X-Api-Key, X-Request-Id, Traceparent, Anthropic-Version, "
    "Anthropic-Beta, Anthropic-Dangerous-Direct-Browser-Access, OpenAI-Organization, "
    "OpenAI-Project, X-Stainless-Arch, X-Stainless-Lang, X-Stainless-OS, "
    "X-Stainless-Package-Version, X-Stainless-Retry-Count, X-Stainless-Runtime, "
    "X-Stainless-Runtime-Version, X-Stainless-Timeout, X-Stainless-Helper-Method";

// As browsers write it: scheme and host, no path.
bool IsOrigin(std::string_view text) {
  const size_t scheme = text.find("://");
  return text == "*" || (scheme != text.npos && scheme > 0 && scheme + 3 < text.size() &&
                         text.find('/', scheme + 3) == text.npos);
}

bool IsLoopback(std::string_view address) {
  if (address == "localhost" || address == "::1") return true;
  // 127.0.0.0/8, not a name that begins like it.
  return address.rfind("127.", 0) == 0 &&
         address.find_first_not_of("0123456789.") == std::string_view::npos;
}

const MonotonicClock kClock;  // answers hold on to the journal, which borrows it

// Why a request was not let in.
enum class Refusal : uint8_t {
  kRoute,
  kMethod,
  kKey,
  kHost,
  kOrigin,
  kDraining,
  kQueueFull,
  kLoad,
  kTenant,
  kMemory
};
constexpr const char* kRefusalNames[] = {"route",    "method",     "key",  "host",   "origin",
                                         "draining", "queue_full", "load", "tenant", "memory"};

}  // namespace

struct ApiServer::Impl {
  Impl(ApiServerOptions opts, ModelDirectory& directory, const TenantDirectory& known,
       MetricRegistry& metrics, std::unique_ptr<BatchService> opened_batches)
      : options(std::move(opts)),
        models(directory),
        registry(metrics),
        tenants(known),
        operators(directory, options.version, [this] { return MetricsPage(); }),
        profile(directory),
        store(options.store),
        connections(metrics.AddGauge("pelton_http_connections", "", "Open connections")),
        active(metrics.AddGauge("pelton_http_requests_active", "",
                                "Requests that were let in and are not answered yet")),
        batches(std::move(opened_batches)),
        intake(std::make_unique<Intake>(options.intake_threads, options.max_queued,
                                        options.max_queued_bytes)) {
    // Each interface brings its own routes.
    table.Add(OpenAiRoutes(models));
    table.Add(EmbeddingRoutes());
    table.Add(ResponseRoutes(std::make_shared<ResponseStore>(options.stored_responses, metrics)));
    table.Add(FileRoutes(batches.get()));
    table.Add(BatchRoutes(batches.get()));
    table.Add(AnthropicRoutes());
    table.Add(OllamaRoutes(models, options.version));
    table.Add(store.Routes());
    table.Add(operators.Routes());
    table.Add(CacheRoutes(models, tenants));
    table.Add(profile.Routes());
    table.Add(JournalRoutes(*journal));
    table.Add(PageRoutes());
    // A list of what there is, so it needs a key as the routes themselves do.
    table.Add({.routes = {{.method = "GET",
                           .path = "/openapi.json",
                           .answer =
                               [this](const ApiCall& call) {
                                 SendJson(*call.response, openapi[tenants.empty() ? 0 : 1]);
                               }}},
               .docs = {{.method = "GET",
                         .path = "/openapi.json",
                         .summary = "This document",
                         .answer = R"({"type":"object","required":["openapi","paths"]})"}}});
    for (const bool keys : {false, true}) {
      openapi[keys ? 1 : 0] = OpenApiText(table, options.version, keys);
    }
    for (const Route& route : table.routes()) {
      requests.push_back(&metrics.AddCounter("pelton_http_requests_total",
                                             fmt::format("route=\"{}\"", route.path),
                                             "Requests that were let in, by route"));
    }
    for (size_t i = 0; i < refused.size(); ++i) {
      refused[i] = &metrics.AddCounter("pelton_http_refused_total",
                                       fmt::format("reason=\"{}\"", kRefusalNames[i]),
                                       "Requests that were not let in");
    }
    options.http.error_body = [this](std::string_view path, int status, std::string_view code,
                                     std::string_view message) {
      return table.ErrorsOf(path)(
          {.status = status, .message = std::string(message), .code = std::string(code)});
    };
    if (options.log != nullptr) LogHttp(*options.log, &options.http);
  }

  std::string MetricsPage() {
    connections.Set(static_cast<int64_t>(server->connections()));
    active.Set(static_cast<int64_t>(server->active_requests()));
    const std::vector<ListedModel> listed = models.List();
    std::vector<MetricSource> sources = {{registry}};
    std::vector<VllmSource> vllm;
    for (const ListedModel& each : listed) {
      if (each.metrics == nullptr) continue;
      sources.push_back({*each.metrics, fmt::format("model=\"{}\"", LabelValue(each.called.name))});
      if (each.kind == ModelKind::kEncoder) continue;
      vllm.push_back({.registry = *each.metrics,
                      .model_name = each.called.name,
                      .max_context = each.context_tokens,
                      .prefix_cache = each.prefix_cache});
    }
    std::string text = MetricsText(sources) + BuildInfoText(options.version) + ProcessMetricsText();
    if (options.vllm_metrics) text += VllmMetricsText(vllm);
    return text;
  }

  HttpHeaderVerdict Refuse(const HttpRequest& request, Refusal reason, const ApiError& error,
                           std::vector<HttpHeader> headers = {}, const Tenant* tenant = nullptr) {
    refused[static_cast<size_t>(reason)]->Add();
    if (OriginInvited(request.Header("origin"))) {
      for (HttpHeader& header : InvitedAnswer(request.Header("origin"))) {
        headers.push_back(std::move(header));
      }
    }
    const std::string label = tenant == nullptr ? "" : tenant->name();
    if (options.audit != nullptr) {
      options.audit->Write({.tenant = label,
                            .request_id = request.id,
                            .method = request.method,
                            .path = request.path,
                            .peer = request.peer,
                            .status = error.status});
    }
    return {.refusal = ErrorAnswer(error, table.ErrorsOf(request.path), std::move(headers)),
            .label = label};
  }

  // A page whose name was made to lead to this machine ("DNS rebinding") is of the same origin as
  // what it asks, but cannot hide its name. Where a key is wanted it has none.
  bool HostAllowed(std::string_view host) const {
    if (!tenants.empty() || host.empty()) return true;
    std::string_view name = host.substr(0, host.rfind(':'));
    if (host.front() == '[') name = host.substr(1, host.find(']') - 1);
    return IsLoopback(name);
  }

  // With these a page may read the answer.
  static std::vector<HttpHeader> InvitedAnswer(std::string_view origin) {
    return {{"Access-Control-Allow-Origin", std::string(origin)},
            {"Access-Control-Expose-Headers", "X-Request-Id, Retry-After"},
            {"Vary", "Origin"}};
  }

  // Whether it is another site's page that --cors-origins lets in. The browser must be told.
  bool OriginInvited(std::string_view origin) const {
    return !origin.empty() &&
           std::any_of(options.origins.begin(), options.origins.end(),
                       [&](const std::string& each) { return each == "*" || each == origin; });
  }

  // A web page of another origin may not use a server that its reader can reach.
  bool OriginAllowed(std::string_view origin, std::string_view host) const {
    if (origin.empty() || OriginInvited(origin)) return true;
    const size_t scheme = origin.find("://");
    return scheme != std::string_view::npos && origin.substr(scheme + 3) == host;
  }

  // What a browser wants to know before it sends an invited page's request (Fetch, 4.8): asked
  // without a key, and answered without saying which routes there are.
  static HttpAnswer Preflight(std::string_view origin) {
    return {.status = 204,
            .headers = {{"Access-Control-Allow-Origin", std::string(origin)},
                        {"Access-Control-Allow-Methods", "GET, POST, DELETE"},
                        {"Access-Control-Allow-Headers", std::string(kInvitedHeaders)},
                        {"Access-Control-Max-Age", "600"},
                        {"Vary", "Origin"}}};
  }

  // Null: it brings no key that is somebody's.
  std::shared_ptr<Tenant> TenantOf(const HttpRequest& request, TenantTime now) const {
    if (tenants.empty()) return tenants.anonymous();
    return tenants.Find(KeyOf(request), now.unix_seconds);
  }

  HttpHeaderVerdict Check(const HttpRequest& request) {
    if (request.method == "OPTIONS" && OriginInvited(request.Header("origin")) &&
        !request.Header("access-control-request-method").empty()) {
      return {.refusal = Preflight(request.Header("origin")), .label = ""};
    }
    const TenantTime now = TenantTime::Now();
    const std::shared_ptr<Tenant> tenant = TenantOf(request, now);
    RouteTable::Match match;
    if (!table.Find(request.method, request.path, &match)) {
      // Without a key nobody learns which routes there are.
      if (tenant == nullptr) return Unauthorized(request);
      const std::string allowed = table.Allowed(request.path);
      if (allowed.empty()) {
        return Refuse(request, Refusal::kRoute,
                      {.status = 404, .message = fmt::format("{} does not exist", request.path)});
      }
      return Refuse(
          request, Refusal::kMethod,
          {.status = 405,
           .message = fmt::format("{} is not a method of {}", request.method, request.path)},
          {{"Allow", allowed}});
    }
    const Route& route = table.routes()[match.idx];
    if (!route.open && tenant == nullptr) return Unauthorized(request);
    if (!HostAllowed(request.Header("host"))) {
      return Refuse(request, Refusal::kHost,
                    {.status = 403, .message = "without a key it answers as localhost only"});
    }
    if (!OriginAllowed(request.Header("origin"), request.Header("host"))) {
      return Refuse(request, Refusal::kOrigin,
                    {.status = 403, .message = "requests of this origin are not allowed"});
    }
    if (operators.draining() && route.intake) {
      return Refuse(request, Refusal::kDraining,
                    {.status = 503, .message = "the server is shutting down"});
    }
    if (route.intake && MemoryIsShort()) {
      return Refuse(request, Refusal::kMemory, OutOfMemory(), {}, tenant.get());
    }
    if (route.intake && tenant != nullptr) {
      if (const std::optional<ApiError> error = tenant->Check(now)) {
        return Refuse(request, Refusal::kTenant, *error, tenant->RateHeaders(now), tenant.get());
      }
    }
    if (route.generates) {
      if (const std::optional<ApiError> error = CheckLoad(request)) {
        return Refuse(request, Refusal::kLoad, *error, {}, tenant.get());
      }
    }
    const size_t limit = route.max_body > 0 ? route.max_body : options.http.max_body;
    return {.max_body = route.intake ? limit : size_t{0}};
  }

  // Before the body is read, and long before it becomes tokens: whether the only model can take the
  // request in time. With several models the body says which is meant, so their engines decide.
  std::optional<ApiError> CheckLoad(const HttpRequest& request) const {
    const Result<ServiceTerms> terms = TermsOfHeaders(request);
    if (!terms.ok()) return ApiErrorOf(terms.status());
    const std::shared_ptr<const ServedModel> only = models.Only();
    if (only == nullptr) return std::nullopt;
    constexpr size_t kBytesPerToken = 6;  // of a body; a guess that is rather too high
    size_t body_bytes = 0;
    const std::string_view length = request.Header("content-length");
    std::from_chars(length.data(), length.data() + length.size(), body_bytes);
    RequestSink& engine = *only->model.engine;
    const Status status = engine.CheckLoad(terms->service_class, body_bytes / kBytesPerToken,
                                           terms->first_token_within_ns);
    if (status.ok()) return std::nullopt;
    ApiError error = ApiErrorOf(status);
    error.retry_after = engine.RetryAfterSeconds(terms->service_class);
    return error;
  }

  HttpHeaderVerdict Unauthorized(const HttpRequest& request) {
    return Refuse(request, Refusal::kKey,
                  {.status = 401,
                   .message = "expected a valid key: \"Authorization: Bearer KEY\" or "
                              "\"X-Api-Key: KEY\""},
                  {{"WWW-Authenticate", "Bearer"}});
  }

  // Memory that is not there ends one request, not the server.
  template <typename Body>
  static void Guarded(const ApiCall& call, Body body) {
    try {
      body();
    } catch (const std::bad_alloc&) {
      try {
        call.Fail(OutOfMemory());
      } catch (const std::bad_alloc&) {
        call.response->Abort();
      }
    }
  }

  void Handle(const RequestPtr& request, const ResponsePtr& response) {
    const ApiCall call{request, response, table.ErrorsOf(request->path), ""};
    Guarded(call, [&] { Dispatch(call); });
  }

  void Dispatch(ApiCall call) {
    const RequestPtr& request = call.request;
    const ResponsePtr& response = call.response;
    if (OriginInvited(request->Header("origin"))) {
      for (const HttpHeader& header : InvitedAnswer(request->Header("origin"))) {
        response->AddHeader(header.name, header.value);
      }
    }
    RouteTable::Match match;
    if (!table.Find(request->method, request->path, &match)) {
      return call.Fail({.status = 404, .message = "not found"});
    }
    call.tail = match.tail;
    requests[match.idx]->Add();
    const Route& route = table.routes()[match.idx];
    const std::shared_ptr<Tenant> tenant = TenantOf(*request, TenantTime::Now());
    if (tenant != nullptr) response->SetLabel(tenant->name());
    // The key may have been taken away since the headers came.
    if (!route.open && tenant == nullptr) {
      return call.Fail({.status = 401, .message = "the key is no longer valid"});
    }
    call.tenant = tenant;
    if (!route.intake) return route.answer(call);
    ApiError refusal;
    call.admission = Admission::Enter(tenant, request, response, options.audit, &refusal);
    if (call.admission == nullptr) {
      refused[static_cast<size_t>(Refusal::kTenant)]->Add();
      return call.Fail(refusal);
    }
    call.trace = RequestTrace::Begin(options.spans, request, response, route.path);
    if (call.trace != nullptr && !tenant->name().empty()) {
      call.trace->Set("pelton.tenant", tenant->name());
    }
    Queue(route, call);
  }

  // Answers a request of a batch's, which needs no key: its tenant is known.
  void HandleOfBatch(const RequestPtr& request, const ResponsePtr& response,
                     const std::shared_ptr<Tenant>& tenant) {
    const ApiCall call{request, response, table.ErrorsOf(request->path), ""};
    Guarded(call, [&] { DispatchOfBatch(call, tenant); });
  }

  void DispatchOfBatch(ApiCall call, const std::shared_ptr<Tenant>& tenant) {
    RouteTable::Match match;
    const bool found = table.Find(call.request->method, call.request->path, &match);
    if (!found || !table.routes()[match.idx].intake) {
      return call.Fail({.status = 404, .message = "not found"});
    }
    if (MemoryIsShort()) return call.Fail(OutOfMemory());
    ApiError refusal;
    call.tenant = tenant;
    call.admission = Admission::Enter(tenant, call.request, call.response, options.audit, &refusal);
    if (call.admission == nullptr) return call.Fail(refusal);
    call.admission->RunInBackground();
    Queue(table.routes()[match.idx], call);
  }

  // Hands a request that was let in to the intake.
  void Queue(const Route& route, ApiCall call) {
    call.journal = journal;
    const bool queued = intake->Push(call.request->body.size(), [this, &route, call] {
      Guarded(call, [&] { Work(route, call); });
    });
    if (!queued) FailQueueFull(call);
  }

  void FailQueueFull(const ApiCall& call) {
    refused[static_cast<size_t>(Refusal::kQueueFull)]->Add();
    call.Fail({.status = 503, .message = "too many requests wait; try again later"});
  }

  // Whether a large body can be read without taking the memory that the system, or a limit on the
  // process, has left beside the bodies that may still come: beyond that the process would be
  // killed, and every request with it.
  bool HasMemoryFor(std::string_view body) const {
    constexpr size_t kSmall = 256 << 10;  // is not worth the system calls
    // A text takes 35 times its size while it becomes tokens, as measured. One that cannot fit is
    // refused before, but not by every tokenizer, nor where it is only counted, or cut.
    constexpr size_t kBytesOfTextByte = 40;
    if (body.size() <= kSmall) return true;
    const size_t most = std::max(2 * MostJsonBytes(body), kBytesOfTextByte * body.size());
    return most + options.http.max_bodies <= AvailableMemoryBytes();
  }

  // On a thread of the intake: opens what the request asks, and answers it.
  void Work(const Route& route, const ApiCall& call) {
    if (call.response->closed()) return;
    if (route.asks == RouteAsks::kNothing) return route.answer(call);
    if (!HasMemoryFor(call.request->body)) {
      refused[static_cast<size_t>(Refusal::kMemory)]->Add();
      return call.Fail(OutOfMemory());
    }
    const Result<std::string> asked = ModelFieldOf(call.request->body);
    if (!asked.ok()) return call.Fail(ApiErrorOf(asked.status()));
    ApiError error;
    const ModelKind kind =
        route.asks == RouteAsks::kEncoder ? ModelKind::kEncoder : ModelKind::kLanguage;
    const std::string name = models.Resolve(*asked, kind, &error);
    if (name.empty()) return call.Fail(error);
    // Before it is loaded: nobody makes the server load what he may not ask.
    if (const auto denied = call.admission->AskModel(name)) return call.Fail(*denied);
    if (route.shortcut && route.shortcut(call, name)) return;
    // A client that leaves gives up its wait. Set before the wait begins, since the answer may set
    // another callback as soon as it does.
    const auto ticket = std::make_shared<std::atomic<uint64_t>>(0);
    call.response->OnClose([this, ticket] { models.Leave(ticket->load()); });
    const std::thread::id here = std::this_thread::get_id();
    ticket->store(
        models.Open(name, call.request->body.size(),
                    [this, &route, call, here](OpenedModel opened, const ApiError& refusal) {
                      if (opened.empty()) return call.Fail(refusal);
                      ApiCall whole = call;
                      whole.model = std::move(opened.language);
                      whole.encoder = std::move(opened.encoder);
                      if (std::this_thread::get_id() == here) {
                        return Guarded(whole, [&] { route.answer(whole); });
                      }
                      // What comes after a wait takes its time, too, and other waits are not to
                      // wait for it.
                      const bool queued = intake->Push(whole.request->body.size(), [&route, whole] {
                        if (whole.response->closed()) return;
                        Guarded(whole, [&] { route.answer(whole); });
                      });
                      if (!queued) FailQueueFull(whole);
                    }));
    if (call.response->closed()) models.Leave(ticket->load());
  }

  ApiServerOptions options;
  ModelDirectory& models;
  MetricRegistry& registry;
  const TenantDirectory& tenants;
  OperatorRoutes operators;
  ProfileRoutes profile;
  StoreRoutes store;
  const std::shared_ptr<RequestJournal> journal = std::make_shared<RequestJournal>(kClock);
  RouteTable table{&OpenAiErrorBody};
  std::array<std::string, 2> openapi;                      // without keys and with
  std::vector<Counter*> requests;                          // that were let in, by route
  std::array<Counter*, std::size(kRefusalNames)> refused;  // by Refusal
  Gauge& connections;                                      // set when the page is written
  Gauge& active;
  std::unique_ptr<BatchService> batches;  // may be null; stopped before the intake ends
  std::unique_ptr<Intake> intake;
  std::unique_ptr<HttpServer> server;  // last: it ends first
};

ApiServer::ApiServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ApiServer::~ApiServer() {
  if (impl_->batches != nullptr) impl_->batches->Stop();
}

Result<std::unique_ptr<ApiServer>> ApiServer::Start(ApiServerOptions options,
                                                    ModelDirectory& models,
                                                    const TenantDirectory& tenants,
                                                    MetricRegistry& metrics) {
  if (!IsLoopback(options.http.address) && tenants.empty()) {
    return InvalidArgument(fmt::format(
        "{} can be reached by others: expected --api-key, --api-key-file or --tenant-file, or a "
        "loopback address",
        options.http.address));
  }
  for (const std::string& origin : options.origins) {
    if (!IsOrigin(origin)) {
      return InvalidArgument(fmt::format(
          "{}: expected an origin as browsers write it, for example https://chat.example, or *",
          origin));
    }
    // Any page that somebody opens could use the server, and what it knows, in his name.
    if (origin == "*" && tenants.empty()) {
      return InvalidArgument("pages of any origin (*) are let in with keys only");
    }
  }
  std::unique_ptr<BatchService> batches;
  if (!options.batches.folder.empty()) {
    ASSIGN_OR_RETURN(batches, BatchService::Open(options.batches, metrics));
  }
  auto impl =
      std::make_unique<Impl>(std::move(options), models, tenants, metrics, std::move(batches));
  Impl* const self = impl.get();
  ASSIGN_OR_RETURN(impl->server,
                   HttpServer::Start(
                       self->options.http,
                       [self](const RequestPtr& request, const ResponsePtr& response) {
                         self->Handle(request, response);
                       },
                       [self](const HttpRequest& request) { return self->Check(request); }));
  if (self->batches != nullptr) {
    self->batches->Start(
        [self](const RequestPtr& request, const ResponsePtr& response,
               const std::shared_ptr<Tenant>& tenant) {
          self->HandleOfBatch(request, response, tenant);
        },
        [self](const std::string& identity) {
          return self->tenants.FindIdentity(identity, TenantTime::Now().unix_seconds);
        });
  }
  return std::unique_ptr<ApiServer>(new ApiServer(std::move(impl)));
}

std::string ApiServer::url() const { return impl_->server->url(); }

void ApiServer::Drain() {
  impl_->operators.Drain();
  if (impl_->batches != nullptr) impl_->batches->Stop();
}

void ApiServer::Stop(std::chrono::milliseconds grace) {
  Drain();
  impl_->server->Stop(grace);
}

size_t ApiServer::active_requests() const { return impl_->server->active_requests(); }

}  // namespace pelton
