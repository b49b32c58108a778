#include "runtime/kv/prefix_store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/file_write.h"

namespace pelton {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::hours kKeptFor{30 * 24};
constexpr int64_t kMinuteNs = int64_t{60} * 1'000'000'000;

// A file that is open for reading.
struct OpenedFile {
  int fd = -1;
  uint64_t size = 0;

  ~OpenedFile() {
    if (fd >= 0) ::close(fd);
  }
  // Reading instead of mapping: a file that shrinks meanwhile is then no more than a short read.
  bool Read(uint64_t offset, std::span<std::byte> out) const { return ReadAt(fd, out, offset); }
};

}  // namespace

PrefixStore::PrefixStore(PrefixStoreOptions options, MetricRegistry& metrics)
    : options_(std::move(options)),
      works_(metrics.AddGauge("pelton_kv_store_works", "",
                              "1 if prefix caches can be kept on disk, 0 after trouble")),
      restored_(metrics.AddCounter("pelton_kv_store_restored_blocks_total", "",
                                   "KV blocks that were read from files")),
      saved_(metrics.AddCounter("pelton_kv_store_saved_blocks_total", "",
                                "KV blocks that were written to files")),
      damaged_(metrics.AddCounter("pelton_kv_store_damaged_files_total", "",
                                  "Files of KV blocks that were put aside as damaged")),
      failures_(metrics.AddCounter("pelton_kv_store_failures_total", "",
                                   "Files of KV blocks that could not be written or read")),
      reported_ns_(MonotonicClock().NowNs() - kMinuteNs) {
  works_.Set(1);
  std::error_code error;
  fs::create_directories(options_.folder, error);
  if (error) {
    Report(ResourceExhausted(options_.folder + ": cannot be made: " + error.message()));
  }
  Sweep();
}

// Takes away what nobody has written for long: files of models and builds that are no more.
void PrefixStore::Sweep() const {
  const auto is_ours = [](const std::string& name) {
    constexpr size_t kDigits = 32;
    return name.size() > kDigits && name.compare(kDigits, 3, ".kv") == 0 &&
           name.find_first_not_of("0123456789abcdef") == kDigits;
  };
  const auto oldest = fs::file_time_type::clock::now() - kKeptFor;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(options_.folder, error)) {
    std::error_code ignored;
    if (is_ours(entry.path().filename().string()) && entry.is_regular_file(ignored) &&
        entry.last_write_time(ignored) < oldest) {
      fs::remove(entry.path(), ignored);
    }
  }
}

std::string PrefixStore::PathOf(const BlockFileScope& scope) const {
  std::string name;
  for (size_t i = 0; i < 16; ++i) name += fmt::format("{:02x}", scope.fingerprint[i]);
  return options_.folder + "/" + name + ".kv";
}

void PrefixStore::Report(const Status& status) {
  const bool worked = works_.value() == 1;
  works_.Set(status.ok() ? 1 : 0);
  if (!status.ok()) failures_.Add();
  if ((worked && status.ok()) || options_.report == nullptr) return;
  {
    const MutexLock lock(mutex_);
    const int64_t now_ns = MonotonicClock().NowNs();
    if (!status.ok() && !worked && now_ns - reported_ns_ < kMinuteNs) return;
    reported_ns_ = now_ns;
  }
  options_.report(status.ok() ? std::string("prefix caches are kept on disk again")
                              : "prefix caches are not kept on disk: " + status.message());
}

void PrefixStore::Quarantine(const std::string& path, const Status& why) {
  damaged_.Add();
  const std::string aside = path + ".damaged";
  const bool moved = ::rename(path.c_str(), aside.c_str()) == 0;
  if (options_.report == nullptr) return;
  options_.report(fmt::format("{}: {}; {}", path, why.message(),
                              moved ? "it was put aside as " + aside : "it stays there"));
}

size_t PrefixStore::Restore(const BlockFileScope& scope, BlockPool& pool, PrefixIndex& index) {
  const std::string path = PathOf(scope);
  OpenedFile file;
  file.fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (file.fd < 0) {
    if (errno != ENOENT) {
      Report(ResourceExhausted(
          fmt::format("{}: cannot be read: {}", path, std::generic_category().message(errno))));
    }
    return 0;
  }
  struct stat info {};
  if (::fstat(file.fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    Quarantine(path, DataLoss("is not a regular file"));
    return 0;
  }
  file.size = static_cast<uint64_t>(info.st_size);
  Result<BlockFileReader> reader = BlockFileReader::Open(
      scope, file.size,
      [&](uint64_t offset, std::span<std::byte> out) { return file.Read(offset, out); });
  if (!reader.ok()) {
    Quarantine(path, reader.status());
    return 0;
  }
  // The blocks used last lie at the end; as many of them as there is room for.
  const size_t room = pool.num_free();
  size_t restored = 0;
  for (size_t i = reader->num_blocks() - std::min(room, reader->num_blocks());
       i < reader->num_blocks(); ++i) {
    const Result<BlockFileReader::Block> block = reader->Read(i);
    if (!block.ok()) {
      Quarantine(path, block.status());
      break;
    }
    const std::optional<BlockRef> held = pool.Allocate();
    if (!held) break;
    std::copy(block.value().data.begin(), block.value().data.end(), pool.BlockData(held->block()));
    restored += index.Publish(held->block(), block.value().key, block.value().tokens);
  }
  restored_.Add(restored);
  return restored;
}

size_t PrefixStore::Save(const BlockFileScope& scope, const BlockPool& pool,
                         const PrefixIndex& index) {
  std::vector<int32_t> blocks;
  for (const int32_t block : pool.IdleBlocks()) {
    if (index.IsServed(block)) blocks.push_back(block);
  }
  const auto most = static_cast<size_t>(options_.most_bytes / scope.RecordBytes());
  if (blocks.size() > most) blocks.erase(blocks.begin(), blocks.end() - static_cast<long>(most));
  if (blocks.empty() || hurried_.load()) return 0;
  const auto write = [&]() -> Status {
    ASSIGN_OR_RETURN(BlockFileWriter writer,
                     BlockFileWriter::Create(PathOf(scope), scope, blocks.size()));
    for (const int32_t block : blocks) {
      if (hurried_.load()) return Cancelled("the program ends at once");
      RETURN_IF_ERROR(writer.Append(index.KeyOf(block), index.TokensOf(block),
                                    {pool.BlockData(block), scope.geometry.BlockBytes()}));
    }
    return writer.Commit();
  };
  const Status status = write();
  if (status.code() == StatusCode::kCancelled) return 0;
  Report(status);
  if (!status.ok()) return 0;
  saved_.Add(blocks.size());
  return blocks.size();
}

}  // namespace pelton
