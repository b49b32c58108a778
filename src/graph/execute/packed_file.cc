#include "graph/execute/packed_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "base/byte_cursor.h"
#include "base/check.h"
#include "base/checked_math.h"
#include "base/crc32c.h"
#include "base/file_write.h"

namespace pelton {
namespace {

constexpr std::array<char, 8> kPackedMagic = {'P', 'E', 'L', 'T', 'O', 'N', 'P', 'W'};
constexpr size_t kPackedPieceBytes = 16;
constexpr size_t kCrcBegin = 16;  // what the header's checksum covers

uint32_t CrcOf(std::span<const std::byte> bytes) {
  Crc32c crc;
  crc.Add(bytes);
  return crc.value();
}

// The header as it lies.
struct PackedHeader {
  std::array<char, 8> magic = kPackedMagic;
  uint32_t version = kPackedFileVersion;
  uint32_t crc = 0;
  PackedKey key = {};
  uint64_t data_begin = 0;
  uint64_t data_bytes = 0;
  uint64_t pieces = 0;
};
static_assert(sizeof(PackedHeader) == kPackedHeaderBytes && offsetof(PackedHeader, key) == 16 &&
              sizeof(PackedPiece) == kPackedPieceBytes);

std::optional<uint64_t> DataBeginFor(uint64_t pieces) {
  const std::optional<size_t> table = CheckedMul(size_t{pieces}, kPackedPieceBytes);
  const std::optional<size_t> end = table ? CheckedAdd(*table, kPackedHeaderBytes) : std::nullopt;
  return end ? CheckedAlignUp(*end, kPackedFileAlignment) : std::nullopt;
}

Status CheckPieces(const PackedTable& table) {
  uint64_t end = 0;
  for (size_t i = 0; i < table.pieces.size(); ++i) {
    const PackedPiece& piece = table.pieces[i];
    if (piece.offset < end || piece.offset > table.data_bytes ||
        piece.bytes > table.data_bytes - piece.offset) {
      return DataLoss(
          fmt::format("piece {}: found bytes {} from {}, expected them behind {} and "
                      "within {}",
                      i, piece.bytes, piece.offset, end, table.data_bytes));
    }
    end = piece.offset + piece.bytes;
  }
  return OkStatus();
}

}  // namespace

uint64_t PackedTable::DataBegin() const {
  const std::optional<uint64_t> begin = DataBeginFor(pieces.size());
  PELTON_CHECK(begin.has_value(), "a table in memory has a size");
  return *begin;
}

std::vector<std::byte> WritePackedTable(const PackedTable& table) {
  PackedHeader header{.key = table.key,
                      .data_begin = table.DataBegin(),
                      .data_bytes = table.data_bytes,
                      .pieces = table.pieces.size()};
  std::vector<std::byte> bytes(header.data_begin);
  const size_t end = kPackedHeaderBytes + table.pieces.size() * kPackedPieceBytes;
  std::memcpy(bytes.data(), &header, sizeof(header));
  if (!table.pieces.empty()) {
    std::memcpy(bytes.data() + kPackedHeaderBytes, table.pieces.data(), end - kPackedHeaderBytes);
  }
  header.crc = CrcOf(std::span(bytes).first(end).subspan(kCrcBegin));
  std::memcpy(bytes.data() + offsetof(PackedHeader, crc), &header.crc, sizeof(header.crc));
  return bytes;
}

Result<PackedTable> ReadPackedTable(std::span<const std::byte> bytes, uint64_t file_size) {
  ByteCursor cursor(bytes);
  PackedHeader header;
  if (!cursor.Read(&header)) {
    return DataLoss(fmt::format("size: found {} bytes, expected a header of {}", bytes.size(),
                                kPackedHeaderBytes));
  }
  if (header.magic != kPackedMagic) return DataLoss("is no file of packed weights");
  if (header.version != kPackedFileVersion) {
    return DataLoss(
        fmt::format("version: found {}, expected {}", header.version, kPackedFileVersion));
  }
  if (!cursor.CanHold(header.pieces, kPackedPieceBytes)) {
    return DataLoss(
        fmt::format("pieces: found {} in a file of {} bytes", header.pieces, file_size));
  }
  const size_t table_bytes = static_cast<size_t>(header.pieces) * kPackedPieceBytes;
  const std::span<const std::byte> all = bytes.first(kPackedHeaderBytes + table_bytes);
  if (header.crc != CrcOf(all.subspan(kCrcBegin))) {
    return DataLoss("header: its checksum is wrong");
  }
  const std::optional<uint64_t> begin = DataBeginFor(header.pieces);
  if (begin != header.data_begin || file_size < *begin || header.data_bytes != file_size - *begin) {
    return DataLoss(fmt::format("size: found {} bytes, expected data of {} from {} on", file_size,
                                header.data_bytes, begin.value_or(0)));
  }
  PackedTable table{.key = header.key, .data_bytes = header.data_bytes, .pieces = {}};
  table.pieces.resize(static_cast<size_t>(header.pieces));
  if (table_bytes > 0) {
    std::memcpy(table.pieces.data(), all.data() + kPackedHeaderBytes, table_bytes);
  }
  RETURN_IF_ERROR(CheckPieces(table));
  return table;
}

PackedFileReader::PackedFileReader(PackedFileReader&& other) noexcept
    : path_(std::move(other.path_)),
      fd_(std::exchange(other.fd_, -1)),
      table_(std::move(other.table_)) {}

PackedFileReader::~PackedFileReader() {
  if (fd_ >= 0) ::close(fd_);
}

Result<PackedFileReader> PackedFileReader::Open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0 && errno == ENOENT) return NotFound(path + ": no such file");
  if (fd < 0) return FileError(path, "opened");
  PackedFileReader reader(path, fd);
  struct stat info;
  if (::fstat(fd, &info) != 0) return FileError(path, "read");
  if (!S_ISREG(info.st_mode)) return DataLoss(path + ": is not a regular file");
  // Only the pages of header and table are touched.
  ASSIGN_OR_RETURN(const MappedFile file, reader.Map());
  Result<PackedTable> table = ReadPackedTable(file.bytes(), static_cast<uint64_t>(info.st_size));
  if (!table.ok()) return table.status().WithContext(path);
  reader.table_ = std::move(table).value();
  return reader;
}

