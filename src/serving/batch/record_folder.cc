#include "serving/batch/record_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/file_write.h"
#include "base/mapped_file.h"

namespace pelton {
namespace {

constexpr std::string_view kRecordEnd = ".json";
constexpr std::string_view kDraftEnd = ".draft";
constexpr size_t kMostRecordBytes = 1 << 20;

// Names of the folder's entries, sorted; what cannot be read is not there.
std::vector<std::string> EntriesOf(const std::string& path) {
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator at(path, error), end; !error && at != end;
       at.increment(error)) {
    names.push_back(at->path().filename().string());
  }
  std::ranges::sort(names);
  return names;
}

}  // namespace

Result<std::unique_ptr<RecordFolder>> RecordFolder::Open(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return FileError(path, "made");
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return FileError(path, "used");
  if (!S_ISDIR(info.st_mode)) return InvalidArgument(path + ": is not a folder");
  if ((info.st_mode & 077) != 0) {
    return InvalidArgument(
        fmt::format("{}: found mode {:o}, expected 700: others must not see what is asked", path,
                    info.st_mode & 0777));
  }
  const std::string lock = path + "/lock";
  const int fd = ::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return FileError(lock, "used");
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    ::close(fd);
    return Unavailable(path + ": another server uses this folder");
  }
  for (const std::string& name : EntriesOf(path)) {
    if (name.ends_with(kDraftEnd)) ::unlink(fmt::format("{}/{}", path, name).c_str());
  }
  return std::unique_ptr<RecordFolder>(new RecordFolder(path, fd));
}

RecordFolder::~RecordFolder() { ::close(lock_fd_); }

Status RecordFolder::Write(const std::string& name, const Json& record) const {
  const std::string path = PathOf(name + std::string(kRecordEnd));
  const std::string draft = PathOf(name + std::string(kDraftEnd));
  const int fd = ::open(draft.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return FileError(draft, "written");
  Status status = WriteAll(fd, ToText(record) + "\n", draft);
  if (status.ok() && ::fsync(fd) != 0) status = FileError(draft, "written");
  ::close(fd);
  if (status.ok() && ::rename(draft.c_str(), path.c_str()) != 0) {
    status = FileError(path, "written");
  }
  if (!status.ok()) ::unlink(draft.c_str());
  return status;
}

void RecordFolder::Erase(const std::string& name) const {
  // The record last: a file without one is removed when the folder is opened, but not so a record.
  ::unlink(PathOf(name).c_str());
  ::unlink(PathOf(name + std::string(kRecordEnd)).c_str());
}

Result<std::vector<RecordFolder::Record>> RecordFolder::Load(std::string_view prefix) const {
  std::vector<Record> records;
  for (const std::string& name : EntriesOf(path_)) {
    if (!name.starts_with(prefix) || !name.ends_with(kRecordEnd)) continue;
    const std::string path = PathOf(name);
    ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
    const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()),
                                file.bytes().size());
    Result<Json> json = text.size() > kMostRecordBytes ? Result<Json>(Json()) : ParseJson(text);
    if (!json.ok() || !json->is_object()) {
      return DataLoss(path + ": is damaged; remove it, and the file that it belongs to is gone");
    }
    records.push_back({name.substr(0, name.size() - kRecordEnd.size()), std::move(json).value()});
  }
  return records;
}

std::vector<std::string> RecordFolder::Files(std::string_view prefix) const {
  std::vector<std::string> names = EntriesOf(path_);
  std::erase_if(names, [&](const std::string& name) {
    return !name.starts_with(prefix) || name.find('.') != std::string::npos;
  });
  return names;
}

Result<std::unique_ptr<GrowingFile>> GrowingFile::Open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return FileError(path, "written");
  struct stat info {};
  if (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    ::close(fd);
    return InvalidArgument(path + ": is not a regular file");
  }
  return std::unique_ptr<GrowingFile>(
      new GrowingFile(path, fd, static_cast<uint64_t>(info.st_size)));
}

GrowingFile::~GrowingFile() { ::close(fd_); }

Status GrowingFile::Append(std::string_view text) {
  if (Status status = WriteAll(fd_, text, path_); !status.ok()) {
    // What came through is taken back.
    if (::ftruncate(fd_, static_cast<off_t>(bytes_)) != 0) return FileError(path_, "cut");
    return status;
  }
  bytes_ += text.size();
  return OkStatus();
}

Status GrowingFile::CutLine() {
  uint64_t end = bytes_;
  std::array<char, 4096> block;
  while (end > 0) {
    const uint64_t begin = end > block.size() ? end - block.size() : 0;
    const ssize_t got = ::pread(fd_, block.data(), end - begin, static_cast<off_t>(begin));
    if (got != static_cast<ssize_t>(end - begin)) return FileError(path_, "read");
    const std::string_view text(block.data(), static_cast<size_t>(got));
    const size_t line_end = text.rfind('\n');
    end = line_end == std::string_view::npos ? begin : begin + line_end + 1;
    if (line_end != std::string_view::npos) break;
  }
  if (end == bytes_) return OkStatus();
  if (::ftruncate(fd_, static_cast<off_t>(end)) != 0) return FileError(path_, "cut");
  bytes_ = end;
  return OkStatus();
}

Status GrowingFile::Sync() const {
  return ::fsync(fd_) == 0 ? OkStatus() : FileError(path_, "written");
}

}  // namespace pelton
