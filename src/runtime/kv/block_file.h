#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "kernels/ops/kv_cache.h"
#include "runtime/kv/prefix_hash.h"

namespace pelton {

// Full KV blocks in a file, whole or not at all. Integers are little-endian:
//
//   header   0  "PELTONKV"
//            8  u32 version, 1
//           12  u32 CRC-32C of the header from here on
//           16  u8[16] of the file, at random
//           32  u8[32] fingerprint of the model
//           64  u32 dtype, u32 layers, u32 kv_heads, u32 head_dim, u32 block_tokens,
//               u32 value_dim: 0 unless the cache is latent
//           88  u64 bytes of a block, u64 number of blocks
//          104  u32 index_dim: 0 unless the cache holds keys of an indexer
//          108  u8[20] 0
//   blocks, each: u32 CRC-32C of the file's 16 bytes and of the block from here on,
//           u32 place in the file, from 0; u8[32] key; i32[block_tokens] tokens; the block's bytes
//
// and nothing behind them. What is in any way different is damage: it is never an error to a
// request, only a block that has to be computed again.
inline constexpr size_t kBlockFileHeaderBytes = 128;
inline constexpr uint32_t kBlockFileVersion = 1;

using ModelFingerprint = std::array<uint8_t, 32>;

// What a file's blocks are good for.
struct BlockFileScope {
  ModelFingerprint fingerprint;  // weights, numerics: all that K/V depends on besides tokens
  KvCacheView geometry;          // num_blocks and data are not read

  size_t RecordBytes() const;
};

// Reads `out.size()` bytes from `offset`; false if that cannot be done.
using BlockFileBytes = std::function<bool(uint64_t offset, std::span<std::byte> out)>;

// One thread.
class BlockFileReader {
 public:
  struct Block {
    BlockKey key;
    std::span<const int32_t> tokens;  // until the next Read
    std::span<const std::byte> data;
  };

  // DataLoss, saying what is wrong, unless a file of `size` bytes is one of this scope. Takes
  // memory for one block.
  static Result<BlockFileReader> Open(const BlockFileScope& scope, uint64_t size,
                                      BlockFileBytes bytes);

  size_t num_blocks() const { return num_blocks_; }
  // Requires: index < num_blocks(). DataLoss if the block is damaged.
  Result<Block> Read(size_t index);

 private:
  BlockFileReader(const BlockFileScope& scope, BlockFileBytes bytes);

  size_t block_tokens_;
  size_t num_blocks_ = 0;
  std::array<std::byte, 16> id_;
  BlockFileBytes bytes_;
  std::vector<std::byte> record_;
  std::vector<int32_t> tokens_;
};

// Writes PATH.tmp, which becomes PATH with Commit, with mode 0600. One thread.
class BlockFileWriter {
 public:
  // Unavailable if another process writes it; ResourceExhausted, naming the file, if it cannot be
  // made.
  static Result<BlockFileWriter> Create(const std::string& path, const BlockFileScope& scope,
                                        size_t num_blocks);
  BlockFileWriter(BlockFileWriter&& other) noexcept;
  BlockFileWriter& operator=(BlockFileWriter&&) = delete;
  // Without Commit nothing is left.
  ~BlockFileWriter();

  // Requires: tokens and data have the scope's sizes. ResourceExhausted if it cannot be written.
  Status Append(const BlockKey& key, std::span<const int32_t> tokens,
                std::span<const std::byte> data);
  // Requires: as many blocks as announced were appended.
  Status Commit();

 private:
  BlockFileWriter(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}
  std::string TemporaryPath() const { return path_ + ".tmp"; }
  Status Write(std::span<const std::byte> bytes);
  Status Flush();

  std::string path_;
  int fd_;
  std::array<std::byte, 16> id_{};
  size_t announced_ = 0;
  size_t appended_ = 0;
  std::vector<std::byte> buffer_;
};

}  // namespace pelton
