#include "serving/http/api_server.h"

#include <fmt/format.h>

#include <atomic>
#include <mutex>

#include "serving/http/intake.h"
#include "serving/http/metrics_text.h"
#include "serving/openai/api_error.h"
#include "serving/openai/generation_job.h"
#include "serving/openai/generation_json.h"
#include "serving/openai/text_requests.h"
#include "serving/web/page.h"

namespace pelton {
namespace {

using RequestPtr = std::shared_ptr<const HttpRequest>;
using ResponsePtr = std::shared_ptr<HttpResponse>;

// An engine that has work and finishes no step for so long is stuck.
constexpr std::chrono::seconds kStuckAfter{30};

bool IsLoopback(std::string_view address) {
  if (address == "localhost" || address == "::1") return true;
  // 127.0.0.0/8, not a name that begins like it.
  return address.rfind("127.", 0) == 0 &&
         address.find_first_not_of("0123456789.") == std::string_view::npos;
}

}  // namespace

struct ApiServer::Impl {
  struct Route {
    const char* method;
    const char* path;  // also served with "/v1" before it, if `versioned`
    bool versioned;
    bool open;    // needs no key
    bool intake;  // is read by the intake's threads
    void (Impl::*answer)(const RequestPtr&, const ResponsePtr&);
    Counter* requests = nullptr;
  };

  Impl(ApiServerOptions opts, LanguageModel& m)
      : options(std::move(opts)),
        model(m),
        steps(m.metrics->AddCounter("pelton_engine_steps_total", "", "Forward passes")),
        running(
            m.metrics->AddGauge("pelton_requests_running", "", "Sequences that hold KV blocks")) {
    for (Route& route : routes) {
      route.requests = &m.metrics->AddCounter("pelton_http_requests_total",
                                              fmt::format("route=\"{}\"", route.path),
                                              "requests that were let in, by route");
    }
    refused = &m.metrics->AddCounter("pelton_http_refused_total", "",
                                     "requests that no route, key or place in the queue let in");
    intake = std::make_unique<Intake>(options.intake_threads, options.max_queued,
                                      options.max_queued_bytes);
  }

  const Route* Find(std::string_view method, std::string_view path, bool* path_known) const {
    std::string_view bare = path;
    if (bare.rfind("/v1/", 0) == 0) bare.remove_prefix(3);
    *path_known = false;
    for (const Route& route : routes) {
      if (route.path != (route.versioned ? bare : path) &&
          !(route.path == kModelsPath && bare.rfind(kModelsPath + std::string("/"), 0) == 0)) {
        continue;
      }
      *path_known = true;
      if (route.method == method || (method == "HEAD" && std::string_view("GET") == route.method)) {
        return &route;
      }
    }
    return nullptr;
  }

  HttpHeaderVerdict Refuse(const ApiError& error, std::vector<HttpHeader> headers = {}) {
    refused->Add();
    headers.push_back({"Content-Type", "application/json"});
    if (error.status == 503) headers.push_back({"Retry-After", "1"});
    return {.refusal = HttpAnswer{error.status, std::move(headers), ErrorBody(error)}};
  }

  // A page whose name was made to lead to this machine ("DNS rebinding") is of the same origin as
  // what it asks, but cannot hide its name. Where a key is wanted it has none.
  bool HostAllowed(std::string_view host) const {
    if (!options.keys.empty() || host.empty()) return true;
    std::string_view name = host.substr(0, host.rfind(':'));
    if (host.front() == '[') name = host.substr(1, host.find(']') - 1);
    return IsLoopback(name);
  }

  // A web page of another origin may not use a server that its reader can reach.
  static bool OriginAllowed(std::string_view origin, std::string_view host) {
    if (origin.empty()) return true;
    const size_t scheme = origin.find("://");
    return scheme != std::string_view::npos && origin.substr(scheme + 3) == host;
  }

