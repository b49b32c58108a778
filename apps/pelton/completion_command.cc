#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "command.h"

namespace pelton {
namespace {

struct CompletionOptions {
  std::string shell;
};

// The names of an option one by one: "-c", "--ctx".
std::vector<std::string> NamesOf(const Option& option) {
  std::vector<std::string> names;
  std::string_view left = option.names;
  while (!left.empty()) {
    const std::string_view name = left.substr(0, left.find(','));
    left.remove_prefix(std::min(left.size(), name.size() + 1));
    names.emplace_back(name);
  }
  return names;
}

std::string AllNames(const Command& command) {
  std::string names = "--help";
  for (const Option& option : command.options) {
    if (option.positional()) continue;
    for (const std::string& name : NamesOf(option)) names += " " + name;
  }
  return names;
}

std::string Bash() {
  std::string verbs, cases;
  for (const Command& command : Commands()) {
    verbs += command.name + " ";
    std::string choices;
    for (const Option& option : command.options) {
      if (option.choices.empty() || option.positional()) continue;
      choices +=
          fmt::format("        {}) COMPREPLY=($(compgen -W \"{}\" -- \"$word\")); return ;;\n",
                      fmt::join(NamesOf(option), "|"), fmt::join(option.choices, " "));
    }
    cases += fmt::format("    {})\n", command.name);
    if (!choices.empty()) cases += "      case \"$previous\" in\n" + choices + "      esac\n";
    cases += fmt::format("      options=\"{}\" ;;\n", AllNames(command));
  }
  return fmt::format(R"(# bash completion for pelton; source it, or put it in
# ~/.local/share/bash-completion/completions/pelton
_pelton() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" previous="${{COMP_WORDS[COMP_CWORD-1]}}" options=""
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "{}" -- "$word"))
    return
  fi
  case "${{COMP_WORDS[1]}}" in
{}  esac
  if [[ "$word" == -* ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$word"))
  else
    COMPREPLY=($(compgen -f -- "$word"))
  fi
}}
complete -o filenames -F _pelton pelton
)",
                     verbs, cases);
}

// Text for single quotes in zsh and fish.
std::string Quoted(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '\'') {
      out += "'\\''";
    } else if (c == '[' || c == ']' || c == ':') {
      out += fmt::format("\\{}", c);
    } else {
      out += c;
    }
  }
  return out;
}

std::string Zsh() {
  std::string verbs, cases;
  for (const Command& command : Commands()) {
    verbs += fmt::format("    '{}:{}'\n", command.name, Quoted(command.summary));
    cases += fmt::format("    {})\n      _arguments \\\n", command.name);
    for (const Option& option : command.options) {
      if (option.positional()) continue;
      for (const std::string& name : NamesOf(option)) {
        std::string value;
        if (!option.choices.empty()) {
          value = fmt::format(":{}:({})", Quoted(option.value), fmt::join(option.choices, " "));
        } else if (!option.value.empty()) {
          value = fmt::format(":{}:_files", Quoted(option.value));
        }
        cases += fmt::format("        '{}[{}]{}' \\\n", name, Quoted(option.help), value);
      }
    }
    cases += "        '*:file:_files' ;;\n";
  }
  return fmt::format(R"(#compdef pelton
_pelton() {{
  local -a verbs=(
{}  )
  if (( CURRENT == 2 )); then
    _describe 'command' verbs
    return
  fi
  local verb=$words[2]
  shift words
  (( CURRENT-- ))
  case $verb in
{}  esac
}}
_pelton "$@"
)",
                     verbs, cases);
}

