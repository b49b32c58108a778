#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace pelton {

// What errno says of the last system call on a file: "PATH: cannot be WHAT: why". ResourceExhausted
// if there is no room, else InvalidArgument.
Status FileError(const std::string& path, const char* what);

// Writes all of the text to an open file; `path` is for the message. A failure may leave a part.
Status WriteAll(int fd, std::string_view text, const std::string& path);

}  // namespace pelton
