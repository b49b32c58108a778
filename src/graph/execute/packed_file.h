#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/mapped_file.h"
#include "base/status.h"

namespace pelton {

// Packed weights in a file, whole or not at all, for later loads. Integers are little-endian:
//
//   header   0  "PELTONPW"
//            8  u32 version, 1
//           12  u32 CRC-32C of header and table from here on
//           16  u8[32] key: of all that the data depends on
//           48  u64 begin of the data, a multiple of 4096
//           56  u64 bytes of the data
//           64  u64 number of pieces
//   table   72  each piece: u64 offset in the data, u32 bytes, u32 CRC-32C of them
//   zeros up to the data, which ends the file
//
// Pieces ascend and do not overlap; what lies between them is padding. What is in any way different
// is damage: it is never an error to a load, only weights that have to be packed again.
inline constexpr uint32_t kPackedFileVersion = 1;
inline constexpr size_t kPackedHeaderBytes = 72;
inline constexpr size_t kPackedFileAlignment = 4096;

using PackedKey = std::array<uint8_t, 32>;

// A part of the data that is written, read and checked as one.
struct PackedPiece {
  uint64_t offset = 0;
  uint32_t bytes = 0;
  uint32_t crc = 0;
};

struct PackedTable {
  PackedKey key = {};
  uint64_t data_bytes = 0;
  std::vector<PackedPiece> pieces;

  // Where the data begins in a file of this table.
  uint64_t DataBegin() const;
};

// All that lies before the data, [DataBegin()].
std::vector<std::byte> WritePackedTable(const PackedTable& table);

// Reads what WritePackedTable wrote. `bytes` are the first of a file of file_size bytes, as many as
// the caller has. DataLoss, saying what is wrong. Takes 16 bytes a piece.
Result<PackedTable> ReadPackedTable(std::span<const std::byte> bytes, uint64_t file_size);

// An open file of packed weights. Movable; reading is safe from any thread.
class PackedFileReader {
 public:
  // NotFound if there is none, DataLoss if it is not as above.
  static Result<PackedFileReader> Open(const std::string& path);

  const PackedTable& table() const { return table_; }

  // Reads a piece to `out`, which has room for its bytes. DataLoss if it is damaged.
  Status Read(size_t piece, std::byte* out) const;
  // The whole file; the data is from DataBegin() on.
  Result<MappedFile> Map() const;

  PackedFileReader(PackedFileReader&& other) noexcept;
  PackedFileReader& operator=(PackedFileReader&&) = delete;
  ~PackedFileReader();

 private:
  PackedFileReader(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}

  std::string path_;
  int fd_;
  PackedTable table_;
};

// Writes PATH.tmp, which becomes PATH with Commit, with mode 0600. Any thread may write, one at a
// time a piece.
class PackedFileWriter {
 public:
  // The crc of the table's pieces is filled in as they are written. Unavailable if another process
  // writes the file or has just written it, else as FileError.
  static Result<PackedFileWriter> Create(const std::string& path, PackedTable table);

  // Requires: the piece's bytes. ResourceExhausted if they cannot be written.
  Status Write(size_t piece, const std::byte* data);
  // Waits until a written piece is on disk, and lets it leave memory.
  void Forget(size_t piece) const;
  // Requires: every piece was written. The file is on disk before it gets its name.
  Status Commit();

  PackedFileWriter(PackedFileWriter&& other) noexcept;
  PackedFileWriter& operator=(PackedFileWriter&&) = delete;
  // Without Commit nothing is left.
  ~PackedFileWriter();

 private:
  PackedFileWriter(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}
  std::string TemporaryPath() const { return path_ + ".tmp"; }
  Status WriteAt(std::span<const std::byte> bytes, uint64_t offset) const;

  std::string path_;
  int fd_;
  PackedTable table_;
  uint64_t data_begin_ = 0;
};

}  // namespace pelton
