// null_server MODEL [PORT]: everything of `pelton serve` but the forward pass. A step costs nothing
// and the next token is always the same, so what remains is HTTP, JSON, template, tokenizer,
// scheduling, sampling, detokenizing and the event stream: the load that one core of them bears.
#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "serving/http/api_server.h"
#include "serving/model/language_model.h"

namespace pelton {
namespace {

// The vocabulary's beginning, where byte-pair encoding has the usual words. The sampler reads a row
// of so many logits for each token; the prompts of the load are made of words below it.
constexpr size_t kVocab = 16384;
constexpr size_t kBlockTokens = 32;
constexpr StepLimits kLimits = {
    .max_tokens = 65536, .max_sequences = 128, .max_logit_rows = 128, .max_context = 2048};

class NullExecutor final : public StepExecutor {
 public:
  explicit NullExecutor(int32_t token) : logits_(kLimits.max_logit_rows * kVocab) {
    for (size_t row = 0; row < kLimits.max_logit_rows; ++row) {
      logits_[row * kVocab + static_cast<size_t>(token)] = 20;
    }
  }
  const StepLimits& limits() const override { return kLimits; }
  size_t vocab_size() const override { return kVocab; }
  std::span<float> Run(const StepBatch& batch) override {
    return std::span(logits_).first(batch.logit_rows.size() * kVocab);
  }

 private:
  std::vector<float> logits_;
};

Status Serve(const std::string& path, uint16_t port) {
  ASSIGN_OR_RETURN(ModelFiles files, OpenModel(path));
  LanguageModel model(std::move(files));
  RETURN_IF_ERROR(LoadTextSide(&model));
  if (model.tokenizer == nullptr) return InvalidArgument(path + ": found no tokenizer");
  const std::vector<int32_t> ids = model.tokenizer->Encode(" time", {});
  if (ids.size() != 1 || static_cast<size_t>(ids[0]) >= kVocab) {
    return InvalidArgument(path + ": expected \" time\" as one of the first tokens");
  }
  model.metrics = std::make_unique<MetricRegistry>();
  model.context_tokens = kLimits.max_context;
  KvCacheView geometry{};
  geometry.dtype = KvDType::kF16;
  geometry.layers = geometry.kv_heads = geometry.head_dim = 1;
  geometry.block_tokens = kBlockTokens;
  const EngineOptions options{.kv_blocks =
                                  kLimits.max_sequences * kLimits.max_context / kBlockTokens};
  const auto make_executor = [&](const KvCacheView&) -> Result<std::unique_ptr<StepExecutor>> {
    return std::unique_ptr<StepExecutor>(std::make_unique<NullExecutor>(ids[0]));
  };
  ASSIGN_OR_RETURN(model.engine,
                   Engine::Create(options, geometry, make_executor, model.clock, *model.metrics));
  ApiServerOptions server_options;
  server_options.http.port = port;
  server_options.model_name = "null";
  ASSIGN_OR_RETURN(const std::unique_ptr<ApiServer> server,
                   ApiServer::Start(std::move(server_options), model));
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
