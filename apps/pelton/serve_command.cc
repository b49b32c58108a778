#include <fmt/format.h>
#include <pthread.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <optional>
#include <thread>

#include "command.h"
#include "model_options.h"
#include "profile_file.h"
#include "serving/http/api_server.h"
#include "serving/model/embedding_model.h"

namespace pelton {
namespace {

struct ServeOptions {
  ModelOptions model;
  std::string host = "127.0.0.1";
  int64_t port = 8080;
  std::vector<std::string> keys;
  std::string key_file, tenant_file, audit_file;
  std::vector<std::string> origins;
  std::string name;
  std::string tls_certificate, tls_key;
  std::string embedding_model;
  int64_t parallel = 32;
  int64_t max_queued = 1024;
  int64_t realtime_step_ms = kDefaultPolicies[0].step_ns / 1'000'000;
  int64_t gather_ms = 0;
  int64_t drain_seconds = 30;
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

// As many open files as the system grants: each connection is one.
void RaiseFileLimit() {
  struct rlimit limit;
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, 65536);
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

// "smollm2-135m-instruct-q4_1" of ".../smollm2-135m-instruct-q4_1.gguf".
std::string NameOf(const std::string& model) {
  std::string name = model;
  while (name.size() > 1 && name.back() == '/') name.pop_back();
  name = name.substr(name.rfind('/') + 1);
  if (name.ends_with(".gguf")) name.resize(name.size() - 5);
  return name;
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
  out.version = PELTON_VERSION;
  out.vllm_metrics = options.metrics_compat == "vllm";
  out.origins = options.origins;
  out.max_queued = static_cast<size_t>(options.max_queued);
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

// Waits for a signal, then for the answers in progress; a second signal ends them.
void ServeUntilSignalled(ApiServer& server, TenantDirectory& tenants, Log& log,
                         std::chrono::seconds drain) {
  const sigset_t signals = ServerSignals();
  int signal = 0;
  while (::sigwait(&signals, &signal) == 0 && signal == SIGHUP) tenants.Reload();
  server.Drain();
  log.Info("finishing requests; another signal ends them",
           {{"requests", static_cast<int64_t>(server.active_requests())}});
  const auto deadline = std::chrono::steady_clock::now() + drain;
  const struct timespec moment = {0, 20'000'000};
  while (server.active_requests() > 0 && std::chrono::steady_clock::now() < deadline) {
    const int again = ::sigtimedwait(&signals, nullptr, &moment);
    if (again > 0 && again != SIGHUP) break;
  }
  server.Stop(std::chrono::milliseconds(0));
}

Result<std::unique_ptr<EmbeddingModel>> OpenEncoder(const ModelOptions& options,
                                                    const std::string& asked,
                                                    const LoadOptions& load,
                                                    MetricRegistry& metrics) {
  ModelOptions named = options;
  named.model = asked;
  ASSIGN_OR_RETURN(const std::string path, named.Path());
  return LoadEmbeddingModel(path, {.passes = load.passes,
                                   .threads = load.threads,
                                   .max_step_tokens = load.max_step_tokens,
                                   .max_queued = load.max_queued,
                                   .metrics = &metrics});
}

void PrintEncoderBanner(const std::string& name, const std::string& url, size_t max_tokens,
                        bool has_keys) {
  fmt::print(
      "{} is served at {} (texts of up to {} tokens)\n\n"
      "curl {}/v1/embeddings -H 'Content-Type: application/json' {}\\\n  -d "
      "'{{\"input\":\"Hello!\"}}'\n\nCtrl-C ends it.\n",
      name, url, max_tokens, url, has_keys ? "-H \"Authorization: Bearer $PELTON_API_KEY\" " : "");
  std::fflush(stdout);
}

void PrintBanner(const std::string& name, const std::string& url, const LanguageModel& model,
                 int64_t parallel, bool has_keys) {
  fmt::print("{} is served at {} (context {} tokens, {} sequences at once)\n\n", name, url,
             model.context_tokens, parallel);
  fmt::print(
      "curl {}/v1/chat/completions -H 'Content-Type: application/json' {}\\\n  -d "
      "'{{\"messages\":[{{\"role\":\"user\",\"content\":\"Hello!\"}}],\"stream\":true}}'\n\n"
      "Ctrl-C ends it.\n",
      url, has_keys ? "-H \"Authorization: Bearer $PELTON_API_KEY\" " : "");
  std::fflush(stdout);
}

Status CheckOptions(const ServeOptions& options) {
  if (options.parallel < 1 || options.parallel > 1024) {
    return InvalidArgument(
        fmt::format("--parallel: found {}, expected 1 to 1024", options.parallel));
  }
  if (options.max_queued < 1 || options.max_queued > 1 << 20) {
    return InvalidArgument(
        fmt::format("--max-queued: found {}, expected 1 to 1048576", options.max_queued));
  }
  for (const auto& [name, value] : {std::pair("realtime-step-ms", options.realtime_step_ms),
                                    std::pair("gather-ms", options.gather_ms)}) {
    if (value < 0 || value > 60'000) {
      return InvalidArgument(fmt::format("--{}: found {}, expected 0 to 60000", name, value));
    }
  }
  return ServerOptions(options).status();
}

int Run(const ServeOptions& options) {
  if (const Status status = CheckOptions(options); !status.ok()) return Fail(status);
  if (options.model.model.empty()) {
    return Fail(InvalidArgument(
        "expected MODEL, on the command line or as \"model\" in the --config file"));
  }
  Result<ApiServerOptions> server_options = ServerOptions(options);
  if (!server_options.ok()) return Fail(server_options.status());
  const sigset_t signals = ServerSignals();
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  RaiseFileLimit();
  Result<LoadOptions> load = options.model.Load(static_cast<size_t>(options.parallel));
  if (!load.ok()) return Fail(load.status());
  load->max_queued = static_cast<size_t>(options.max_queued);
  load->policies[0].step_ns = options.realtime_step_ms * 1'000'000;
  load->gather_ns = options.gather_ms * 1'000'000;
  // An encoder alone, or a language model and perhaps an encoder beside it.
  const Result<std::string> path = options.model.Path();
  if (!path.ok()) return Fail(path.status());
  const Result<bool> alone = IsEncoder(*path);
  if (!alone.ok()) return Fail(alone.status());
  if (*alone && !options.embedding_model.empty()) {
    return Fail(InvalidArgument(*path + ": is an encoder itself; leave --embedding-model out"));
  }
  if (*alone && !options.profile.empty()) {
    return Fail(InvalidArgument("--profile: " + *path + " is an encoder, which is not recorded"));
  }
  std::unique_ptr<LanguageModel> model;
  if (!*alone) {
    Result<std::unique_ptr<LanguageModel>> loaded = options.model.Open(*load);
    if (!loaded.ok()) return Fail(loaded.status());
    model = std::move(loaded).value();
  }
  const std::string encoder_asked = *alone ? options.model.model : options.embedding_model;
  MetricRegistry own_metrics;
  MetricRegistry& metrics = model == nullptr ? own_metrics : *model->metrics;
  std::unique_ptr<EmbeddingModel> encoder;
  if (!encoder_asked.empty()) {
    Result<std::unique_ptr<EmbeddingModel>> loaded =
        OpenEncoder(options.model, encoder_asked, *load, metrics);
    if (!loaded.ok()) return Fail(loaded.status());
    encoder = std::move(loaded).value();
    server_options->encoder = {
        encoder.get(), *alone && !options.name.empty() ? options.name : NameOf(encoder_asked)};
  }
  // Its thread starts after the signals are blocked.
  Log log(options.log_format == "json" ? LogFormat::kJson : LogFormat::kText,
          LevelOf(options.log_level));
  server_options->log = &log;
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
  const std::string name = options.name.empty() ? NameOf(options.model.model) : options.name;
  std::optional<SingleModel> single;
  if (model != nullptr) {
    if (model->tokenizer == nullptr) {
      return Fail(InvalidArgument(model->files.path + ": has no tokenizer, which serving needs"));
    }
    single.emplace(*model, name);
  }
  std::optional<ModelsAndEncoder> both;
  if (encoder != nullptr) {
    both.emplace(single ? &*single : nullptr, *encoder, server_options->encoder.name);
  }
  ModelDirectory& models = both ? static_cast<ModelDirectory&>(*both) : *single;
  if (!options.profile.empty()) model->profile->Start();
  Result<std::unique_ptr<ApiServer>> server =
      ApiServer::Start(std::move(server_options).value(), models, tenants, metrics);
  if (!server.ok()) {
    Fail(server.status());
    return server.status().code() == StatusCode::kUnavailable ? kExitPortInUse : kExitUsage;
  }
  const std::string url = (*server)->url();
  if (model == nullptr) {
    PrintEncoderBanner(name, url, encoder->max_tokens, !tenants.empty());
  } else {
    PrintBanner(name, url, *model, options.parallel, !tenants.empty());
  }
  ServeUntilSignalled(**server, tenants, log, std::chrono::seconds(options.drain_seconds));
  Status written;
  if (!options.profile.empty()) {
    written = WriteProfile(*model, model->profile->Stop(), options.profile);
  }
  server->reset();
  // What still runs ends here, while those are there to whom it reports.
  encoder.reset();
  if (model != nullptr) model->engine.reset();
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
          "Serves a model at /v1/chat/completions, /v1/completions, /v1/models, /tokenize and "
          "/detokenize, an encoder at /v1/embeddings, /v1/rerank and /v1/score, and /health, "
          "/ready, /version and /metrics for operators. It listens on "
          "this machine only unless --host says otherwise, which needs a key. SIGTERM or Ctrl-C "
          "refuses new requests and finishes those in progress."};
  options->model.AddModel(&command.options);
  command.options.front().required = false;  // a file may name it
  command.configuration = std::make_shared<Configuration>();
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
      &options->name);
  add("--embedding-model", "MODEL", "an encoder beside the model, for embeddings; minilm is one",
      "model", &options->embedding_model);
  options->model.AddPlan(&command.options);
  options->model.AddRuntime(&command.options);
  add("--parallel,--max-num-seqs", "N", "sequences in one step [32]", "resources",
      &options->parallel);
  add("--max-queued,--max-num-queued-reqs", "N", "requests that wait; more get status 503 [1024]",
      "resources", &options->max_queued);
  add("--realtime-step-ms", "N", "step time that requests of class realtime are promised [25]",
      "resources", &options->realtime_step_ms);
  add("--gather-ms", "N", "how long an idle engine waits for more requests to start with [0]",
      "resources", &options->gather_ms);
  add("--drain-seconds", "N", "time to finish answers after a signal [30]", "resources",
      &options->drain_seconds);
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
  command.configured = command.options;
  add("--config", "FILE",
      "YAML, or TOML as .toml, with these options by their long names; the command line and the "
      "environment go first",
      "configuration", &command.configuration->path);
  command.check = [options] { return CheckOptions(*options); };
  command.run = [options] { return Run(*options); };
  command.storage = options;
  return command;
}

}  // namespace pelton
