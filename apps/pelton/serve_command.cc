#include <fmt/format.h>
#include <pthread.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <optional>

#include "base/available_memory.h"
#include "base/memory_reserve.h"
#include "command.h"
#include "profile_file.h"
#include "served_models.h"
#include "serving/http/api_server.h"
#include "serving/pool/model_pool.h"

namespace pelton {
namespace {

struct ServeOptions {
  ServedModelsOptions served;
  std::string host = "127.0.0.1";
  int64_t port = 8080;
  std::vector<std::string> keys;
  std::string key_file, tenant_file, audit_file;
  std::vector<std::string> origins;
  std::string tls_certificate, tls_key;
  int64_t drain_seconds = 30;
  int64_t response_store_mb = 64;
  int64_t max_bodies_mb = 0;
  int64_t response_store_max = 4096;
  int64_t stall_seconds = 60;
  std::string batch_folder;
  int64_t batch_store_mb = 1024;
  std::string log_format = "text";
  std::string log_level = "info";
  std::string metrics_compat = "none";
  std::string profile;
  std::string otlp_endpoint;
  double trace_ratio = 1;
};

// The signals that end a server, or make it read its keys again. They are blocked in every thread
// and waited for in one.
sigset_t ServerSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGHUP);
  return signals;
}

// What requests that run may still need when memory ends, until they have ended.
constexpr size_t kReserveBytes = 16 << 20;

// As many open files as the system grants: each connection is one.
void RaiseFileLimit() {
  struct rlimit limit;
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, 65536);
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

// Bytes of request bodies at a time. Left to itself, a small part of what this machine, or the
// limit on this process, has left: what is read from a body takes several times as much.
size_t MaxBodies(const ServeOptions& options, size_t max_body) {
  constexpr size_t kMost = size_t{1} << 30;
  if (options.max_bodies_mb > 0) return static_cast<size_t>(options.max_bodies_mb) << 20;
  return std::clamp(AvailableMemoryBytes() / 16, max_body, kMost);
}

Result<ApiServerOptions> ServerOptions(const ServeOptions& options) {
  if (options.port < 0 || options.port > 65535) {
    return InvalidArgument(fmt::format("--port: found {}, expected 0 to 65535", options.port));
  }
  if (options.tls_certificate.empty() != options.tls_key.empty()) {
    return InvalidArgument("--tls-cert and --tls-key: expected both or none");
  }
  ApiServerOptions out;
  out.http.address = options.host;
  out.http.port = static_cast<uint16_t>(options.port);
  out.http.tls_certificate = options.tls_certificate;
  out.http.tls_key = options.tls_key;
  if (options.stall_seconds < 1 || options.stall_seconds > 86400) {
    return InvalidArgument(
        fmt::format("--stall-seconds: found {}, expected 1 to 86400", options.stall_seconds));
  }
  out.http.write_stall = std::chrono::seconds(options.stall_seconds);
  out.version = PELTON_VERSION;
  out.vllm_metrics = options.metrics_compat == "vllm";
  out.origins = options.origins;
  out.max_queued = static_cast<size_t>(options.served.max_queued);
  out.http.max_bodies = MaxBodies(options, out.http.max_body);
  out.stored_responses = {static_cast<size_t>(options.response_store_mb) << 20,
                          static_cast<size_t>(options.response_store_max)};
  out.batches.folder = options.batch_folder;
  out.batches.files.max_bytes = static_cast<uint64_t>(options.batch_store_mb) << 20;
  return out;
}

Status AddTenants(const ServeOptions& options, Log& log, TenantDirectory* tenants) {
  for (const std::string& key : options.keys) {
    if (key.empty()) return InvalidArgument("--api-key: found an empty key");
    tenants->AddKey(key);
  }
  if (!options.key_file.empty()) RETURN_IF_ERROR(tenants->AddKeyFile(options.key_file));
  if (options.tenant_file.empty()) return OkStatus();
  return tenants->Follow(options.tenant_file, [&log](std::string_view line) {
    log.Warning("tenants", {{"detail", line}});
  });
}

std::string FromEnvironment(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): before threads
  return value == nullptr ? "" : value;
}

