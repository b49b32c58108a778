#include "parse.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <map>

#include "base/nearest.h"

namespace pelton {
namespace {

constexpr const char* kVersion = PELTON_VERSION;

CLI::Option* AddOption(CLI::App* app, const Option& option) {
  CLI::Option* added = std::visit(
      [&](auto* target) -> CLI::Option* {
        using Target = std::remove_pointer_t<decltype(target)>;
        if constexpr (std::is_same_v<Target, bool>) {
          return app->add_flag(option.names, *target, option.help);
        } else {
          return app->add_option(option.names, *target, option.help);
        }
      },
      option.target);
  // One value for each time that a list option is given, so that it cannot swallow the prompt.
  if (std::holds_alternative<std::vector<std::string>*>(option.target) && !option.positional()) {
    added->expected(1)->take_all()->allow_extra_args(false);
  }
  if (!std::holds_alternative<std::vector<std::string>*>(option.target) && !option.positional()) {
    added->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  }
  if (!option.choices.empty()) added->check(CLI::IsMember(option.choices));
  if (option.required) added->required();
  if (!option.positional()) added->envname(option.EnvironmentName())->ignore_underscore();
  return added;
}

std::string Capitalized(std::string text) {
  if (!text.empty() && text[0] >= 'a' && text[0] <= 'z') {
    text[0] = static_cast<char>(text[0] - 'a' + 'A');
  }
  return text;
}

constexpr size_t kHelpWidth = 100;
constexpr size_t kHelpColumn = 33;

// The text in lines of kHelpWidth, all but the first after `indent` blanks.
std::string Wrapped(std::string_view text, size_t indent) {
  std::string lines;
  for (size_t room = kHelpWidth - indent; text.size() > room;) {
    const size_t blank = std::min(text.rfind(' ', room), text.find(' ', room));
    if (blank == std::string_view::npos) break;
    lines += fmt::format("{}\n{:<{}}", text.substr(0, blank), "", indent);
    text.remove_prefix(blank + 1);
  }
  return lines.append(text) + "\n";
}

std::string LeftOf(const Option& option) {
  if (option.positional()) return option.value;
  return option.names + (option.value.empty() ? "" : " " + option.value);
}

std::string HelpOf(const Option& option) {
  if (option.choices.empty()) return option.help;
  return fmt::format("{} ({})", option.help, fmt::join(option.choices, ", "));
}

bool Wanted(const Command& command, const Option& option, std::string_view filter) {
  if (filter == "all") return true;
  if (filter.empty()) {
    return command.everyday.empty() || option.positional() ||
           std::ranges::find(command.everyday, option.LongName()) != command.everyday.end();
  }
  return LeftOf(option).find(filter) != std::string::npos ||
         HelpOf(option).find(filter) != std::string::npos ||
         option.group.find(filter) != std::string::npos;
}

std::string OptionLines(const Option& option) {
  const std::string left = LeftOf(option);
  const std::string help = Wrapped(HelpOf(option), kHelpColumn);
  if (left.size() + 3 <= kHelpColumn)
    return fmt::format("  {:<{}} {}", left, kHelpColumn - 3, help);
  return fmt::format("  {}\n{:<{}}{}", left, "", kHelpColumn, help);
}

// The verb meant by an unknown word, as a question; else nothing.
std::string Suggestion(std::string_view word) {
  std::vector<std::string> names;
  for (const Command& command : Commands()) names.push_back(command.name);
  const std::string nearest = Nearest(word, names);
  return nearest.empty() ? std::string() : fmt::format("; did you mean \"{}\"?", nearest);
}

using ParsedOptions = std::map<std::string, CLI::Option*>;  // by Option::LongName

// Sets what neither the command line nor the environment did from the command's file.
Status Configure(const Command& command, const CLI::App& app, const ParsedOptions& parsed) {
  Configuration& configuration = *command.configuration;
  const std::vector<CLI::Option*>& on_line = app.parse_order();
  for (const Option& option : command.configured) {
    const auto found = parsed.find(option.LongName());
    if (found == parsed.end() || found->second->count() == 0) continue;
    const bool line = std::find(on_line.begin(), on_line.end(), found->second) != on_line.end();
    configuration.sources[option.LongName()] =
        line ? ValueSource::kCommandLine : ValueSource::kEnvironment;
  }
  if (configuration.path.empty()) return OkStatus();
  ASSIGN_OR_RETURN(configuration.tree, ReadConfigFile(configuration.path));
  return SetOptions(
      configuration, command.configured, configuration.tree, [&](const Option& option) {
        const bool fresh =
            configuration.sources.emplace(option.LongName(), ValueSource::kFile).second;
        return !fresh;
      });
}

int RunVerb(const Command& command, int argc, char** argv) {
  CLI::App app(command.summary, "pelton " + command.name);
  app.set_help_flag();  // ours has a filter
  std::string help;
  CLI::Option* help_option = app.add_option("-h,--help", help)->expected(0, 1);
  ParsedOptions parsed;
  for (const Option& option : command.options) {
    parsed[option.LongName()] = AddOption(&app, option);
  }
  try {
    // Help is wanted even where something required is missing.
    for (int i = 1; i < argc; ++i) {
      const std::string_view word = argv[i];
      if (word == "--") break;
      if (word == "-h" || word == "--help" || word.rfind("--help=", 0) == 0) {
        const std::string filter(word.size() > 7 ? word.substr(7) : "");
        std::fputs(HelpText(command, filter).c_str(), stdout);
        return kExitOk;
      }
    }
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::fprintf(stderr, "pelton %s: %s (pelton %s --help lists the options)\n",
                 command.name.c_str(), error.what(), command.name.c_str());
    return kExitUsage;
  }
  (void)help_option;
  if (command.configuration != nullptr) {
    if (const Status status = Configure(command, app, parsed); !status.ok()) return Fail(status);
  }
  return command.run();
}

}  // namespace

std::string OverviewText() {
  std::string text =
      "Pelton runs language models.\n\nUsage: pelton COMMAND [OPTIONS]\n\nCommands:\n";
  for (const Command& command : Commands()) {
    text += fmt::format("  {:<12} {}\n", command.name, command.summary);
  }
  return text +
         "\nTry: pelton run smollm2 \"What is the capital of France?\"\n"
         "pelton COMMAND --help describes a command; pelton --version prints the version.\n";
}

std::string HelpText(const Command& command, std::string_view filter) {
  std::string usage = "pelton " + command.name;
  for (const Option& option : command.options) {
    if (!option.positional()) continue;
    std::string name = option.value;
    usage += option.required ? " " + name : " [" + name + "]";
  }
  std::string text = Wrapped(command.description, 0);
  text += fmt::format("\nUsage: {} [OPTIONS]\n", usage);
  std::vector<std::string> groups;
  std::map<std::string, std::string> lines;  // by group
  size_t shown = 0;
  for (const Option& option : command.options) {
    if (!Wanted(command, option, filter)) continue;
    ++shown;
    if (!lines.contains(option.group)) groups.push_back(option.group);
    lines[option.group] += OptionLines(option);
  }
  for (const std::string& group : groups) {
    text += fmt::format("\n{}:\n{}", Capitalized(group), lines[group]);
  }
  text += "\nEvery option may be set by an environment variable: --ctx is PELTON_CTX, and so on.\n";
  if (shown < command.options.size()) {
    text += fmt::format("--help=all shows all {} options, ", command.options.size());
    return text + "--help=WORD those that mention a word.\n";
  }
  return text + "--help=WORD shows the options that mention a word.\n";
}

int ParseAndRun(int argc, char** argv) {
  if (argc < 2) {
    std::fputs(OverviewText().c_str(), stderr);
    return kExitUsage;
  }
  const std::string_view verb = argv[1];
  if (verb == "--help" || verb == "-h" || verb == "help") {
    std::fputs(OverviewText().c_str(), stdout);
    return kExitOk;
  }
  if (verb == "--version" || verb == "version") {
    std::printf("pelton %s\n", kVersion);
    return kExitOk;
  }
  for (const Command& command : Commands()) {
    if (command.name == verb) return RunVerb(command, argc - 1, argv + 1);
  }
  std::fprintf(stderr, "pelton: unknown command \"%s\"%s\n", argv[1], Suggestion(verb).c_str());
  return kExitUsage;
}

}  // namespace pelton
