#include "base/file_write.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
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

Result<int> CreateLocked(const std::string& path) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return FileError(path, "made");
  // Whoever has the lock of the file that has this name is the only one to write or rename it. Its
  // writer may have finished since it was opened: then it has another name, or none.
  struct stat mine, named;
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0 || ::fstat(fd, &mine) != 0 ||
      ::lstat(path.c_str(), &named) != 0 || mine.st_ino != named.st_ino ||
      mine.st_dev != named.st_dev) {
    ::close(fd);
    return Unavailable(path + ": is being written by another process");
  }
  // What an earlier process left there is gone.
  if (::ftruncate(fd, 0) != 0 || ::fchmod(fd, 0600) != 0) {
    const Status error = FileError(path, "written");
    ::close(fd);
    return error;
  }
  return fd;
}

bool ReadAt(int fd, std::span<std::byte> out, uint64_t offset) {
  while (!out.empty()) {
    const ssize_t got = ::pread(fd, out.data(), out.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    out = out.subspan(static_cast<size_t>(got));
    offset += static_cast<uint64_t>(got);
  }
  return true;
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