// Null without an endpoint. The environment's names are OpenTelemetry's own.
Result<std::shared_ptr<SpanExporter>> OpenSpans(const ServeOptions& options, Log& log,
                                                MetricRegistry& metrics) {
  std::string base = options.otlp_endpoint;
  if (base.empty()) base = FromEnvironment("OTEL_EXPORTER_OTLP_ENDPOINT");
  if (base.empty()) return std::shared_ptr<SpanExporter>();
  while (base.ends_with('/')) base.pop_back();
  SpanExporterOptions spans = {.url = base + "/v1/traces",
                               .version = PELTON_VERSION,
                               .ratio = options.trace_ratio,
                               .report = [&log](std::string_view line) {
                                 log.Warning("tracing", {{"detail", line}});
                               }};
  const std::string service = FromEnvironment("OTEL_SERVICE_NAME");
  if (!service.empty()) spans.service = service;
  const std::string headers = FromEnvironment("OTEL_EXPORTER_OTLP_HEADERS");
  for (size_t begin = 0; begin < headers.size();) {
    const size_t end = std::min(headers.find(',', begin), headers.size());
    std::string header = headers.substr(begin, end - begin);
    const size_t equals = header.find('=');
    if (equals != std::string::npos) header.replace(equals, 1, ": ");
    spans.headers.push_back(std::move(header));
    begin = end + 1;
  }
  return SpanExporter::Start(std::move(spans), metrics);
}

LogLevel LevelOf(const std::string& name) {
  if (name == "debug") return LogLevel::kDebug;
  if (name == "warning") return LogLevel::kWarning;
  return name == "error" ? LogLevel::kError : LogLevel::kInfo;
}

// Waits for a signal, then for the answers in progress; a second signal ends them. Whether there
// was one.
bool ServeUntilSignalled(ApiServer& server, TenantDirectory& tenants, Log& log,
                         std::chrono::seconds drain) {
  const sigset_t signals = ServerSignals();
  int signal = 0;
  while (::sigwait(&signals, &signal) == 0 && signal == SIGHUP) tenants.Reload();
  server.Drain();
  log.Info("finishing requests; another signal ends them",
           {{"requests", static_cast<int64_t>(server.active_requests())}});
  const auto deadline = std::chrono::steady_clock::now() + drain;
  const struct timespec moment = {0, 20'000'000};
  bool hurried = false;
  while (server.active_requests() > 0 && std::chrono::steady_clock::now() < deadline) {
    const int again = ::sigtimedwait(&signals, nullptr, &moment);
    hurried = again > 0 && again != SIGHUP;
    if (hurried) break;
  }
  server.Stop(std::chrono::milliseconds(0));
  return hurried;
}

std::string CurlKey(bool has_keys) {
  return has_keys ? "-H \"Authorization: Bearer $PELTON_API_KEY\" " : "";
}

void PrintCurl(const std::string& url, const ListedModel& model, bool has_keys) {
  if (model.kind == ModelKind::kEncoder) {
    fmt::print(
        "\ncurl {}/v1/embeddings -H 'Content-Type: application/json' {}\\\n  -d "
        "'{{\"input\":\"Hello!\"}}'\n",
        url, CurlKey(has_keys));
  } else {
    fmt::print(
        "\ncurl {}/v1/chat/completions -H 'Content-Type: application/json' {}\\\n  -d "
        "'{{\"messages\":[{{\"role\":\"user\",\"content\":\"Hello!\"}}],\"stream\":true}}'\n",
        url, CurlKey(has_keys));
  }
}

