#pragma once

#include <istream>
#include <string>

#include "base/status.h"

namespace pelton {

// Calls handle(line) for every line of standard input; an empty line is passed over. Stops at the
// first failure and names the line. Lines above 64 MiB are refused.
template <typename Handle>
Status ForEachLine(std::istream& in, Handle handle) {
  constexpr size_t kMaxLineBytes = size_t{64} << 20;
  size_t number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    if (line.empty()) continue;
    const std::string where = "line " + std::to_string(number);
    if (line.size() > kMaxLineBytes) return InvalidArgument(where + ": more than 64 MiB");
    if (const Status status = handle(line); !status.ok()) return status.WithContext(where);
  }
  return OkStatus();
}

}  // namespace pelton
