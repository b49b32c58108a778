#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace pelton {

// A name that cannot lead out of its folder: not empty, ".", ".." or longer than 255 bytes, and
// without separators or control characters.
bool IsPlainFileName(std::string_view name);

// The path of the regular file `name` in `folder`; nullopt if there is none. InvalidArgument if it
// is something else or, with symbolic links followed, lies elsewhere: only the folder itself and,
// for a snapshot of Hugging Face's download cache (CACHE/snapshots/REVISION), CACHE/blobs are
// trusted. Requires: IsPlainFileName(name).
Result<std::optional<std::string>> FindModelFile(const std::string& folder, std::string_view name);

// The whole content of the file at `path`. DataLoss if it is larger than `max_bytes`, besides the
// errors of MappedFile::Open.
Result<std::string> ReadTextFile(const std::string& path, size_t max_bytes);

}  // namespace pelton
