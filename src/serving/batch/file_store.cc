#include "serving/batch/file_store.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <tuple>
#include <utility>

#include "base/mapped_file.h"
#include "serving/api/unique_id.h"

namespace pelton {
namespace {

constexpr std::string_view kFilePrefix = "file-";

Status NoFile(std::string_view id) {
  return NotFound(fmt::format("no file \"{}\" is stored", id.substr(0, 80)));
}

// The record of a file on disk.
Json RecordOf(const StoredFile& file, bool growing) {
  return {{"tenant", file.tenant},
          {"filename", file.filename},
          {"purpose", file.purpose},
          {"created_at", file.created_at},
          {"expires_at", file.expires_at ? Json(*file.expires_at) : Json()},
          {"growing", growing}};
}

// False if it is no record of ours.
bool ReadRecord(const RecordFolder::Record& record, StoredFile* file, bool* growing) {
  FieldReader reader(record.json);
  reader.String("tenant", &file->tenant);
  reader.String("filename", &file->filename);
  reader.String("purpose", &file->purpose);
  reader.Whole("created_at", &file->created_at);
  reader.Whole("expires_at", &file->expires_at);
  reader.Bool("growing", growing);
  reader.RefuseUnknown();
  file->id = record.name;
  return reader.ok() && !file->tenant.empty() && !file->purpose.empty();
}

}  // namespace

int64_t UnixSeconds() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::seconds>(now).count();
}

Json FileJson(const StoredFile& file) {
  return {{"id", file.id},
          {"object", "file"},
          {"bytes", file.bytes},
          {"created_at", file.created_at},
          {"expires_at", file.expires_at ? Json(*file.expires_at) : Json()},
          {"filename", file.filename},
          {"purpose", file.purpose},
          {"status", "processed"},
          {"status_details", nullptr}};
}

FileStore::FileStore(const RecordFolder& folder, FileStoreLimits limits, MetricRegistry& metrics)
    : folder_(folder),
      limits_(limits),
      bytes_gauge_(metrics.AddGauge("pelton_file_store_bytes", "", "Bytes of the stored files")),
      count_gauge_(metrics.AddGauge("pelton_file_store_files", "", "Files that are stored")) {}

Result<std::unique_ptr<FileStore>> FileStore::Open(const RecordFolder& folder,
                                                   FileStoreLimits limits,
                                                   MetricRegistry& metrics) {
  std::unique_ptr<FileStore> store(new FileStore(folder, limits, metrics));
  ASSIGN_OR_RETURN(const std::vector<RecordFolder::Record> records, folder.Load(kFilePrefix));
  const MutexLock lock(store->mutex_);
  for (const RecordFolder::Record& record : records) {
    Entry entry;
    if (!ReadRecord(record, &entry.file, &entry.growing)) {
      return DataLoss(folder.PathOf(record.name) + ".json: is damaged; remove it");
    }
    struct stat info {};
    if (::stat(folder.PathOf(record.name).c_str(), &info) != 0 || !S_ISREG(info.st_mode)) {
      folder.Erase(record.name);  // the end of a removal, or the begin of a file
      continue;
    }
    entry.file.bytes = static_cast<uint64_t>(info.st_size);
    store->bytes_ += entry.file.bytes;
    store->entries_.emplace(record.name, std::move(entry));
  }
  for (const std::string& name : folder.Files(kFilePrefix)) {
    if (!store->entries_.contains(name)) folder.Erase(name);
  }
  store->Report();
  return store;
}

void FileStore::Report() {
  bytes_gauge_.Set(static_cast<int64_t>(bytes_));
  count_gauge_.Set(static_cast<int64_t>(entries_.size()));
}

Status FileStore::Room(uint64_t bytes, size_t files) const {
  if (bytes > limits_.max_bytes - std::min(bytes_, limits_.max_bytes)) {
    return ResourceExhausted(fmt::format("the stored files take {} of {} MiB; delete some first",
                                         bytes_ >> 20, limits_.max_bytes >> 20));
  }
  if (entries_.size() + files > limits_.max_files) {
    return ResourceExhausted(
        fmt::format("{} files are stored, which is the most; delete some first", entries_.size()));
  }
  return OkStatus();
}

Status FileStore::WriteRecord(const Entry& entry) const {
  return folder_.Write(entry.file.id, RecordOf(entry.file, entry.growing));
}

void FileStore::Erase(std::map<std::string, Entry>::iterator at) {
  folder_.Erase(at->first);
  bytes_ -= at->second.file.bytes;
  entries_.erase(at);
}

void FileStore::Sweep() {
  const int64_t now = UnixSeconds();
  for (auto at = entries_.begin(); at != entries_.end();) {
    const auto entry = at++;
    const std::optional<int64_t> expires = entry->second.file.expires_at;
    if (expires && *expires <= now && entry->second.holds == 0) Erase(entry);
  }
  Report();
}

FileStore::Entry* FileStore::Visible(const std::string& tenant, const std::string& id) {
  const auto found = entries_.find(id);
  if (found == entries_.end() || found->second.file.tenant != tenant || found->second.growing) {
    return nullptr;
  }
  return &found->second;
}

