#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/status.h"
#include "net/http/server.h"
#include "serving/batch/batch_service.h"
#include "serving/generate/served_model.h"
#include "serving/ollama/store_routes.h"
#include "serving/responses/response_store.h"
#include "serving/tenant/audit_log.h"
#include "serving/tenant/tenant_directory.h"
#include "serving/trace/span_exporter.h"

namespace pelton {

struct ApiServerOptions {
  HttpServerOptions http;
  std::string version;        // of the program
  bool vllm_metrics = false;  // also in vLLM's names and buckets
  size_t intake_threads = 1;  // that read requests
  size_t max_queued = 1024;   // requests that wait to be read
  size_t max_queued_bytes = 256 << 20;
  // Of web pages that may use the server from a browser, as "https://host:port"; "*": any.
  std::vector<std::string> origins;
  ResponseStoreLimits stored_responses;
  BatchOptions batches;       // without a folder there are none
  Log* log = nullptr;         // borrowed; requests are logged there, but for those of probes
  AuditLog* audit = nullptr;  // borrowed; who asked for what
  std::shared_ptr<SpanExporter> spans = nullptr;  // of requests; may be none
  StoreAccess store;                              // what clients may change of the models on disk
};

// Serves models over HTTP: OpenAI's interface and what operators need. Routes that are not in
// the table do not exist, and all but those of operation need a key where there are tenants.
class ApiServer {
 public:
  // Borrows models, tenants and metrics. InvalidArgument if the address is not loopback and there
  // is no key, or an origin is none, or any may come and there is no key; else as
  // BatchService::Open and HttpServer::Start.
  static Result<std::unique_ptr<ApiServer>> Start(ApiServerOptions options, ModelDirectory& models,
                                                  const TenantDirectory& tenants,
                                                  MetricRegistry& metrics);
  ~ApiServer();

  std::string url() const;

  // Refuses new work from here on, and /ready says so; answers in progress go on, but not batches,
  // which a later server goes on with.
  void Drain();
  // Drains, accepts no connection, waits up to `grace` for answers in progress and ends.
  void Stop(std::chrono::milliseconds grace);
  size_t active_requests() const;

 private:
  struct Impl;
  explicit ApiServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace pelton
