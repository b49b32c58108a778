#include "command.h"

#include <algorithm>
#include <cstdio>

namespace pelton {

std::string Option::LongName() const {
  if (positional()) return names;
  const size_t dashes = names.find("--");
  const size_t begin = dashes + 2;
  return names.substr(begin, names.find(',', begin) - begin);
}

std::string Option::EnvironmentName() const {
  if (positional()) return {};
  std::string name = "PELTON_" + LongName();
  for (char& c : name) {
    if (c == '-') c = '_';
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return name;
}

const std::vector<Command>& Commands() {
  static const std::vector<Command> commands = [] {
    std::vector<Command> all;
    all.push_back(RunCommand());
    all.push_back(ServeCommand());
    all.push_back(BenchCommand());
    all.push_back(ProfileCommand());
    all.push_back(PerplexityCommand());
    all.push_back(EmbedCommand());
    all.push_back(TokenizeCommand());
    all.push_back(RenderCommand());
    all.push_back(ParseCommand());
    all.push_back(InspectCommand());
    all.push_back(ListCommand());
    all.push_back(PullCommand());
    all.push_back(KeysCommand());
    all.push_back(ConfigCommand());
    all.push_back(DoctorCommand());
    all.push_back(TuneCommand());
    all.push_back(CompletionCommand());
    return all;
  }();
  return commands;
}

int Fail(const Status& status) {
  std::fprintf(stderr, "pelton: %s\n", status.message().c_str());
  switch (status.code()) {
    case StatusCode::kOk:
      return kExitOk;
    case StatusCode::kInvalidArgument:
    case StatusCode::kNotFound:
      return kExitUsage;
    case StatusCode::kDataLoss:
    case StatusCode::kUnimplemented:
      return kExitBadModel;
    case StatusCode::kResourceExhausted:
      return kExitNoMemory;
    case StatusCode::kCancelled:
      return kExitInterrupted;
    case StatusCode::kUnavailable:
    case StatusCode::kDeadlineExceeded:
    case StatusCode::kInternal:
      return kExitFailure;
  }
  return kExitFailure;
}

}  // namespace pelton