Result<StoredFile> FileStore::Add(StoredFile file, std::string_view content) {
  const std::optional<int64_t> expires_at = file.expires_at;
  ASSIGN_OR_RETURN(const std::string id, Grow(std::move(file)));
  Status status = Append(id, content);
  if (status.ok()) status = Finish(id, expires_at);
  const MutexLock lock(mutex_);
  const auto found = entries_.find(id);
  if (status.ok()) return found->second.file;
  Erase(found);
  Report();
  return status;
}

std::vector<StoredFile> FileStore::List(const std::string& tenant) {
  std::vector<StoredFile> files;
  const MutexLock lock(mutex_);
  Sweep();
  for (const auto& [id, entry] : entries_) {
    if (entry.file.tenant == tenant && !entry.growing) files.push_back(entry.file);
  }
  std::ranges::sort(files, [](const StoredFile& a, const StoredFile& b) {
    return std::tie(a.created_at, a.id) < std::tie(b.created_at, b.id);
  });
  return files;
}

std::optional<StoredFile> FileStore::Find(const std::string& tenant, const std::string& id) {
  const MutexLock lock(mutex_);
  Sweep();
  const Entry* entry = Visible(tenant, id);
  return entry == nullptr ? std::nullopt : std::optional(entry->file);
}

Result<std::string> FileStore::Content(const std::string& tenant, const std::string& id) {
  if (!Hold(tenant, id)) return NoFile(id);
  const Result<MappedFile> mapped = MappedFile::Open(PathOf(id));
  std::string content;
  if (mapped.ok()) {
    content.assign(reinterpret_cast<const char*>(mapped->bytes().data()), mapped->bytes().size());
  }
  Release(id);
  if (!mapped.ok()) return mapped.status();
  return content;
}

Status FileStore::Remove(const std::string& tenant, const std::string& id) {
  const MutexLock lock(mutex_);
  const Entry* entry = Visible(tenant, id);
  if (entry == nullptr) return NoFile(id);
  if (entry->holds > 0) {
    return InvalidArgument(fmt::format("file \"{}\" is in use; cancel its batch first", id));
  }
  Erase(entries_.find(id));
  Report();
  return OkStatus();
}

bool FileStore::Hold(const std::string& tenant, const std::string& id) {
  const MutexLock lock(mutex_);
  Entry* entry = Visible(tenant, id);
  if (entry == nullptr) return false;
  ++entry->holds;
  return true;
}

void FileStore::Release(const std::string& id) {
  const MutexLock lock(mutex_);
  const auto found = entries_.find(id);
  if (found != entries_.end() && found->second.holds > 0) --found->second.holds;
}

Result<std::string> FileStore::Grow(StoredFile file) {
  const MutexLock lock(mutex_);
  Sweep();
  RETURN_IF_ERROR(Room(0, 1));
  file.id = UniqueId(kFilePrefix);
  file.created_at = UnixSeconds();
  file.bytes = 0;
  Entry entry{.file = file, .holds = 1, .growing = true, .writer = nullptr};
  // The record first: a file without one is nobody's.
  RETURN_IF_ERROR(WriteRecord(entry));
  Result<std::unique_ptr<GrowingFile>> writer = GrowingFile::Open(PathOf(file.id));
  if (!writer.ok()) {
    folder_.Erase(file.id);
    return writer.status();
  }
  entry.writer = std::move(writer).value();
  entries_.emplace(file.id, std::move(entry));
  Report();
  return file.id;
}

Status FileStore::GoOn(const std::string& id) {
  const MutexLock lock(mutex_);
  const auto found = entries_.find(id);
  if (found == entries_.end() || !found->second.growing) return NoFile(id);
  Entry& entry = found->second;
  ASSIGN_OR_RETURN(entry.writer, GrowingFile::Open(PathOf(id)));
  RETURN_IF_ERROR(entry.writer->CutLine());
  bytes_ -= entry.file.bytes;
  entry.file.bytes = entry.writer->bytes();
  bytes_ += entry.file.bytes;
  entry.holds = 1;
  Report();
  return OkStatus();
}

Status FileStore::Append(const std::string& id, std::string_view text) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(Room(text.size(), 0));
  Entry& entry = entries_.at(id);
  RETURN_IF_ERROR(entry.writer->Append(text));
  entry.file.bytes += text.size();
  bytes_ += text.size();
  Report();
  return OkStatus();
}

Status FileStore::Finish(const std::string& id, std::optional<int64_t> expires_at) {
  const MutexLock lock(mutex_);
  Entry& entry = entries_.at(id);
  if (entry.writer != nullptr) RETURN_IF_ERROR(entry.writer->Sync());
  entry.writer = nullptr;
  entry.growing = false;
  entry.holds = 0;
  entry.file.expires_at = expires_at;
  return WriteRecord(entry);
}

void FileStore::DropUnfinished(const std::set<std::string>& keep) {
  const MutexLock lock(mutex_);
  for (auto at = entries_.begin(); at != entries_.end();) {
    const auto entry = at++;
    if (entry->second.growing && !keep.contains(entry->first)) Erase(entry);
  }
  Report();
}

uint64_t FileStore::bytes() const {
  const MutexLock lock(mutex_);
  return bytes_;
}

}  // namespace pelton