  HttpHeaderVerdict Check(const HttpRequest& request) {
    bool path_known = false;
    const Route* route = Find(request.method, request.path, &path_known);
    if (route == nullptr) {
      // Without a key nobody learns which routes there are.
      if (!options.keys.empty() && !options.keys.Opens(request)) return Unauthorized();
      if (path_known) {
        return Refuse(
            {.status = 405,
             .message = fmt::format("{} is not a method of {}", request.method, request.path)},
            {{"Allow", AllowedMethods(request.path)}});
      }
      return Refuse({.status = 404, .message = fmt::format("{} does not exist", request.path)});
    }
    if (!route->open && !options.keys.empty() && !options.keys.Opens(request)) {
      return Unauthorized();
    }
    if (!HostAllowed(request.Header("host"))) {
      return Refuse({.status = 403, .message = "without a key it answers as localhost only"});
    }
    if (!OriginAllowed(request.Header("origin"), request.Header("host"))) {
      return Refuse({.status = 403, .message = "requests of this origin are not allowed"});
    }
    if (draining.load() && route->intake) {
      return Refuse({.status = 503, .message = "the server is shutting down"});
    }
    return {.max_body = route->intake ? options.http.max_body : size_t{0}};
  }

  HttpHeaderVerdict Unauthorized() {
    return Refuse({.status = 401,
                   .message = "expected a valid key: \"Authorization: Bearer KEY\" or "
                              "\"X-Api-Key: KEY\""},
                  {{"WWW-Authenticate", "Bearer"}});
  }

  std::string AllowedMethods(std::string_view path) const {
    std::string methods;
    for (const char* method : {"GET", "POST"}) {
      bool known = false;
      if (Find(method, path, &known) != nullptr) {
        methods += (methods.empty() ? "" : ", ") + std::string(method);
      }
    }
    return methods;
  }

  void Handle(const RequestPtr& request, const ResponsePtr& response) {
    bool path_known = false;
    const Route* route = Find(request->method, request->path, &path_known);
    if (route == nullptr) return SendError(*response, {.status = 404, .message = "not found"});
    route->requests->Add();
    if (!route->intake) return (this->*route->answer)(request, response);
    const bool queued = intake->Push(request->body.size(), [this, route, request, response] {
      if (!response->closed()) (this->*route->answer)(request, response);
    });
    if (queued) return;
    refused->Add();
    SendError(*response, {.status = 503, .message = "too many requests wait; try again later"});
  }

  // The model that a request names; requests may leave the name out.
  bool KnowsModel(const std::string& name, HttpResponse& response) const {
    if (name.empty() || name == options.model_name) return true;
    SendError(response, {.status = 404,
                         .message = fmt::format("model: found \"{}\", expected \"{}\"",
                                                name.substr(0, 100), options.model_name),
                         .param = "model",
                         .code = "model_not_found"});
    return false;
  }

