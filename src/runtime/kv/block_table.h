#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "runtime/kv/block_pool.h"

namespace pelton {

// The blocks of one sequence in token order, as shares and as the plain numbers that attention
// reads. Engine thread only.
class BlockTable {
 public:
  BlockTable() = default;
  BlockTable(BlockTable&&) = default;
  BlockTable& operator=(BlockTable&& other) noexcept {
    Clear();
    shares_ = std::move(other.shares_);
    numbers_ = std::move(other.numbers_);
    return *this;
  }
  ~BlockTable() { Clear(); }

  // After this, appending up to `num_blocks` blocks in total does not allocate.
  void Reserve(size_t num_blocks) {
    shares_.reserve(num_blocks);
    numbers_.reserve(num_blocks);
  }
  void Append(BlockRef share) {
    numbers_.push_back(share.block());
    shares_.push_back(std::move(share));
  }
  // Returns all shares, the last block first: the end of a prefix becomes the oldest idle block
  // and is given away before the beginning, without which it would be worth nothing.
  void Clear() {
    while (!shares_.empty()) shares_.pop_back();
    numbers_.clear();
  }

  // Returns the shares of all but the first `num_blocks` blocks, if there are more.
  void Truncate(size_t num_blocks) {
    while (shares_.size() > num_blocks) shares_.pop_back();
    numbers_.resize(shares_.size());
  }

  size_t size() const { return numbers_.size(); }
  int32_t operator[](size_t i) const { return numbers_[i]; }
  const int32_t* data() const { return numbers_.data(); }

  // How many blocks would become available if this table were cleared. O(size).
  size_t CountSole(const BlockPool& pool) const {
    size_t sole = 0;
    for (const int32_t block : numbers_) sole += pool.num_shares(block) == 1;
    return sole;
  }

 private:
  std::vector<BlockRef> shares_;
  std::vector<int32_t> numbers_;
};

}  // namespace pelton
