#include "graph/execute/packed_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstring>
#include <random>

#include "base/crc32c.h"

namespace pelton {
namespace {

std::string FileNamed(const char* name) { return testing::TempDir() + "/" + name; }

// Three pieces with a gap.
PackedTable TestTable() {
  return {.key = {7, 8, 9},
          .data_bytes = 10000,
          .pieces = {{.offset = 0, .bytes = 4000, .crc = 0},
                     {.offset = 4096, .bytes = 100, .crc = 0},
                     {.offset = 4196, .bytes = 5804, .crc = 0}}};
}

std::vector<std::byte> TestData() {
  std::mt19937 random(5);
  std::vector<std::byte> data(TestTable().data_bytes);
  for (std::byte& byte : data) byte = static_cast<std::byte>(random());
  return data;
}

std::string WriteTestFile(const char* name) {
  const std::string path = FileNamed(name);
  const std::vector<std::byte> data = TestData();
  Result<PackedFileWriter> writer = PackedFileWriter::Create(path, TestTable());
  EXPECT_TRUE(writer.ok()) << writer.status().message();
  for (const size_t piece : {2, 0, 1}) {
    EXPECT_TRUE(writer->Write(piece, data.data() + TestTable().pieces[piece].offset).ok());
    writer->Forget(piece);
  }
  EXPECT_TRUE(writer->Commit().ok());
  return path;
}

// With the header's checksum made right again.
std::vector<std::byte> Sealed(std::vector<std::byte> bytes, size_t pieces) {
  Crc32c crc;
  crc.Add(std::span(bytes).first(kPackedHeaderBytes + pieces * 16).subspan(16));
  const uint32_t value = crc.value();
  std::memcpy(bytes.data() + 12, &value, sizeof(value));
  return bytes;
}

template <typename T>
std::vector<std::byte> With(std::vector<std::byte> bytes, size_t at, T value) {
  std::memcpy(bytes.data() + at, &value, sizeof(value));
  return Sealed(std::move(bytes), 3);
}

TEST(PackedFileTest, GivesBackWhatWasWritten) {
  const std::string path = WriteTestFile("whole.packed");
  const std::vector<std::byte> data = TestData();
  const Result<PackedFileReader> reader = PackedFileReader::Open(path);
  ASSERT_TRUE(reader.ok()) << reader.status().message();
  const PackedTable& table = reader->table();
  EXPECT_EQ(table.key, TestTable().key);
  EXPECT_EQ(table.data_bytes, data.size());
  EXPECT_EQ(table.DataBegin(), 4096u);
  const Result<MappedFile> map = reader->Map();
  ASSERT_TRUE(map.ok());
  EXPECT_EQ(map->bytes().size(), table.DataBegin() + data.size());
  for (size_t i = 0; i < 3; ++i) {
    const PackedPiece& piece = table.pieces[i];
    EXPECT_EQ(piece.offset, TestTable().pieces[i].offset);
    std::vector<std::byte> out(piece.bytes);
    ASSERT_TRUE(reader->Read(i, out.data()).ok());
    EXPECT_EQ(std::memcmp(out.data(), data.data() + piece.offset, piece.bytes), 0);
    EXPECT_EQ(std::memcmp(map->bytes().data() + table.DataBegin() + piece.offset, out.data(),
                          piece.bytes),
              0);
  }
  struct stat info {};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_NE(::stat((path + ".tmp").c_str(), &info), 0);
}

TEST(PackedFileTest, NothingIsThereBeforeItIsWhole) {
  const std::string path = FileNamed("unfinished.packed");
  {
    const Result<PackedFileWriter> writer = PackedFileWriter::Create(path, TestTable());
    ASSERT_TRUE(writer.ok());
    EXPECT_EQ(PackedFileWriter::Create(path, TestTable()).status().code(), StatusCode::kUnavailable)
        << "two at once";
  }
  EXPECT_EQ(PackedFileReader::Open(path).status().code(), StatusCode::kNotFound);
  struct stat info {};
  EXPECT_NE(::stat((path + ".tmp").c_str(), &info), 0);
  EXPECT_EQ(PackedFileWriter::Create("/proc/none/x", TestTable()).status().code(),
            StatusCode::kInvalidArgument);
}

TEST(PackedFileTest, DamagedDataIsNoticed) {
  const std::string path = WriteTestFile("damaged.packed");
  ASSERT_EQ(::truncate(path.c_str(), 4096 + 10000), 0);
  FILE* file = std::fopen(path.c_str(), "r+b");
  ASSERT_NE(file, nullptr);
  std::fseek(file, 4096 + 4100, SEEK_SET);
  std::fputc(std::to_integer<int>(TestData()[4100]) ^ 1, file);
  std::fclose(file);
  const Result<PackedFileReader> reader = PackedFileReader::Open(path);
  ASSERT_TRUE(reader.ok());
  std::vector<std::byte> out(TestTable().data_bytes);
  EXPECT_TRUE(reader->Read(0, out.data()).ok());
  EXPECT_EQ(reader->Read(1, out.data()).code(), StatusCode::kDataLoss);
  EXPECT_TRUE(reader->Read(2, out.data()).ok());
  ASSERT_EQ(::truncate(path.c_str(), 4096 + 9999), 0);
  EXPECT_EQ(PackedFileReader::Open(path).status().code(), StatusCode::kDataLoss);
}

TEST(PackedFileTest, RefusesWhatIsNoTable) {
  const std::vector<std::byte> good = WritePackedTable(TestTable());
  const uint64_t size = good.size() + TestTable().data_bytes;
  const auto message = [&](const std::vector<std::byte>& bytes, uint64_t file_size) {
    const Result<PackedTable> table = ReadPackedTable(bytes, file_size);
    EXPECT_TRUE(table.ok() || table.status().code() == StatusCode::kDataLoss);
    return table.status().message();
  };
  EXPECT_EQ(message(good, size), "");
  for (size_t cut : {0, 71, 100}) {
    EXPECT_NE(message({good.begin(), good.begin() + static_cast<long>(cut)}, cut), "");
  }
  for (size_t at = 0; at < kPackedHeaderBytes + 48; ++at) {
    std::vector<std::byte> bytes = good;
    bytes[at] ^= std::byte{4};
    EXPECT_NE(message(bytes, size), "") << at;
  }
  EXPECT_NE(message(With(good, 8, uint32_t{2}), size).find("version"), std::string::npos);
  EXPECT_NE(message(With(good, 48, uint64_t{8192}), size).find("size"), std::string::npos);
  EXPECT_NE(message(With(good, 56, ~uint64_t{0}), size).find("size"), std::string::npos);
  EXPECT_NE(message(With(good, 64, uint64_t{1} << 60), size).find("pieces"), std::string::npos);
  EXPECT_NE(message(good, size - 1).find("size"), std::string::npos);
  // The second piece: into the first, behind the end, and with bytes beyond it.
  EXPECT_NE(message(With(good, 88, uint64_t{3999}), size).find("piece 1"), std::string::npos);
  EXPECT_NE(message(With(good, 88, uint64_t{10001}), size).find("piece 1"), std::string::npos);
  EXPECT_NE(message(With(good, 96, ~uint32_t{0}), size).find("piece 1"), std::string::npos);
  EXPECT_EQ(ReadPackedTable(good, size).value().pieces.size(), 3u);
}

}  // namespace
}  // namespace pelton
