#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "runtime/kv/block_pool.h"
#include "runtime/kv/block_table.h"
#include "runtime/kv/prefix_hash.h"

namespace pelton {

// Finds full blocks by their content key, so that sequences with the same beginning share them.
// The index holds no shares: it remembers (key, block, generation, tokens), and an entry whose
// block has been given away since, or whose tokens differ from the ones asked for, is a miss.
// Memory is fixed when it is made: at most one entry per block of the pool. Engine thread only.
class PrefixIndex {
 public:
  // Borrows the pool for its lifetime.
  explicit PrefixIndex(BlockPool& pool);

  struct Match {
    size_t blocks = 0;  // leading blocks that are cached
    size_t idle = 0;    // how many of them no sequence holds, so that taking them uses them up
  };

  // The longest cached beginning of `tokens`, looking at keys.size() blocks at most. keys[i] is the
  // key of tokens [i * block_tokens, (i + 1) * block_tokens). O(blocks found).
  // Requires: tokens.size() >= keys.size() * block_tokens.
  Match Find(std::span<const BlockKey> keys, std::span<const int32_t> tokens) const;

  // Appends shares of the first `blocks` blocks to `out`. Requires: Find just gave at least that
  // many, and no block has been allocated in between.
  void Take(std::span<const BlockKey> keys, size_t blocks, BlockTable& out);

  // Makes a held block, fully written with the K/V of `tokens`, available under `key`. If another
  // block already serves that key, it stays and this one remains private. Returns whether `block`
  // now serves the key. Requires: tokens.size() == block_tokens.
  bool Publish(int32_t block, const BlockKey& key, std::span<const int32_t> tokens);

  // Whether the index gives this block for its key now.
  bool IsServed(int32_t block) const {
    return entries_[static_cast<size_t>(block)].used && IsCurrent(block);
  }
  // Require: IsServed(block).
  const BlockKey& KeyOf(int32_t block) const { return entries_[static_cast<size_t>(block)].key; }
  std::span<const int32_t> TokensOf(int32_t block) const;

  // Forgets a block, for example because its values turned out to be damaged.
  void Withdraw(int32_t block);

 private:
  struct Entry {
    BlockKey key;
    uint64_t generation;
    bool used = false;
  };
  static constexpr int32_t kEmpty = -1;

  size_t Home(const BlockKey& key) const { return key.Word() & (table_.size() - 1); }
  // The block whose entry has this key, or kEmpty.
  int32_t FindBlock(const BlockKey& key) const;
  bool IsCurrent(int32_t block) const;
  std::span<int32_t> MutableTokensOf(int32_t block);
  void Erase(int32_t block);

  BlockPool& pool_;
  std::vector<Entry> entries_;   // [num_blocks]
  std::vector<int32_t> tokens_;  // [num_blocks, block_tokens]
  std::vector<int32_t>
      table_;  // open addressing, linear probing, at most half full; block or kEmpty
};

}  // namespace pelton
