#include "machine_load.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <fstream>
#include <string>

namespace pelton {
namespace {

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double OwnSeconds() {
  struct rusage usage;
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// All that processors did but waiting: user, nice, system, interrupts, and what a hypervisor took.
double BusySeconds() {
  std::ifstream file("/proc/stat");
  std::string name;
  uint64_t user = 0, nice = 0, system = 0, idle = 0, waiting = 0, hard = 0, soft = 0, stolen = 0;
  file >> name >> user >> nice >> system >> idle >> waiting >> hard >> soft >> stolen;
  if (!file || name != "cpu") return 0;
  return static_cast<double>(user + nice + system + hard + soft + stolen) /
         static_cast<double>(::sysconf(_SC_CLK_TCK));
}

}  // namespace

MachineLoad::MachineLoad()
    : start_s_(Now()), busy_start_s_(BusySeconds()), own_start_s_(OwnSeconds()) {}

double MachineLoad::OthersShare() const {
  const double all = (Now() - start_s_) * static_cast<double>(::sysconf(_SC_NPROCESSORS_ONLN));
  const double others = BusySeconds() - busy_start_s_ - (OwnSeconds() - own_start_s_);
  return all <= 0 ? 0 : std::clamp(others / all, 0.0, 1.0);
}

}  // namespace pelton