// What is served, and a request to begin with.
void PrintBanner(const std::vector<ListedModel>& models, const std::string& url, int64_t parallel,
                 size_t memory_bytes, bool has_keys) {
  if (models.empty()) {
    fmt::print("no model is served at {} yet; POST /api/pull fetches one\n\nCtrl-C ends it.\n",
               url);
    std::fflush(stdout);
    return;
  }
  const ListedModel& first = models[0];
  const bool one_language = first.kind == ModelKind::kLanguage && !first.opened.empty() &&
                            std::none_of(models.begin() + 1, models.end(), [](const auto& model) {
                              return model.kind == ModelKind::kLanguage;
                            });
  if (one_language) {
    fmt::print("{} is served at {} (context {} tokens, {} sequences at once)\n", first.called.name,
               url, first.context_tokens, parallel);
  } else if (models.size() == 1 && first.kind == ModelKind::kEncoder) {
    fmt::print("{} is served at {} (texts of up to {} tokens)\n", first.called.name, url,
               first.facts->context_tokens);
  } else {
    fmt::print("{} models are served at {} (at most {} MiB of memory)\n", models.size(), url,
               memory_bytes >> 20);
    for (const ListedModel& model : models) {
      std::string names = model.called.name;
      for (const std::string& alias : model.called.aliases) names += ", " + alias;
      fmt::print("  {:<32} {}{}\n", names, model.opened.empty() ? "on demand" : "loaded",
                 model.kind == ModelKind::kEncoder ? ", embeddings" : "");
    }
  }
  PrintCurl(url, first, has_keys);
  fmt::print("\nCtrl-C ends it.\n");
  std::fflush(stdout);
}

Status CheckOptions(const ServeOptions& options, const Configuration& configuration) {
  RETURN_IF_ERROR(options.served.Check(configuration));
  for (const auto& [name, value] : {std::pair("response-store-mb", options.response_store_mb),
                                    std::pair("response-store-max", options.response_store_max),
                                    std::pair("max-bodies-mb", options.max_bodies_mb),
                                    std::pair("batch-store-mb", options.batch_store_mb)}) {
    if (value < 0 || value > 1 << 20) {
      return InvalidArgument(fmt::format("--{}: found {}, expected 0 to 1048576", name, value));
    }
  }
  return ServerOptions(options).status();
}

// Loads what is to be there from the start.
Status Preload(ModelPool& pool, const std::vector<std::string>& names) {
  for (const std::string& name : names) RETURN_IF_ERROR(pool.OpenAndWait(name).status());
  return OkStatus();
}

// The model that --profile records; it stays in memory as long as it is held.
Result<std::shared_ptr<const ServedModel>> ProfiledModel(ModelPool& pool) {
  std::string name;
  for (const ListedModel& model : pool.List()) {
    if (model.kind == ModelKind::kEncoder) continue;
    if (!name.empty()) return InvalidArgument("--profile: found several models, expected one");
    name = model.called.name;
  }
  if (name.empty()) {
    return InvalidArgument("--profile: found no language model; an encoder is not recorded");
  }
  ASSIGN_OR_RETURN(const OpenedModel opened, pool.OpenAndWait(name));
  return opened.language;
}