  void Generate(const RequestPtr& request, const ResponsePtr& response, bool chat) {
    GenerationRequest generation;
    const std::optional<ApiError> error =
        chat ? ReadChatRequest(model, request->body, &generation)
             : ReadCompletionRequest(model, request->body, &generation);
    if (error) return SendError(*response, *error);
    if (!KnowsModel(generation.model, *response)) return;
    generation.model = options.model_name;
    StartGeneration(model, std::move(generation), response);
  }
  void ChatCompletions(const RequestPtr& request, const ResponsePtr& response) {
    Generate(request, response, true);
  }
  void Completions(const RequestPtr& request, const ResponsePtr& response) {
    Generate(request, response, false);
  }
  void Tokenize(const RequestPtr& request, const ResponsePtr& response) {
    AnswerTokenize(model, request->body, *response);
  }
  void Detokenize(const RequestPtr& request, const ResponsePtr& response) {
    AnswerDetokenize(model, request->body, *response);
  }
  void Models(const RequestPtr& request, const ResponsePtr& response) {
    const size_t name_at = request->path.find(std::string(kModelsPath) + "/");
    if (name_at == std::string::npos) {
      return SendJson(*response, fmt::format("{{\"object\":\"list\",\"data\":[{}]}}",
                                             ModelJson(model, options.model_name)));
    }
    const std::string name = request->path.substr(name_at + std::string(kModelsPath).size() + 1);
    if (KnowsModel(name, *response)) SendJson(*response, ModelJson(model, options.model_name));
  }
  // The page's own files only: no script, style or address from elsewhere.
  static void SendPage(HttpResponse& response, const char* type, std::string_view bytes) {
    response.Send(200,
                  {{"Content-Type", type},
                   {"Content-Security-Policy",
                    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
                    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
                   {"X-Content-Type-Options", "nosniff"},
                   {"Referrer-Policy", "no-referrer"},
                   {"Cache-Control", "no-cache"}},
                  std::string(bytes));
  }
  void Page(const RequestPtr&, const ResponsePtr& response) {
    SendPage(*response, "text/html; charset=utf-8", PageHtml());
  }
  void PageStyle(const RequestPtr&, const ResponsePtr& response) {
    SendPage(*response, "text/css; charset=utf-8", PageCss());
  }
  void PageScript(const RequestPtr&, const ResponsePtr& response) {
    SendPage(*response, "text/javascript; charset=utf-8", PageJs());
  }
  void Health(const RequestPtr&, const ResponsePtr& response) {
    SendJson(*response, R"({"status":"ok"})");
  }
  void Ready(const RequestPtr&, const ResponsePtr& response) {
    if (draining.load()) {
      return SendError(*response, {.status = 503, .message = "the server is shutting down"});
    }
    if (IsStuck()) {
      return SendError(*response,
                       {.status = 503, .message = "the engine has work but finishes no step"});
    }
    SendJson(*response, R"({"status":"ready"})");
  }
  void Version(const RequestPtr&, const ResponsePtr& response) {
    SendJson(*response, fmt::format("{{\"version\":\"{}\"}}", options.version));
  }
  void Metrics(const RequestPtr&, const ResponsePtr& response) {
    response->Send(200, {{"Content-Type", "text/plain; version=0.0.4; charset=utf-8"}},
                   MetricsText(*model.metrics));
  }

  // Whether no step was finished for long although requests run.
  bool IsStuck() {
    const std::lock_guard lock(progress_mutex);
    const auto now = std::chrono::steady_clock::now();
    if (running.value() == 0 || steps.value() != last_steps) {
      last_steps = steps.value();
      last_progress = now;
    }
    return now - last_progress > kStuckAfter;
  }

  static constexpr const char* kModelsPath = "/models";

  const ApiServerOptions options;
  LanguageModel& model;
  const Counter& steps;
  const Gauge& running;
  Counter* refused = nullptr;
  std::atomic<bool> draining{false};
  std::mutex progress_mutex;
  uint64_t last_steps = 0;
  std::chrono::steady_clock::time_point last_progress = std::chrono::steady_clock::now();
  std::vector<Route> routes = {
      {"POST", "/chat/completions", true, false, true, &Impl::ChatCompletions},
      {"POST", "/completions", true, false, true, &Impl::Completions},
      {"POST", "/tokenize", true, false, true, &Impl::Tokenize},
      {"POST", "/detokenize", true, false, true, &Impl::Detokenize},
      {"GET", kModelsPath, true, false, false, &Impl::Models},
      {"GET", "/health", true, true, false, &Impl::Health},
      {"GET", "/ready", false, true, false, &Impl::Ready},
      {"GET", "/version", false, true, false, &Impl::Version},
      {"GET", "/metrics", false, false, false, &Impl::Metrics},
      {"GET", "/", false, true, false, &Impl::Page},
      {"GET", "/page.css", false, true, false, &Impl::PageStyle},
      {"GET", "/page.js", false, true, false, &Impl::PageScript},
  };
  std::unique_ptr<Intake> intake;
  std::unique_ptr<HttpServer> server;  // last: it ends first
};

ApiServer::ApiServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ApiServer::~ApiServer() = default;

Result<std::unique_ptr<ApiServer>> ApiServer::Start(ApiServerOptions options,
                                                    LanguageModel& model) {
  if (model.tokenizer == nullptr) {
    return InvalidArgument(model.files.path + ": has no tokenizer, which serving needs");
  }
  if (!IsLoopback(options.http.address) && options.keys.empty()) {
    return InvalidArgument(fmt::format(
        "{} can be reached by others: expected --api-key or --api-key-file, or a loopback address",
        options.http.address));
  }
  auto impl = std::make_unique<Impl>(std::move(options), model);
  Impl* const self = impl.get();
  ASSIGN_OR_RETURN(impl->server,
                   HttpServer::Start(
                       self->options.http,
                       [self](const RequestPtr& request, const ResponsePtr& response) {
                         self->Handle(request, response);
                       },
                       [self](const HttpRequest& request) { return self->Check(request); }));
  return std::unique_ptr<ApiServer>(new ApiServer(std::move(impl)));
}

std::string ApiServer::url() const { return impl_->server->url(); }

void ApiServer::Drain() { impl_->draining.store(true); }

void ApiServer::Stop(std::chrono::milliseconds grace) {
  Drain();
  impl_->server->Stop(grace);
}

size_t ApiServer::active_requests() const { return impl_->server->active_requests(); }

}  // namespace pelton
