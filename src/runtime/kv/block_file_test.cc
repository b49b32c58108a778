#include "runtime/kv/block_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>

#include "base/crc32c.h"

namespace pelton {
namespace {

constexpr size_t kBlocks = 9;

BlockFileScope Scope() {
  BlockFileScope scope{.fingerprint = {1, 2, 3},
                       .geometry = {.data = nullptr,
                                    .dtype = KvDType::kF16,
                                    .num_blocks = 0,
                                    .layers = 2,
                                    .kv_heads = 1,
                                    .head_dim = 4,
                                    .block_tokens = 8}};
  return scope;
}

struct Content {
  BlockKey key;
  std::vector<int32_t> tokens;
  std::vector<std::byte> data;
};

Content ContentOf(size_t i) {
  std::mt19937 random(static_cast<unsigned>(i) + 1);
  Content content;
  content.tokens.reserve(8);
  content.data.reserve(Scope().geometry.BlockBytes());
  for (uint8_t& byte : content.key.bytes) byte = static_cast<uint8_t>(random());
  for (size_t t = 0; t < 8; ++t) content.tokens.push_back(static_cast<int32_t>(random() % 1000));
  for (size_t b = 0; b < Scope().geometry.BlockBytes(); ++b) {
    content.data.push_back(static_cast<std::byte>(random()));
  }
  return content;
}

std::string PathOf(const char* name) { return testing::TempDir() + "/" + name; }

std::string Written(size_t blocks = kBlocks, const BlockFileScope& scope = Scope()) {
  const std::string path = PathOf("blocks.kv");
  Result<BlockFileWriter> writer = BlockFileWriter::Create(path, scope, blocks);
  EXPECT_TRUE(writer.ok()) << writer.status().message();
  for (size_t i = 0; i < blocks; ++i) {
    const Content content = ContentOf(i);
    EXPECT_TRUE(writer->Append(content.key, content.tokens, content.data).ok());
  }
  EXPECT_TRUE(writer->Commit().ok());
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

Result<BlockFileReader> Open(const std::string& bytes, const BlockFileScope& scope = Scope()) {
  return BlockFileReader::Open(scope, bytes.size(),
                               [&bytes](uint64_t offset, std::span<std::byte> out) {
                                 if (offset > bytes.size() || out.size() > bytes.size() - offset) {
                                   return false;
                                 }
                                 std::memcpy(out.data(), bytes.data() + offset, out.size());
                                 return true;
                               });
}

// How many blocks are as they were written; nothing if one is given that is not.
std::optional<size_t> GoodBlocks(const std::string& bytes) {
  Result<BlockFileReader> reader = Open(bytes);
  if (!reader.ok()) return 0;
  size_t good = 0;
  for (size_t i = 0; i < reader->num_blocks(); ++i) {
    const Result<BlockFileReader::Block> block = reader->Read(i);
    if (!block.ok()) {
      EXPECT_EQ(block.status().code(), StatusCode::kDataLoss);
      continue;
    }
    const Content want = ContentOf(i);
    if (block.value().key != want.key ||
        !std::equal(want.tokens.begin(), want.tokens.end(), block.value().tokens.begin()) ||
        !std::equal(want.data.begin(), want.data.end(), block.value().data.begin())) {
      return std::nullopt;
    }
    ++good;
  }
  return good;
}

// With the header's checksum made right again.
std::string Resealed(std::string bytes) {
  Crc32c crc;
  crc.Add(std::as_bytes(std::span(bytes)).subspan(16, kBlockFileHeaderBytes - 16));
  const uint32_t value = crc.value();
  std::memcpy(bytes.data() + 12, &value, sizeof(value));
  return bytes;
}

TEST(BlockFileTest, GivesBackWhatWasWritten) {
  const std::string bytes = Written();
  EXPECT_EQ(bytes.size(), kBlockFileHeaderBytes + kBlocks * Scope().RecordBytes());
  EXPECT_EQ(GoodBlocks(bytes), kBlocks);
  EXPECT_EQ(GoodBlocks(Resealed(bytes)), kBlocks) << "the seal of this test is the file's";
  struct stat info {};
  ASSERT_EQ(::stat(PathOf("blocks.kv").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_NE(::stat(PathOf("blocks.kv.tmp").c_str(), &info), 0);
  EXPECT_EQ(GoodBlocks(Written(0)), 0u);
}

TEST(BlockFileTest, NothingIsThereBeforeItIsWhole) {
  const std::string path = PathOf("unfinished.kv");
  {
    Result<BlockFileWriter> writer = BlockFileWriter::Create(path, Scope(), 2);
    ASSERT_TRUE(writer.ok());
    const Content content = ContentOf(0);
    ASSERT_TRUE(writer->Append(content.key, content.tokens, content.data).ok());
    EXPECT_EQ(BlockFileWriter::Create(path, Scope(), 2).status().code(), StatusCode::kUnavailable)
        << "two at once";
  }
  struct stat info {};
  EXPECT_NE(::stat(path.c_str(), &info), 0);
  EXPECT_NE(::stat((path + ".tmp").c_str(), &info), 0);
}

TEST(BlockFileTest, FilesOfOthersAreNone) {
  const std::string bytes = Written();
  BlockFileScope other = Scope();
  other.fingerprint[31] = 1;
  EXPECT_EQ(Open(bytes, other).status().code(), StatusCode::kDataLoss);
  other = Scope();
  other.geometry.dtype = KvDType::kF32;
  EXPECT_FALSE(Open(bytes, other).ok());
  other = Scope();
  other.geometry.layers = 1;
  other.geometry.kv_heads = 2;
  EXPECT_FALSE(Open(bytes, other).ok()) << "as many bytes, another shape";
  other = Scope();
  other.geometry.head_dim = 8;
  other.geometry.value_dim = 6;
  ASSERT_EQ(other.geometry.BlockBytes(), Scope().geometry.BlockBytes());
  EXPECT_FALSE(Open(bytes, other).ok()) << "a latent cache";
  // 265 numbers of 16 bits, and 512 in floats of 8 bits with scales and one of 16 bits.
  BlockFileScope wide = Scope(), fp8 = Scope();
  wide.geometry.head_dim = wide.geometry.value_dim = 265;
  fp8.geometry.dtype = KvDType::kFp8;
  fp8.geometry.head_dim = 513;
  fp8.geometry.value_dim = 512;
  ASSERT_EQ(wide.geometry.BlockBytes(), fp8.geometry.BlockBytes());
  const std::string none = Written(0, wide);
  EXPECT_TRUE(Open(none, wide).ok());
  EXPECT_FALSE(Open(none, fp8).ok()) << "rows as long, of another type";
}

TEST(BlockFileTest, FilesOfLatentCachesAreOfTheirValueSize) {
  BlockFileScope scope = Scope();
  scope.geometry.head_dim = 8;
  scope.geometry.value_dim = 6;
  const std::string path = PathOf("latent.kv");
  Result<BlockFileWriter> writer = BlockFileWriter::Create(path, scope, 1);
  ASSERT_TRUE(writer.ok());
  const Content content = ContentOf(0);
  ASSERT_TRUE(writer->Append(content.key, content.tokens, content.data).ok());
  ASSERT_TRUE(writer->Commit().ok());
  std::ifstream file(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  Result<BlockFileReader> reader = Open(bytes, scope);
  ASSERT_TRUE(reader.ok()) << reader.status().message();
  EXPECT_TRUE(std::ranges::equal(reader->Read(0).value().data, content.data));
  scope.geometry.value_dim = 4;
  EXPECT_EQ(Open(bytes, scope).status().code(), StatusCode::kDataLoss);
  scope.geometry.value_dim = 6;
  scope.geometry.head_dim = 7;
  scope.geometry.index_dim = 1;
  ASSERT_EQ(scope.geometry.BlockBytes(), content.data.size());
  EXPECT_EQ(Open(bytes, scope).status().code(), StatusCode::kDataLoss) << "another row";
}

// Row F8 of the reliability rules: whatever happens to a file is noticed, and no block is given
// that is not what was written.
TEST(BlockFileTest, EveryDamageIsNoticed) {
  const std::string bytes = Written();
  const size_t record = Scope().RecordBytes();
  std::mt19937 random(20261126);
  const auto below = [&](size_t limit) {
    return std::uniform_int_distribution<size_t>(0, limit - 1)(random);
  };
  size_t unnoticed = 0;
  for (int i = 0; i < 500; ++i) {
    std::string damaged = bytes;
    switch (i % 5) {
      case 0:  // a bit
        damaged[below(damaged.size())] ^= static_cast<char>(1 << below(8));
        break;
      case 1:  // the end
        damaged.resize(below(damaged.size()));
        break;
      case 2: {  // two blocks
        const size_t a = below(kBlocks), b = (a + 1 + below(kBlocks - 1)) % kBlocks;
        const size_t at = kBlockFileHeaderBytes + a * record,
                     to = kBlockFileHeaderBytes + b * record;
        std::swap_ranges(damaged.begin() + static_cast<long>(at),
                         damaged.begin() + static_cast<long>(at + record),
                         damaged.begin() + static_cast<long>(to));
        break;
      }
      case 3: {  // another version, in good order otherwise
        const uint32_t version = i % 2 == 0 ? 0 : kBlockFileVersion + 1 + static_cast<uint32_t>(i);
        std::memcpy(damaged.data() + 8, &version, sizeof(version));
        damaged = Resealed(damaged);
        break;
      }
      default: {  // a length that lies, under a right checksum
        const size_t field = i % 2 == 0 ? 88 : 96;
        uint64_t length;
        std::memcpy(&length, damaged.data() + field, sizeof(length));
        const uint64_t lies[] = {length + 1,   length - 1,   0,
                                 ~uint64_t{0}, length << 32, uint64_t{1} << below(64)};
        const uint64_t lie = lies[below(std::size(lies))];
        length = lie == length ? length + 7 : lie;
        std::memcpy(damaged.data() + field, &length, sizeof(length));
        damaged = Resealed(damaged);
        break;
      }
    }
    const std::optional<size_t> good = GoodBlocks(damaged);
    ASSERT_TRUE(good.has_value()) << "mutation " << i << " gives a block that was not written";
    unnoticed += *good == kBlocks;
  }
  EXPECT_EQ(unnoticed, 0u);
}

TEST(BlockFileTest, ABlockOfAnotherFileIsNoticed) {
  std::string one = Written();
  const std::string two = Written();  // the same blocks
  const size_t at = kBlockFileHeaderBytes + 3 * Scope().RecordBytes();
  one.replace(at, Scope().RecordBytes(), two, at, Scope().RecordBytes());
  EXPECT_EQ(GoodBlocks(one), kBlocks - 1);
}

TEST(BlockFileTest, WhatCannotBeWrittenIsSaid) {
  const Status status = BlockFileWriter::Create("/proc/none/blocks.kv", Scope(), 1).status();
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
  EXPECT_NE(status.message().find("/proc/none/blocks.kv"), std::string::npos);
}

}  // namespace
}  // namespace pelton