int Run(const ServeOptions& options, const Configuration& configuration) {
  if (const Status status = CheckOptions(options, configuration); !status.ok()) return Fail(status);
  Result<ApiServerOptions> server_options = ServerOptions(options);
  if (!server_options.ok()) return Fail(server_options.status());
  // Before threads.
  const PullOptions pull{.hub = HubAddress(), .token = HubToken(), .proxies = Proxies()};
  const sigset_t signals = ServerSignals();
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  RaiseFileLimit();
  ReserveMemory(kReserveBytes);
  const Result<size_t> memory_bytes = options.served.MemoryBytes();
  if (!memory_bytes.ok()) return Fail(memory_bytes.status());
  // Its thread starts after the signals are blocked.
  Log log(options.log_format == "json" ? LogFormat::kJson : LogFormat::kText,
          LevelOf(options.log_level));
  server_options->log = &log;
  MetricRegistry metrics;
  Result<std::optional<PrefixStoreOptions>> store_options = options.served.Store();
  if (!store_options.ok()) return Fail(store_options.status());
  std::optional<PrefixStore> store;
  if (store_options.value()) {
    (*store_options)->report = [&log](std::string_view line) { log.Warning(line); };
    store.emplace(**store_options, metrics);
  }
  Result<std::vector<PooledModel>> models =
      options.served.Declared(configuration, *memory_bytes, store ? &*store : nullptr);
  if (!models.ok()) return Fail(models.status());
  TenantDirectory tenants(metrics);
  if (const Status status = AddTenants(options, log, &tenants); !status.ok()) return Fail(status);
  std::unique_ptr<AuditLog> audit;
  if (!options.audit_file.empty()) {
    Result<std::unique_ptr<AuditLog>> opened = AuditLog::Open(options.audit_file, metrics);
    if (!opened.ok()) return Fail(opened.status());
    audit = std::move(opened).value();
    server_options->audit = audit.get();
  }
  Result<std::shared_ptr<SpanExporter>> spans = OpenSpans(options, log, metrics);
  if (!spans.ok()) return Fail(spans.status().WithContext("--otlp-endpoint"));
  server_options->spans = std::move(spans).value();
  std::vector<std::string> preload;
  for (const PooledModel& model : *models) {
    if (model.preload) preload.push_back(model.called.name);
  }
  ModelPool pool(
      {.memory_bytes = *memory_bytes,
       .max_waiting = static_cast<size_t>(options.served.max_queued),
       .log = &log},
      std::move(models).value(),
      std::make_unique<ModelLoader>([&log](std::string_view line) { log.Warning(line); }), metrics);
  if (const Status status = Preload(pool, preload); !status.ok()) return Fail(status);
  std::shared_ptr<const ServedModel> profiled;
  if (!options.profile.empty()) {
    Result<std::shared_ptr<const ServedModel>> opened = ProfiledModel(pool);
    if (!opened.ok()) return Fail(opened.status());
    profiled = std::move(opened).value();
    profiled->model.profile->Start();
  }
  if (options.served.manage_store) {
    server_options->store = {.pool = &pool,
                             .folder = options.served.model.models_folder,
                             .pull = pull,
                             .declare = [&](const std::string& name, const std::string& path) {
                               return options.served.DeclareStored(name, path, *memory_bytes,
                                                                   store ? &*store : nullptr);
                             }};
  }
  Result<std::unique_ptr<ApiServer>> server =
      ApiServer::Start(std::move(server_options).value(), pool, tenants, metrics);
  if (!server.ok()) {
    Fail(server.status());
    return server.status().code() == StatusCode::kUnavailable ? kExitPortInUse : kExitUsage;
  }
  PrintBanner(pool.List(), (*server)->url(), options.served.parallel, *memory_bytes,
              !tenants.empty());
  const bool hurried =
      ServeUntilSignalled(**server, tenants, log, std::chrono::seconds(options.drain_seconds));
  if (hurried && store) store->Hurry();
  // No wait for a model may call into the server once that has gone.
  pool.Close();
  Status written;
  if (profiled != nullptr) {
    written = WriteProfile(profiled->model, profiled->model.profile->Stop(), options.profile);
    profiled.reset();
  }
  server->reset();
  // What still runs ends here, while those are there to whom it reports.
  pool.Stop();
  if (!written.ok()) return Fail(written);
  return kExitOk;
}

}  // namespace

