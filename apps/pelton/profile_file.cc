#include "profile_file.h"

#include <fmt/format.h>

#include <cstdio>
#include <fstream>

#include "runtime/profile/chrome_trace.h"

namespace pelton {

Status WriteProfile(const LanguageModel& model, const ProfileRecord& record,
                    const std::string& path) {
  const std::vector<std::string> labels = model.executor->OpLabels();
  std::ofstream file(path, std::ios::binary);
  file << ChromeTrace(record, labels);
  file.close();
  if (!file) return InvalidArgument(path + ": cannot be written");
  fmt::print(stderr, "{}\n{}: open it in https://ui.perfetto.dev (it stays on this machine)\n",
             ProfileTable(record, labels, 12), path);
  return OkStatus();
}

}  // namespace pelton
