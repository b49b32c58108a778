#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "serving/request/field_reader.h"

namespace pelton {

// A folder of small JSON records and of files that belong to them, for one process at a time: files
// have mode 0600, the folder 0700. Names are ours: letters, digits, "-" and "_". Any thread, but
// one for each name.
class RecordFolder {
 public:
  // Makes the folder if it is not there, and removes what an earlier process left half written.
  // InvalidArgument if it cannot be used or others may read it, Unavailable if another process uses
  // it.
  static Result<std::unique_ptr<RecordFolder>> Open(const std::string& path);
  ~RecordFolder();
  RecordFolder(const RecordFolder&) = delete;
  RecordFolder& operator=(const RecordFolder&) = delete;

  // The record NAME.json, whole or not at all. ResourceExhausted if there is no room.
  Status Write(const std::string& name, const Json& record) const;
  // Removes the record and the file of the name, as far as they are there.
  void Erase(const std::string& name) const;
  // The records whose names begin with `prefix`, by name. DataLoss, naming the file, if one is
  // damaged.
  struct Record {
    std::string name;
    Json json;
  };
  Result<std::vector<Record>> Load(std::string_view prefix) const;
  // Names of the files, not records, that begin with `prefix`.
  std::vector<std::string> Files(std::string_view prefix) const;

  std::string PathOf(const std::string& name) const { return path_ + "/" + name; }

 private:
  RecordFolder(std::string path, int lock_fd) : path_(std::move(path)), lock_fd_(lock_fd) {}

  const std::string path_;
  const int lock_fd_;
};

// A file of the folder that grows.
class GrowingFile {
 public:
  // At its end; made if it is not there.
  static Result<std::unique_ptr<GrowingFile>> Open(const std::string& path);
  ~GrowingFile();
  GrowingFile(const GrowingFile&) = delete;
  GrowingFile& operator=(const GrowingFile&) = delete;

  // All of the text, or none. ResourceExhausted if there is no room.
  Status Append(std::string_view text);
  Status Sync() const;
  // Takes away what follows the last line's end.
  Status CutLine();
  uint64_t bytes() const { return bytes_; }

 private:
  GrowingFile(std::string path, int fd, uint64_t bytes)
      : path_(std::move(path)), fd_(fd), bytes_(bytes) {}

  const std::string path_;
  const int fd_;
  uint64_t bytes_;
};

}  // namespace pelton
