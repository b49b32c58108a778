#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"

namespace pelton {

// What errno says of the last system call on a file: "PATH: cannot be WHAT: why". ResourceExhausted
// if there is no room, else InvalidArgument.
Status FileError(const std::string& path, const char* what);

// Opens a file that will be renamed when it is whole: empty, with mode 0600, and locked against
// other processes until it is closed. The descriptor is the caller's. Unavailable if another
// process has it, else as FileError.
Result<int> CreateLocked(const std::string& path);

// Reads all of `out` from an offset on; false at an error or the end of the file.
bool ReadAt(int fd, std::span<std::byte> out, uint64_t offset);

// Writes all of the text to an open file; `path` is for the message. A failure may leave a part.
Status WriteAll(int fd, std::string_view text, const std::string& path);

}  // namespace pelton
