#include "base/file_write.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace pelton {

Status FileError(const std::string& path, const char* what) {
  const int error = errno;
  std::string message =
      fmt::format("{}: cannot be {}: {}", path, what, std::generic_category().message(error));
  return error == ENOSPC || error == EDQUOT || error == EFBIG
             ? ResourceExhausted(std::move(message))
             : InvalidArgument(std::move(message));
}

Status WriteAll(int fd, std::string_view text, const std::string& path) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return FileError(path, "written");
    text.remove_prefix(static_cast<size_t>(written));
  }
  return OkStatus();
}

}  // namespace pelton