Command ServeCommand() {
  auto options = std::make_shared<ServeOptions>();
  Command command{
      .name = "serve",
      .summary = "answer over HTTP, as OpenAI's interface does",
      .description =
          "Serves models at /v1/chat/completions, /v1/completions, /v1/responses, /v1/models, "
          "/tokenize and /detokenize, encoders at /v1/embeddings, /v1/rerank and /v1/score, and "
          "/health, /ready, /version and /metrics for operators. It listens on this machine only "
          "unless --host says otherwise, which needs a key. SIGTERM or Ctrl-C refuses new requests "
          "and finishes those in progress."};
  options->served.AddModels(&command.options);
  command.configuration = std::make_shared<Configuration>();
  command.configuration->own_names = {"models"};
  const auto add = [&](const char* names, const char* value, const char* help, const char* group,
                       decltype(Option::target) target) {
    command.options.push_back(
        {.names = names, .value = value, .help = help, .group = group, .target = target});
  };
  add("--host", "ADDRESS", "numeric address to listen on [127.0.0.1]", "network", &options->host);
  add("--port", "N", "port to listen on; 0 for any free one [8080]", "network", &options->port);
  add("--tls-cert,--ssl-certfile", "FILE", "PEM certificate; read anew when it changes", "network",
      &options->tls_certificate);
  add("--tls-key,--ssl-keyfile", "FILE", "PEM key of the certificate", "network",
      &options->tls_key);
  add("--api-key", "KEY", "key that requests must carry; may be given again", "access",
      &options->keys);
  add("--api-key-file", "FILE", "file with one key a line", "access", &options->key_file);
  add("--tenant-file", "FILE", "tenants, as `pelton keys` keeps them; read anew when it changes",
      "access", &options->tenant_file);
  add("--audit-log", "FILE", "JSON lines of who asked for what; at 64 MiB FILE is put aside once",
      "access", &options->audit_file);
  add("--cors-origins,--allowed-origins", "ORIGIN",
      "origin of web pages that may ask from a browser, https://chat.example; may be given again; "
      "* "
      "for any, with keys [none]",
      "access", &options->origins);
  add("--served-model-name,--alias", "NAME", "the model's name in answers [its file's]", "model",
      &options->served.name);
  add("--manage-store", "",
      "serve every model of the store, and let keys that may administer fetch, copy and delete "
      "there",
      "model", &options->served.manage_store);
  add("--embedding-model", "MODEL",
      "an encoder beside the model, for embeddings; minilm is one; may be given again", "model",
      &options->served.encoders);
  options->served.model.AddPlan(&command.options);
  options->served.model.AddRuntime(&command.options);
  options->served.model.AddPrefixCache(&command.options);
  options->served.AddResources(&command.options);
  add("--drain-seconds", "N", "time to finish answers after a signal [30]", "resources",
      &options->drain_seconds);
  add("--max-bodies-mb", "N",
      "memory for request bodies at a time, more get 503; 0: by the memory that is left [0]",
      "resources", &options->max_bodies_mb);
  add("--response-store-mb", "N",
      "memory for responses that are kept for /v1/responses; 0 keeps none [64]", "resources",
      &options->response_store_mb);
  add("--response-store-max", "N", "how many of them are kept [4096]", "resources",
      &options->response_store_max);
  add("--stall-seconds", "N", "how long a client may leave what waits for it unread [60]",
      "resources", &options->stall_seconds);
  add("--batch-folder", "DIR",
      "where /v1/files and /v1/batches keep their files, also for a later start; without it there "
      "are none",
      "resources", &options->batch_folder);
  add("--batch-store-mb", "N", "how much these files may take [1024]", "resources",
      &options->batch_store_mb);
  add("--log-format", "FORMAT", "lines on stderr as text or json [text]", "log",
      &options->log_format);
  command.options.back().choices = {"text", "json"};
  add("--log-level", "LEVEL", "least important lines: debug, info, warning or error [info]", "log",
      &options->log_level);
  command.options.back().choices = {"debug", "info", "warning", "error"};
  add("--metrics-compat", "NAMES",
      "metrics also under the names, labels and buckets of another engine [none]", "observing",
      &options->metrics_compat);
  command.options.back().choices = {"none", "vllm"};
  add("--profile", "FILE",
      "write a timeline of the last steps there at the end; see the profile command", "observing",
      &options->profile);
  add("--otlp-endpoint", "URL",
      "OpenTelemetry collector that gets spans by OTLP/HTTP [$OTEL_EXPORTER_OTLP_ENDPOINT, else "
      "none]",
      "observing", &options->otlp_endpoint);
  add("--trace-ratio", "R", "of the requests without a traceparent, how many are traced [1]",
      "observing", &options->trace_ratio);
  command.everyday = {
      "models",      "served-model-name", "embedding-model", "host",    "port", "api-key",
      "tenant-file", "tls-cert",          "tls-key",         "threads", "ctx",  "memory",
      "parallel",    "keep-alive",        "config"};
  command.configured = command.options;
  add("--config", "FILE",
      "YAML, or TOML as .toml, with these options by their long names; the command line and the "
      "environment go first",
      "configuration", &command.configuration->path);
  command.check = [options, configuration = command.configuration] {
    return CheckOptions(*options, *configuration);
  };
  command.run = [options, configuration = command.configuration] {
    return Run(*options, *configuration);
  };
  command.storage = options;
  return command;
}

}  // namespace pelton
