#include "models/weights/model_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "base/check.h"
#include "base/mapped_file.h"
#include "models/weights/field_error.h"

namespace pelton {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxFileNameBytes = 255;  // what file systems allow

// Whether `path` lies below `folder`; both canonical.
bool IsBelow(const fs::path& path, const fs::path& folder) {
  const auto ends = std::mismatch(folder.begin(), folder.end(), path.begin(), path.end());
  return ends.first == folder.end() && ends.second != path.end();
}

bool IsTrustedPlace(const fs::path& path, const fs::path& folder) {
  if (IsBelow(path, folder)) return true;
  // A snapshot in Hugging Face's cache, or a folder of one.
  for (const fs::path& snapshots : {folder.parent_path(), folder.parent_path().parent_path()}) {
    if (snapshots.filename() == "snapshots" && IsBelow(path, snapshots.parent_path() / "blobs")) {
      return true;
    }
  }
  return false;
}

}  // namespace

bool IsPlainFileName(std::string_view name) {
  if (name.empty() || name.size() > kMaxFileNameBytes || name == "." || name == "..") return false;
  return std::none_of(name.begin(), name.end(), [](char c) {
    return c == '/' || c == '\\' || static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
  });
}

Result<std::optional<std::string>> FindModelFile(const std::string& folder, std::string_view name) {
  PELTON_CHECK(IsPlainFileName(name), "callers check names that come from files");
  const fs::path path = fs::path(folder) / name;
  std::error_code error;
  if (fs::symlink_status(path, error).type() == fs::file_type::not_found) {
    return std::optional<std::string>();
  }
  const fs::path real_path = fs::canonical(path, error);
  if (error) return InvalidArgument(fmt::format("{}: {}", path.string(), error.message()));
  const fs::path real_folder = fs::canonical(folder, error);
  if (error) return InvalidArgument(fmt::format("{}: {}", folder, error.message()));
  if (!IsTrustedPlace(real_path, real_folder)) {
    return InvalidArgument(fmt::format("{}: found a link to {}, expected a file in the folder",
                                       path.string(), Quoted(real_path.string())));
  }
  // Asked before anything opens it: opening a pipe would wait for a writer.
  if (!fs::is_regular_file(real_path, error)) {
    return InvalidArgument(fmt::format("{}: is not a regular file", path.string()));
  }
  return std::optional(path.string());
}

Result<std::string> ReadTextFile(const std::string& path, size_t max_bytes) {
  ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  const std::span<const std::byte> bytes = file.bytes();
  if (bytes.size() > max_bytes) {
    return FieldError(path, "size", fmt::format("{} bytes", bytes.size()),
                      fmt::format("at most {}", max_bytes));
  }
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

}  // namespace pelton
