// null_server MODEL [PORT]: everything of `pelton serve` but the engine, in whose place a loop
// gives every request the same token again and again. What remains is HTTP, JSON, template,
// tokenizer, detokenizer, parser and event stream: what the front end costs.
#include <fmt/format.h>
#include <signal.h>

#include <charconv>
#include <cstring>
#include <string_view>
#include <vector>

#include "null_engine.h"
#include "one_model.h"
#include "serving/http/api_server.h"
#include "serving/model/language_model.h"

namespace pelton {
namespace {

Status Serve(const std::string& path, uint16_t port) {
  ASSIGN_OR_RETURN(ModelFiles files, OpenModel(path));
  MetricRegistry metrics;
  LanguageModel model(std::move(files));
  RETURN_IF_ERROR(LoadTextSide(&model));
  if (model.tokenizer == nullptr) return InvalidArgument(path + ": found no tokenizer");
  const std::vector<int32_t> ids = model.tokenizer->Encode(" time", {});
  if (ids.empty()) return InvalidArgument(path + ": its vocabulary knows no word");
  model.metrics = &metrics;
  model.context_tokens = 4096;
  model.engine = std::make_unique<NullEngine>(ids[0]);
  ASSIGN_OR_RETURN(ModelFacts facts, ReadModelFacts(path));
  OneModel models(model, std::move(facts), "null");
  const TenantDirectory tenants(metrics);
  ApiServerOptions server_options;
  server_options.http.port = port;
  ASSIGN_OR_RETURN(const std::unique_ptr<ApiServer> server,
                   ApiServer::Start(std::move(server_options), models, tenants, metrics));
  fmt::print("{}\n", server->url());
  std::fflush(stdout);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  int signal = 0;
  ::sigwait(&signals, &signal);
  server->Stop(std::chrono::milliseconds(0));
  return OkStatus();
}

}  // namespace
}  // namespace pelton

int main(int argc, char** argv) {
  uint16_t port = 0;
  const bool port_ok =
      argc < 3 || std::from_chars(argv[2], argv[2] + std::strlen(argv[2]), port).ec == std::errc();
  if (argc < 2 || argc > 3 || !port_ok) {
    fmt::print(stderr, "usage: null_server MODEL [PORT]\n");
    return 2;
  }
  // Before any thread: they inherit it, and only main waits for the signals.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  const pelton::Status status = pelton::Serve(argv[1], port);
  if (status.ok()) return 0;
  fmt::print(stderr, "null_server: {}\n", status.message());
  return 1;
}
