#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace pelton {

// Bytes that this process can still take without swapping: what the system calls available, or
// what the limits of its control groups leave if that is less.
size_t AvailableMemoryBytes();

// What the limits of a process's control groups, v1 or v2, leave: the least of its own and of those
// that hold it. Pages of files count as free, as in what the system calls available, since it takes
// them back. `groups` is the text of /proc/PID/cgroup, `root` where the groups are mounted. Nothing
// if there is no limit, or none can be read.
std::optional<size_t> ControlGroupRoom(std::string_view groups, const std::string& root);

}  // namespace pelton
