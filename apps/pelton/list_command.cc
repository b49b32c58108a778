#include <fmt/format.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "command.h"
#include "model_options.h"
#include "serving/model/model_store.h"

namespace pelton {
namespace {

struct ListOptions {
  std::string models_folder = DefaultModelsFolder();
  bool json = false;
};

int Run(const ListOptions& options) {
  const std::vector<StoredModel> models = ListStore(options.models_folder);
  if (options.json) {
    nlohmann::ordered_json out = nlohmann::ordered_json::array();
    for (const StoredModel& model : models) {
      out.push_back({{"name", model.name}, {"path", model.path}, {"bytes", model.bytes}});
    }
    fmt::print("{}\n", out.dump(2));
    return kExitOk;
  }
  if (models.empty()) {
    fmt::print("No models in {}. Try: pelton pull {}\n", options.models_folder, kDefaultModelName);
    return kExitOk;
  }
  size_t width = 4;
  for (const StoredModel& model : models) width = std::max(width, model.name.size());
  fmt::print("{:<{}}  {:>9}  {}\n", "NAME", width, "SIZE", "PATH");
  for (const StoredModel& model : models) {
    fmt::print("{:<{}}  {:>6.0f} MB  {}\n", model.name, width,
               static_cast<double>(model.bytes) / 1e6, model.path);
  }
  return kExitOk;
}

}  // namespace

Command ListCommand() {
  auto options = std::make_shared<ListOptions>();
  Command command{.name = "list",
                  .summary = "models in the local store",
                  .description = "Lists the models that can be named on the command line."};
  command.options.push_back({.names = "--models",
                             .value = "FOLDER",
                             .help = "where models are kept [$XDG_CACHE_HOME/pelton/models]",
                             .group = "model",
                             .target = &options->models_folder});
  command.options.push_back({.names = "--json",
                             .value = "",
                             .help = "print JSON",
                             .group = "output",
                             .target = &options->json});
  command.run = [options] { return Run(*options); };
  command.storage = options;
  return command;
}

}  // namespace pelton
