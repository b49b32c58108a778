#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/status.h"
#include "configuration.h"

namespace pelton {

// One option of a command. The same table makes the parser, --help, the shell completion, the man
// page and the reference in docs/.
struct Option {
  std::string names;  // "-c,--ctx,--ctx-size"; a positional argument has a bare name: "model"
  std::string value;  // what the value is called, "TOKENS"; empty for a switch
  std::string help;   // one sentence without a full stop; the default in brackets where useful
  std::string group;  // heading in the help
  std::variant<bool*, int64_t*, double*, std::string*, std::vector<std::string>*> target;
  std::vector<std::string> choices = {};  // the values that it may have; empty: any
  bool required = false;                  // positional arguments only

  bool positional() const { return names[0] != '-'; }
  // The first long name without dashes, "ctx"; the name itself for a positional argument.
  std::string LongName() const;
  // The environment variable that sets it: "PELTON_CTX". Empty for positional arguments.
  std::string EnvironmentName() const;
};

// A verb of the command line.
struct Command {
  std::string name;
  std::string summary;      // one line
  std::string description;  // what the man page says, a few sentences
  std::vector<Option> options;
  // Long names of the options that --help shows; --help=all shows all. Empty: all.
  std::vector<std::string> everyday = {};
  // Runs it with the options' targets filled in; the exit code (docs/commands.md lists them).
  std::function<int()> run;
  // Keeps the options' targets alive.
  std::shared_ptr<void> storage = {};
  // The file that gives values to options that neither the command line nor the environment gives;
  // null: the command takes none.
  std::shared_ptr<Configuration> configuration = nullptr;
  // The options that such a file may set.
  std::vector<Option> configured = {};
  // Whether the options make sense together.
  std::function<Status()> check = {};
};

// Every verb, in the order of --help.
const std::vector<Command>& Commands();

// Exit codes that scripts can rely on.
enum ExitCode : int {
  kExitOk = 0,
  kExitFailure = 1,
  kExitUsage = 2,
  kExitBadModel = 3,
  kExitNoMemory = 4,
  kExitPortInUse = 5,
  kExitInterrupted = 130,
};

// Prints "pelton: MESSAGE" on stderr and gives the exit code for the status.
int Fail(const Status& status);

// The constructors of the verbs, one file each.
Command RunCommand();
Command ServeCommand();
Command BenchCommand();
Command ProfileCommand();
Command PerplexityCommand();
Command EmbedCommand();
Command TokenizeCommand();
Command RenderCommand();
Command ParseCommand();
Command InspectCommand();
Command ListCommand();
Command PullCommand();
Command KeysCommand();
Command ConfigCommand();
Command DoctorCommand();
Command TuneCommand();
Command CompletionCommand();

}  // namespace pelton
