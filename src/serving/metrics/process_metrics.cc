#include "serving/metrics/process_metrics.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <vector>

#include "base/cpu_features.h"
#include "serving/metrics/metrics_text.h"

namespace pelton {
namespace {

std::string FileText(const char* path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The fields of /proc/self/stat behind the program's name, which may hold blanks: the first is the
// third of proc(5).
std::vector<std::string> StatFields() {
  const std::string text = FileText("/proc/self/stat");
  const size_t name_end = text.rfind(')');
  std::vector<std::string> fields;
  if (name_end == std::string::npos) return fields;
  size_t begin = name_end + 2;
  while (begin < text.size()) {
    const size_t end = std::min(text.find(' ', begin), text.size());
    fields.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return fields;
}

std::optional<double> NumberOf(const std::string& text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end == text.data()) return std::nullopt;
  return static_cast<double>(value);
}

// When the system started, in seconds since 1970.
std::optional<double> BootSeconds() {
  const std::string text = FileText("/proc/stat");
  const size_t at = text.find("\nbtime ");
  if (at == std::string::npos) return std::nullopt;
  return NumberOf(text.substr(at + 7, text.find('\n', at + 7) - at - 7));
}

void Add(const char* name, const char* type, const char* help, std::optional<double> value,
         std::string* out) {
  if (!value) return;
  *out += fmt::format("# HELP {0} {2}\n# TYPE {0} {1}\n{0} {3}\n", name, type, help, *value);
}

}  // namespace

std::string ProcessMetricsText() {
  std::string out;
  const std::vector<std::string> fields = StatFields();
  const auto field = [&](size_t proc_number) -> std::optional<double> {
    return proc_number - 3 < fields.size() ? NumberOf(fields[proc_number - 3]) : std::nullopt;
  };
  const auto ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
  const auto user = field(14), system = field(15), start = field(22), pages = field(24);
  const auto boot = BootSeconds();
  if (user && system) {
    Add("process_cpu_seconds_total", "counter", "Processor time, of user and system",
        (*user + *system) / ticks, &out);
  }
  if (pages) {
    Add("process_resident_memory_bytes", "gauge", "Resident memory, mapped files included",
        *pages * static_cast<double>(::sysconf(_SC_PAGESIZE)), &out);
  }
  Add("process_virtual_memory_bytes", "gauge", "Address space", field(23), &out);
  Add("process_threads", "gauge", "Threads", field(20), &out);
  if (boot && start) {
    Add("process_start_time_seconds", "gauge", "Start, in seconds since 1970",
        *boot + *start / ticks, &out);
  }
  std::error_code error;
  double open = 0;
  for (std::filesystem::directory_iterator files("/proc/self/fd", error), end;
       !error && files != end; files.increment(error)) {
    ++open;
  }
  // One of them is the listing's own.
  if (!error && open > 0) Add("process_open_fds", "gauge", "Open files", open - 1, &out);
  struct rlimit limit;
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
    Add("process_max_fds", "gauge", "Files that may be open", static_cast<double>(limit.rlim_cur),
        &out);
  }
  return out;
}

std::string BuildInfoText(std::string_view version) {
#if defined(__clang__)
  const std::string compiler = fmt::format("clang {}.{}", __clang_major__, __clang_minor__);
#else
  const std::string compiler = fmt::format("gcc {}.{}", __GNUC__, __GNUC_MINOR__);
#endif
  return fmt::format(
      "# HELP pelton_build_info The program, as labels\n# TYPE pelton_build_info gauge\n"
      "pelton_build_info{{version=\"{}\",compiler=\"{}\",isa=\"{}\"}} 1\n",
      LabelValue(version), LabelValue(compiler), LabelValue(CpuFeatureNames(CpuFeatures())));
}

}  // namespace pelton