std::string Fish() {
  std::string text = "complete -c pelton -f\n";
  for (const Command& command : Commands()) {
    std::string summary;
    for (char c : command.summary) summary += c == '\'' ? std::string("\\'") : std::string(1, c);
    text += fmt::format("complete -c pelton -n __fish_use_subcommand -a {} -d '{}'\n", command.name,
                        summary);
    for (const Option& option : command.options) {
      if (option.positional()) continue;
      std::string names;
      for (const std::string& name : NamesOf(option)) {
        names += name.rfind("--", 0) == 0 ? " -l " + name.substr(2) : " -s " + name.substr(1);
      }
      std::string value;
      if (!option.choices.empty()) {
        value = fmt::format(" -x -a '{}'", fmt::join(option.choices, " "));
      } else if (!option.value.empty()) {
        value = " -r -F";
      }
      std::string help;
      for (char c : option.help) help += c == '\'' ? std::string("\\'") : std::string(1, c);
      text += fmt::format("complete -c pelton -n '__fish_seen_subcommand_from {}'{}{} -d '{}'\n",
                          command.name, names, value, help);
    }
  }
  return text;
}

std::string Roff(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else {
      out += c;
    }
  }
  return out;
}

std::string ManPage() {
  std::string text =
      ".TH PELTON 1\n.SH NAME\npelton \\- run language models\n.SH SYNOPSIS\n"
      ".B pelton\n.I COMMAND\n.RI [ OPTIONS ]\n.SH COMMANDS\n";
  for (const Command& command : Commands()) {
    text += fmt::format(".SS {}\n{}\n", Roff(command.name), Roff(command.description));
    for (const Option& option : command.options) {
      text +=
          fmt::format(".TP\n.B {}\n{}\n",
                      Roff(option.positional()
                               ? option.value
                               : option.names + (option.value.empty() ? "" : " " + option.value)),
                      Roff(option.help));
    }
  }
  return text +
         ".SH ENVIRONMENT\nEvery option can be set by a variable: \\-\\-ctx is PELTON_CTX.\n"
         "PELTON_MAX_ISA lowers the instruction set: generic, avx2, avx512 or best.\n"
         ".SH EXIT STATUS\n0 ok, 1 failure, 2 wrong usage, 3 invalid model, 4 not enough memory, "
         "5 port in use, 130 interrupted.\n";
}

std::string Markdown() {
  std::string text =
      "# Commands\n\nGenerated by `pelton completion docs`. Every option can be set by the "
      "environment variable beside it; the command line wins.\n\nExit codes: 0 ok, 1 failure, 2 "
      "wrong usage, 3 invalid model, 4 not enough memory, 5 port in use, 130 "
      "interrupted.\n";
  for (const Command& command : Commands()) {
    text += fmt::format("\n## pelton {}\n\n{}\n\n| option | environment | |\n|---|---|---|\n",
                        command.name, command.description);
    for (const Option& option : command.options) {
      std::string help = option.help;
      if (!option.choices.empty()) help += fmt::format(" ({})", fmt::join(option.choices, ", "));
      text += fmt::format("| `{}` | {} | {} |\n",
                          option.positional()
                              ? option.value
                              : option.names + (option.value.empty() ? "" : " " + option.value),
                          option.positional() ? "" : "`" + option.EnvironmentName() + "`", help);
    }
  }
  return text;
}

int Run(const CompletionOptions& options) {
  const std::string text = options.shell == "bash"   ? Bash()
                           : options.shell == "zsh"  ? Zsh()
                           : options.shell == "fish" ? Fish()
                           : options.shell == "man"  ? ManPage()
                                                     : Markdown();
  std::fputs(text.c_str(), stdout);
  return kExitOk;
}

}  // namespace

Command CompletionCommand() {
  auto options = std::make_shared<CompletionOptions>();
  Command command{.name = "completion",
                  .summary = "shell completion, man page, reference",
                  .description =
                      "Prints the completion script of a shell, the man page (man) or the "
                      "reference in Markdown (docs), all made from the same table of options."};
  command.options.push_back({.names = "shell",
                             .value = "SHELL",
                             .help = "what to print",
                             .group = "arguments",
                             .target = &options->shell,
                             .choices = {"bash", "zsh", "fish", "man", "docs"},
                             .required = true});
  command.run = [options] { return Run(*options); };
  command.storage = options;
  return command;
}

}  // namespace pelton
