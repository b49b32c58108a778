#include "runtime/kv/block_file.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <limits>
#include <random>
#include <system_error>
#include <utility>

#include "base/check.h"
#include "base/checked_math.h"
#include "base/crc32c.h"
#include "base/file_write.h"

namespace pelton {
namespace {

constexpr std::array<char, 8> kMagic = {'P', 'E', 'L', 'T', 'O', 'N', 'K', 'V'};
constexpr size_t kRecordHead = 4 + 4 + 32;
constexpr size_t kBufferBytes = size_t{1} << 20;

// The header as it lies; every integer is where its size wants it, and the machine little-endian
// (prefix_hash.cc asserts that).
struct Header {
  std::array<char, 8> magic = kMagic;
  uint32_t version = kBlockFileVersion;
  uint32_t crc = 0;
  std::array<std::byte, 16> id = {};
  ModelFingerprint fingerprint = {};
  std::array<uint32_t, 6> shape = {};
  uint64_t block_bytes = 0;
  uint64_t num_blocks = 0;
  uint32_t index_dim = 0;
  std::array<std::byte, 20> zero = {};

  uint32_t Crc() const {
    Crc32c crc32c;
    crc32c.Add(std::as_bytes(std::span(this, 1)).subspan(16));
    return crc32c.value();
  }
};
static_assert(sizeof(Header) == kBlockFileHeaderBytes && offsetof(Header, id) == 16 &&
              offsetof(Header, block_bytes) == 88);

std::array<uint32_t, 6> ShapeOf(const KvCacheView& geometry) {
  return {static_cast<uint32_t>(geometry.dtype),        static_cast<uint32_t>(geometry.layers),
          static_cast<uint32_t>(geometry.kv_heads),     static_cast<uint32_t>(geometry.head_dim),
          static_cast<uint32_t>(geometry.block_tokens), static_cast<uint32_t>(geometry.value_dim)};
}

uint32_t RecordCrc(std::span<const std::byte> id, std::span<const std::byte> record) {
  Crc32c crc;
  crc.Add(id);
  crc.Add(record.subspan(4));
  return crc.value();
}

Status SystemError(const std::string& path, const char* what) {
  return ResourceExhausted(
      fmt::format("{}: cannot be {}: {}", path, what, std::generic_category().message(errno)));
}

// What is wrong with a header that was read; empty if nothing is.
std::string Problem(const Header& header, const BlockFileScope& scope, uint64_t size) {
  if (header.magic != kMagic) return "is no file of KV blocks";
  if (header.version != kBlockFileVersion) {
    return fmt::format("version: found {}, expected {}", header.version, kBlockFileVersion);
  }
  if (header.crc != header.Crc()) return "header: its checksum is wrong";
  if (header.fingerprint != scope.fingerprint || header.shape != ShapeOf(scope.geometry) ||
      header.index_dim != scope.geometry.index_dim ||
      header.block_bytes != scope.geometry.BlockBytes()) {
    return "is of another model";
  }
  const uint64_t record = scope.RecordBytes();
  if (header.num_blocks > std::numeric_limits<uint32_t>::max() ||
      (size - sizeof(Header)) / record != header.num_blocks ||
      (size - sizeof(Header)) % record != 0) {
    return fmt::format("size: found {} bytes, expected those of {} blocks", size,
                       header.num_blocks);
  }
  return "";
}

}  // namespace

size_t BlockFileScope::RecordBytes() const {
  return kRecordHead + geometry.block_tokens * sizeof(int32_t) + geometry.BlockBytes();
}

BlockFileReader::BlockFileReader(const BlockFileScope& scope, BlockFileBytes bytes)
    : block_tokens_(scope.geometry.block_tokens),
      bytes_(std::move(bytes)),
      record_(scope.RecordBytes()),
      tokens_(scope.geometry.block_tokens) {}

Result<BlockFileReader> BlockFileReader::Open(const BlockFileScope& scope, uint64_t size,
                                              BlockFileBytes bytes) {
  Header header;
  if (size < sizeof(header) || !bytes(0, std::as_writable_bytes(std::span(&header, 1)))) {
    return DataLoss(
        fmt::format("size: found {} bytes, expected a header of {}", size, sizeof(header)));
  }
  const std::string problem = Problem(header, scope, size);
  if (!problem.empty()) return DataLoss(problem);
  BlockFileReader reader(scope, std::move(bytes));
  reader.num_blocks_ = static_cast<size_t>(header.num_blocks);
  reader.id_ = header.id;
  return reader;
}

Result<BlockFileReader::Block> BlockFileReader::Read(size_t index) {
  PELTON_CHECK(index < num_blocks_, "a block of the file is read");
  if (!bytes_(kBlockFileHeaderBytes + uint64_t{index} * record_.size(), record_)) {
    return DataLoss(fmt::format("block {}: cannot be read", index));
  }
  uint32_t head[2];
  std::memcpy(head, record_.data(), sizeof(head));
  if (head[0] != RecordCrc(id_, record_) || head[1] != index) {
    return DataLoss(fmt::format("block {}: its checksum is wrong", index));
  }
  Block block;
  std::memcpy(block.key.bytes.data(), record_.data() + sizeof(head), block.key.bytes.size());
  std::memcpy(tokens_.data(), record_.data() + kRecordHead, block_tokens_ * sizeof(int32_t));
  block.tokens = tokens_;
  block.data = std::span(record_).subspan(kRecordHead + block_tokens_ * sizeof(int32_t));
  return block;
}

Result<BlockFileWriter> BlockFileWriter::Create(const std::string& path,
                                                const BlockFileScope& scope, size_t num_blocks) {
  const std::string temporary = path + ".tmp";
  const Result<int> fd = CreateLocked(temporary);
  if (!fd.ok()) {
    return fd.status().code() == StatusCode::kUnavailable
               ? fd.status()
               : ResourceExhausted(fd.status().message());
  }
  BlockFileWriter writer(path, *fd);
  Header header{.fingerprint = scope.fingerprint,
                .shape = ShapeOf(scope.geometry),
                .block_bytes = scope.geometry.BlockBytes(),
                .num_blocks = num_blocks,
                .index_dim = static_cast<uint32_t>(scope.geometry.index_dim)};
  std::random_device random;
  for (std::byte& byte : header.id) byte = static_cast<std::byte>(random());
  header.crc = header.Crc();
  writer.id_ = header.id;
  writer.announced_ = num_blocks;
  writer.buffer_.reserve(kBufferBytes + scope.RecordBytes());
  RETURN_IF_ERROR(writer.Write(std::as_bytes(std::span(&header, 1))));
  return writer;
}

BlockFileWriter::BlockFileWriter(BlockFileWriter&& other) noexcept
    : path_(std::move(other.path_)),
      fd_(std::exchange(other.fd_, -1)),
      id_(other.id_),
      announced_(other.announced_),
      appended_(other.appended_),
      buffer_(std::move(other.buffer_)) {}

BlockFileWriter::~BlockFileWriter() {
  if (fd_ < 0) return;
  ::unlink(TemporaryPath().c_str());
  ::close(fd_);
}

Status BlockFileWriter::Write(std::span<const std::byte> bytes) {
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  return buffer_.size() < kBufferBytes ? OkStatus() : Flush();
}

Status BlockFileWriter::Flush() {
  std::span<const std::byte> left = buffer_;
  while (!left.empty()) {
    const ssize_t written = ::write(fd_, left.data(), left.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return SystemError(TemporaryPath(), "written");
    left = left.subspan(static_cast<size_t>(written));
  }
  buffer_.clear();
  return OkStatus();
}

Status BlockFileWriter::Append(const BlockKey& key, std::span<const int32_t> tokens,
                               std::span<const std::byte> data) {
  const size_t begin = buffer_.size();
  const uint32_t head[2] = {0, static_cast<uint32_t>(appended_++)};
  const std::span<const std::byte> parts[] = {std::as_bytes(std::span(head)),
                                              std::as_bytes(std::span(key.bytes)),
                                              std::as_bytes(tokens), data};
  for (const std::span<const std::byte> part : parts) {
    buffer_.insert(buffer_.end(), part.begin(), part.end());
  }
  const uint32_t crc = RecordCrc(id_, std::span(buffer_).subspan(begin));
  std::memcpy(buffer_.data() + begin, &crc, sizeof(crc));
  return buffer_.size() < kBufferBytes ? OkStatus() : Flush();
}

Status BlockFileWriter::Commit() {
  PELTON_CHECK(appended_ == announced_, "a file has as many blocks as its header says");
  RETURN_IF_ERROR(Flush());
  if (::fsync(fd_) != 0) return SystemError(TemporaryPath(), "written");
  if (::rename(TemporaryPath().c_str(), path_.c_str()) != 0) return SystemError(path_, "replaced");
  ::close(std::exchange(fd_, -1));
  // The rename itself may be lost with the machine; then the file of before is there.
  return OkStatus();
}

}  // namespace pelton
