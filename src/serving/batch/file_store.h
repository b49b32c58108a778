#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/metrics.h"
#include "base/mutex.h"
#include "base/status.h"
#include "serving/batch/record_folder.h"

namespace pelton {

struct FileStoreLimits {
  uint64_t max_bytes = uint64_t{1} << 30;  // of all files together
  size_t max_files = 10'000;
};

// A file that a tenant sent, or that a batch wrote for him.
struct StoredFile {
  std::string id;
  std::string tenant;  // Tenant::identity
  std::string filename;
  std::string purpose;  // "batch" or "batch_output"
  uint64_t bytes = 0;
  int64_t created_at = 0;             // Unix seconds, as all times here
  std::optional<int64_t> expires_at;  // then it is removed
};

// As OpenAI's interface states a file.
Json FileJson(const StoredFile& file);

// Files on disk, each of one tenant, whom alone it can be found by. Any thread.
class FileStore {
 public:
  // The folder's files of earlier times are there again. Borrows folder and registry. The errors of
  // RecordFolder::Load.
  static Result<std::unique_ptr<FileStore>> Open(const RecordFolder& folder, FileStoreLimits limits,
                                                 MetricRegistry& metrics);

  // Keeps a file. ResourceExhausted if there is no room.
  Result<StoredFile> Add(StoredFile file, std::string_view content);
  // Oldest first; without those that grow. Removes those that have expired.
  std::vector<StoredFile> List(const std::string& tenant);
  std::optional<StoredFile> Find(const std::string& tenant, const std::string& id);
  // NotFound.
  Result<std::string> Content(const std::string& tenant, const std::string& id);
  // Where it lies, to be mapped while it is held.
  std::string PathOf(const std::string& id) const { return folder_.PathOf(id); }
  // NotFound; InvalidArgument if it is held.
  Status Remove(const std::string& tenant, const std::string& id);

  // A held file is not removed, and does not expire. Holds count. False: it is not there.
  bool Hold(const std::string& tenant, const std::string& id);
  void Release(const std::string& id);

  // Makes a file that grows, by one writer. It is held, and nobody finds it until Finish, also not
  // after a restart. ResourceExhausted as Add.
  Result<std::string> Grow(StoredFile file);
  // Goes on with one of an earlier process; a last line that was not written whole is taken away.
  Status GoOn(const std::string& id);
  // ResourceExhausted if there is no room; then nothing is added.
  Status Append(const std::string& id, std::string_view text);
  Status Finish(const std::string& id, std::optional<int64_t> expires_at);

  // Removes files that grew when the server ended, but these.
  void DropUnfinished(const std::set<std::string>& keep);

  uint64_t bytes() const;

 private:
  struct Entry {
    StoredFile file;
    size_t holds = 0;
    bool growing = false;
    std::unique_ptr<GrowingFile> writer;
  };

  FileStore(const RecordFolder& folder, FileStoreLimits limits, MetricRegistry& metrics);
  Entry* Visible(const std::string& tenant, const std::string& id) REQUIRES_LOCK(mutex_);
  Status Room(uint64_t bytes, size_t files) const REQUIRES_LOCK(mutex_);
  Status WriteRecord(const Entry& entry) const;
  void Sweep() REQUIRES_LOCK(mutex_);
  void Erase(std::map<std::string, Entry>::iterator at) REQUIRES_LOCK(mutex_);
  void Report() REQUIRES_LOCK(mutex_);

  const RecordFolder& folder_;
  const FileStoreLimits limits_;
  Gauge& bytes_gauge_;
  Gauge& count_gauge_;
  mutable Mutex mutex_;
  std::map<std::string, Entry> entries_ GUARDED_BY(mutex_);  // by id
  uint64_t bytes_ GUARDED_BY(mutex_) = 0;
};

// Now, in Unix seconds.
int64_t UnixSeconds();

}  // namespace pelton
