#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "command.h"
#include "configuration.h"

namespace pelton {
namespace {

struct ConfigOptions {
  std::string action;
  bool json = false;
};

int Run(const ConfigOptions& options, const Configuration& configuration,
        const std::vector<Option>& serve) {
  if (options.action == "check") {
    if (configuration.path.empty()) return Fail(InvalidArgument("config check: expected FILE"));
    fmt::print("{}: {} values are in order\n", configuration.path,
               configuration.tree.members.size());
    return kExitOk;
  }
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  for (const Option& option : serve) {
    const std::string name = option.LongName();
    const auto found = configuration.sources.find(name);
    const std::string source(ValueSourceName(
        found == configuration.sources.end() ? ValueSource::kDefault : found->second));
    if (options.json) {
      json[name] = {{"value", ValueText(option)}, {"from", source}};
    } else {
      fmt::print("{:<40} # {}\n", name + ": " + ValueText(option), source);
    }
  }
  if (options.json) fmt::print("{}\n", json.dump(2));
  return kExitOk;
}

}  // namespace

Command ConfigCommand() {
  auto options = std::make_shared<ConfigOptions>();
  auto serve = std::make_shared<Command>(ServeCommand());
  Command command{
      .name = "config",
      .summary = "check a configuration file of serve, or show what it comes to",
      .description =
          "check says whether FILE is in order; show prints every option of `pelton serve` with "
          "its "
          "value and where that came from: command line, environment, file or default. FILE is "
          "YAML, or TOML if its name ends in .toml, with the long names of serve's options."};
  command.options.push_back({.names = "action",
                             .value = "ACTION",
                             .help = "what to do",
                             .group = "arguments",
                             .target = &options->action,
                             .choices = {"check", "show"},
                             .required = true});
  command.options.push_back({.names = "file",
                             .value = "FILE",
                             .help = "the configuration",
                             .group = "arguments",
                             .target = &serve->configuration->path});
  command.options.push_back({.names = "--json",
                             .value = "",
                             .help = "print JSON",
                             .group = "output",
                             .target = &options->json});
  std::vector<Option> shown;
  for (const Option& option : serve->options) {
    if (option.LongName() == "config") continue;
    shown.push_back(option);
    if (!option.positional()) command.options.push_back(option);
  }
  command.configuration = serve->configuration;
  command.configured = shown;
  command.run = [options, serve, shown] {
    if (const Status status = serve->check(); !status.ok()) return Fail(status);
    return Run(*options, *serve->configuration, shown);
  };
  command.storage = serve;
  return command;
}

}  // namespace pelton
