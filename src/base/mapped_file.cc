#include "base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "base/checked_math.h"

namespace pelton {
namespace {

std::string ErrnoText(int error) { return std::generic_category().message(error); }

// Closes a descriptor at the end of a scope.
struct DescriptorCloser {
  int fd;
  ~DescriptorCloser() { ::close(fd); }
};

}  // namespace

Result<MappedFile> MappedFile::Open(const std::string& path) {
  // Without waiting: a named pipe would hold the caller until somebody writes to it.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    const int error = errno;
    if (error == ENOENT || error == ENOTDIR) return NotFound(path + ": no such file");
    return InvalidArgument(path + ": cannot be opened: " + ErrnoText(error));
  }
  const DescriptorCloser closer{fd};
  return Map(fd, path);
}

Result<MappedFile> MappedFile::Map(int fd, const std::string& path) {
  struct stat info;
  if (::fstat(fd, &info) != 0) return InvalidArgument(path + ": " + ErrnoText(errno));
  if (!S_ISREG(info.st_mode)) return InvalidArgument(path + ": is not a regular file");
  const auto size = static_cast<size_t>(info.st_size);
  if (size == 0) return MappedFile(path, nullptr, 0);
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
  if (data == MAP_FAILED) {
    return ResourceExhausted(path + ": cannot be mapped: " + ErrnoText(errno));
  }
  return MappedFile(path, static_cast<const std::byte*>(data), size);
}

MappedFile::MappedFile(std::string path, const std::byte* data, size_t size)
    : path_(std::move(path)), data_(data), size_(size) {}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

void MappedFile::Forget(std::span<const std::byte> part) const {
  if (data_ == nullptr || part.empty()) return;
  // Only whole pages inside the part: its neighbours may still be in use.
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  const size_t begin = RoundUp(static_cast<size_t>(part.data() - data_), page);
  const size_t end = static_cast<size_t>(part.data() - data_) + part.size();
  const size_t whole = end < begin ? 0 : (end - begin) / page * page;
  if (whole > 0) ::madvise(const_cast<std::byte*>(data_) + begin, whole, MADV_DONTNEED);
}

}  // namespace pelton