Status PackedFileReader::Read(size_t piece, std::byte* out) const {
  const std::span<std::byte> data(out, table_.pieces[piece].bytes);
  if (!ReadAt(fd_, data, table_.DataBegin() + table_.pieces[piece].offset)) {
    return DataLoss(fmt::format("{}: piece {}: cannot be read", path_, piece));
  }
  if (CrcOf(data) == table_.pieces[piece].crc) return OkStatus();
  return DataLoss(fmt::format("{}: piece {}: its checksum is wrong", path_, piece));
}

Result<MappedFile> PackedFileReader::Map() const { return MappedFile::Map(fd_, path_); }

PackedFileWriter::PackedFileWriter(PackedFileWriter&& other) noexcept
    : path_(std::move(other.path_)),
      fd_(std::exchange(other.fd_, -1)),
      table_(std::move(other.table_)),
      data_begin_(other.data_begin_) {}

PackedFileWriter::~PackedFileWriter() {
  if (fd_ < 0) return;
  ::unlink(TemporaryPath().c_str());
  ::close(fd_);
}

Result<PackedFileWriter> PackedFileWriter::Create(const std::string& path, PackedTable table) {
  const std::string temporary = path + ".tmp";
  ASSIGN_OR_RETURN(const int fd, CreateLocked(temporary));
  PackedFileWriter writer(path, fd);
  writer.data_begin_ = table.DataBegin();
  writer.table_ = std::move(table);
  if (::ftruncate(fd, static_cast<off_t>(writer.data_begin_ + writer.table_.data_bytes)) != 0) {
    return FileError(temporary, "written");
  }
  return writer;
}

Status PackedFileWriter::WriteAt(std::span<const std::byte> bytes, uint64_t offset) const {
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return FileError(TemporaryPath(), "written");
    bytes = bytes.subspan(static_cast<size_t>(written));
    offset += static_cast<uint64_t>(written);
  }
  return OkStatus();
}

Status PackedFileWriter::Write(size_t piece, const std::byte* data) {
  PackedPiece& entry = table_.pieces[piece];
  const std::span<const std::byte> bytes(data, entry.bytes);
  entry.crc = CrcOf(bytes);
  return WriteAt(bytes, data_begin_ + entry.offset);
}

void PackedFileWriter::Forget(size_t piece) const {
  const auto begin = static_cast<off_t>(data_begin_ + table_.pieces[piece].offset);
  const auto bytes = static_cast<off_t>(table_.pieces[piece].bytes);
  ::sync_file_range(
      fd_, begin, bytes,
      SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
  ::posix_fadvise(fd_, begin, bytes, POSIX_FADV_DONTNEED);
}

Status PackedFileWriter::Commit() {
  RETURN_IF_ERROR(WriteAt(WritePackedTable(table_), 0));
  if (::fsync(fd_) != 0) return FileError(TemporaryPath(), "written");
  if (::rename(TemporaryPath().c_str(), path_.c_str()) != 0) return FileError(path_, "replaced");
  ::close(std::exchange(fd_, -1));
  return OkStatus();
}

}  // namespace pelton
