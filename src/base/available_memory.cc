#include "base/available_memory.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <sstream>

namespace pelton {
namespace {

// A number at the start of a one-line file; nullopt for "max" or no such file.
std::optional<size_t> NumberIn(const std::string& path) {
  std::ifstream file(path);
  size_t number = 0;
  if (file >> number) return number;
  return std::nullopt;
}

// The number after `name` in a file of names and numbers; 0 if it is not there.
size_t NumberNamed(const std::string& path, std::string_view name) {
  std::ifstream file(path);
  std::string key;
  for (size_t number = 0; file >> key >> number;) {
    if (key == name) return number;
  }
  return 0;
}

// How the two versions call things.
struct Names {
  const char* limit;
  const char* used;
  // Pages of files in memory.stat, those of the groups below included.
  const char* idle_files;
  const char* busy_files;
};
constexpr Names kVersion1 = {"memory.limit_in_bytes", "memory.usage_in_bytes",
                             "total_inactive_file", "total_active_file"};
constexpr Names kVersion2 = {"memory.max", "memory.current", "inactive_file", "active_file"};

std::optional<size_t> RoomOf(const std::string& folder, const Names& names) {
  const std::optional<size_t> limit = NumberIn(folder + "/" + names.limit);
  const std::optional<size_t> used = NumberIn(folder + "/" + names.used);
  if (!limit || !used) return std::nullopt;
  const std::string statistics = folder + "/memory.stat";
  const size_t files =
      NumberNamed(statistics, names.idle_files) + NumberNamed(statistics, names.busy_files);
  return *limit - std::min(*limit, *used - std::min(*used, files));
}

// The least room of the group `path` ("/a/b") and those that hold it, below `root`.
std::optional<size_t> LeastRoom(const std::string& root, std::string path, const Names& names) {
  std::optional<size_t> least;
  while (true) {
    while (path.ends_with('/')) path.pop_back();
    const std::optional<size_t> room = RoomOf(root + path, names);
    if (room) least = std::min(*room, least.value_or(*room));
    if (path.empty()) return least;
    path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
  }
}

}  // namespace

std::optional<size_t> ControlGroupRoom(std::string_view groups, const std::string& root) {
  std::optional<size_t> least;
  std::istringstream lines{std::string(groups)};
  // "0::/path" of version 2, "4:memory:/path" of version 1.
  for (std::string line; std::getline(lines, line);) {
    const size_t first = line.find(':');
    const size_t second = first == line.npos ? line.npos : line.find(':', first + 1);
    if (second == line.npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const std::string path = line.substr(second + 1);
    std::optional<size_t> room;
    if (controllers == ",,") {
      room = LeastRoom(root, path, kVersion2);
    } else if (controllers.find(",memory,") != std::string::npos) {
      room = LeastRoom(root + "/memory", path, kVersion1);
    }
    if (room) least = std::min(*room, least.value_or(*room));
  }
  return least;
}

size_t AvailableMemoryBytes() {
  size_t available = std::numeric_limits<size_t>::max();
  std::ifstream info("/proc/meminfo");
  for (std::string key; info >> key;) {
    size_t kib = 0;
    if (key == "MemAvailable:" && info >> kib) available = kib << 10;
    info.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  std::ifstream file("/proc/self/cgroup");
  std::ostringstream groups;
  groups << file.rdbuf();
  const std::optional<size_t> room = ControlGroupRoom(groups.str(), "/sys/fs/cgroup");
  return room ? std::min(available, *room) : available;
}

}  // namespace pelton
