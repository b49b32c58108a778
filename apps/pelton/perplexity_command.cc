#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/mapped_file.h"
#include "batch_file.h"
#include "command.h"
#include "model_options.h"

namespace pelton {
namespace {

struct PerplexityOptions {
  ModelOptions model;
  std::string file;
  int64_t window = 512;
  int64_t parallel = 4;
  bool json = false;
};

int Run(const PerplexityOptions& options) {
  if (options.window < 2 || options.window > 1 << 20) {
    return Fail(
        InvalidArgument(fmt::format("--window: found {}, expected 2 to 1048576", options.window)));
  }
  const auto window = static_cast<size_t>(options.window);
  Result<LoadOptions> load = options.model.Load(static_cast<size_t>(options.parallel));
  if (!load.ok()) return Fail(load.status());
  if (load->context_tokens == 0) load->context_tokens = window + 1;
  if (load->kv_tokens == 0) {
    load->kv_tokens = load->max_sequences * (load->context_tokens + 32);
  }
  load->prefix_cache = false;
  // Every row's logits are wanted.
  load->max_logit_rows = std::min<size_t>(load->max_step_tokens, 128);
  const Result<MappedFile> file = MappedFile::Open(options.file);
  if (!file.ok()) return Fail(file.status());
  const Result<std::unique_ptr<LanguageModel>> loaded = options.model.Open(*load);
  if (!loaded.ok()) return Fail(loaded.status());
  const LanguageModel& model = **loaded;
  if (model.tokenizer == nullptr) return Fail(InvalidArgument("the model has no tokenizer"));
  const std::string_view text(reinterpret_cast<const char*>(file->bytes().data()),
                              file->bytes().size());
  const std::vector<int32_t> ids = model.tokenizer->Encode(text, {.parse_special = false});

  std::vector<PromptRequest> requests;
  for (size_t begin = 0; begin + 2 <= ids.size(); begin += window) {
    PromptRequest& request = requests.emplace_back();
    const size_t end = std::min(ids.size(), begin + window);
    request.prompt_ids.assign(ids.begin() + static_cast<std::ptrdiff_t>(begin),
                              ids.begin() + static_cast<std::ptrdiff_t>(end));
    request.params.max_tokens = 0;
    request.params.prompt_logprobs = 0;
  }
  if (requests.empty()) {
    return Fail(InvalidArgument(
        fmt::format("{}: found {} tokens, expected at least 2", options.file, ids.size())));
  }
  double nll = 0;
  size_t predicted = 0;
  for (const RequestResult& result : RunRequests(model, requests)) {
    if (!result.status.ok()) return Fail(result.status);
    for (const TokenRecord& token : result.prompt) nll -= token.logprob;
    predicted += result.prompt.size();
  }
  const double mean = nll / static_cast<double>(predicted);
  if (options.json) {
    fmt::print("{}\n", nlohmann::ordered_json{{"perplexity", std::exp(mean)},
                                              {"mean_nll", mean},
                                              {"tokens", ids.size()},
                                              {"predicted", predicted},
                                              {"windows", requests.size()},
                                              {"window", window}}
                           .dump());
  } else {
    fmt::print("perplexity {:.4f} over {} tokens in {} windows of {}\n", std::exp(mean), predicted,
               requests.size(), window);
  }
  return kExitOk;
}

}  // namespace

Command PerplexityCommand() {
  auto options = std::make_shared<PerplexityOptions>();
  Command command{.name = "perplexity",
                  .summary = "how well a model predicts a text",
                  .description =
                      "Splits the tokens of FILE into independent windows and prints "
                      "exp(mean negative log-probability) of each token given those before it in "
                      "its window; the first token of a window is not predicted, no BOS is added."};
  options->model.AddModel(&command.options);
  command.options.push_back({.names = "file",
                             .value = "FILE",
                             .help = "the text",
                             .group = "arguments",
                             .target = &options->file,
                             .required = true});
  command.options.push_back({.names = "--window",
                             .value = "TOKENS",
                             .help = "length of a window [512]",
                             .group = "measurement",
                             .target = &options->window});
  command.options.push_back({.names = "--json",
                             .value = "",
                             .help = "print JSON",
                             .group = "output",
                             .target = &options->json});
  options->model.AddPlan(&command.options);
  options->model.AddRuntime(&command.options);
  command.run = [options] { return Run(*options); };
  command.storage = options;
  return command;
}

}  // namespace pelton
