#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/status.h"

namespace pelton {

// A regular file mapped read-only for the lifetime of the object. Movable; thread-safe to read.
// A file that another process truncates while it is mapped raises SIGBUS, as for any mapping.
class MappedFile {
 public:
  // NotFound if it does not exist, InvalidArgument if it is not a regular file.
  static Result<MappedFile> Open(const std::string& path);
  // The same of an open file, which may be closed afterwards; `path` is for messages.
  static Result<MappedFile> Map(int fd, const std::string& path);

  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::string& path() const { return path_; }

  // Tells the system that `part` of bytes() will not be read again soon, so that it need not stay
  // resident; it is read from the file again if it is touched.
  void Forget(std::span<const std::byte> part) const;

 private:
  MappedFile(std::string path, const std::byte* data, size_t size);

  std::string path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace pelton
