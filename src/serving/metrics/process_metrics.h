#pragma once

#include <string>
#include <string_view>

namespace pelton {

// What the system says about this process, in Prometheus' text format and under the names that its
// client libraries use: memory, processor time, threads, open files, start. What cannot be read is
// left out. Reads /proc; any thread.
std::string ProcessMetricsText();

// "pelton_build_info": version, compiler, instruction sets in use.
std::string BuildInfoText(std::string_view version);

}  // namespace pelton
