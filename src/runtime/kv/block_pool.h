#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/status.h"
#include "kernels/ops/kv_cache.h"

namespace pelton {

class BlockPool;

// One share of a KV block, given back when it goes. Engine thread only; must not outlive the pool.
class BlockRef {
 public:
  BlockRef(BlockRef&& other) noexcept;
  BlockRef& operator=(BlockRef&& other) noexcept;
  ~BlockRef();

  int32_t block() const { return block_; }

 private:
  friend class BlockPool;
  BlockRef(BlockPool* pool, int32_t block) : pool_(pool), block_(block) {}

  BlockPool* pool_;  // null after a move
  int32_t block_;
};

// The second of Pelton's three levels of memory: reference-counted blocks over one allocation. A
// block is *held* (shares exist), *idle* (no shares, but its content is kept in case a later
// sequence starts with the same tokens) or *free*. Allocate takes free blocks first, then the idle
// block whose last share went longest ago. A block's generation grows each time that it is given
// to a new owner, so that content remembered as (block, generation) can be told from what replaced
// it. Engine thread only.
class BlockPool {
 public:
  // Maps num_blocks blocks of the geometry, on huge pages where the kernel has them; pages are
  // touched when they are written first. geometry.data must be null. InvalidArgument for a zero or
  // overflowing size, ResourceExhausted if the system refuses the mapping.
  static Result<std::unique_ptr<BlockPool>> Create(const KvCacheView& geometry);
  ~BlockPool();
  BlockPool(const BlockPool&) = delete;
  BlockPool& operator=(const BlockPool&) = delete;

  const KvCacheView& view() const { return view_; }
  size_t num_blocks() const { return view_.num_blocks; }
  size_t num_free() const { return free_.size(); }
  size_t num_idle() const { return num_idle_; }
  // How often an idle block was given to a new owner.
  uint64_t num_evictions() const { return num_evictions_; }
  // The idle blocks, the one idle for longest first. O(idle blocks).
  std::vector<int32_t> IdleBlocks() const;
  // What Allocate can give.
  size_t num_available() const { return free_.size() + num_idle_; }

  // Makes the system give a piece of the memory that is not there yet: of the first blocks and
  // `ahead` bytes behind the highest one that Allocate gave. New memory costs several times what
  // writing it again does. False if all of that is there, `ahead` is 0, or the system cannot.
  bool TouchAhead(size_t ahead);

  // Empty if every block is held. The content is undefined.
  std::optional<BlockRef> Allocate();
  // One more share of a block whose content is still that of `generation`: held or idle. Empty if
  // the block has been given away since.
  std::optional<BlockRef> Share(int32_t block, uint64_t generation);

  // Requires of all below: 0 <= block < num_blocks().
  uint32_t num_shares(int32_t block) const { return states_[static_cast<size_t>(block)].shares; }
  uint64_t generation(int32_t block) const {
    return states_[static_cast<size_t>(block)].generation;
  }
  // view().BlockBytes() bytes.
  std::byte* BlockData(int32_t block) const {
    return view_.data + static_cast<size_t>(block) * view_.BlockBytes();
  }
  // Whether the content outlives the last share. Off for a block that Allocate gave.
  void SetKept(int32_t block, bool kept);
  // Fills a block with zeros, so that damaged values in it cannot reach a later owner.
  void Zero(int32_t block) { ZeroFrom(block, 0); }
  // The same for the tokens from `first_token` on.
  void ZeroFrom(int32_t block, size_t first_token);

 private:
  friend class BlockRef;
  struct State {
    uint64_t generation = 0;
    uint32_t shares = 0;
    bool kept = false;
    int32_t older = kNone;  // neighbours in the list of idle blocks
    int32_t newer = kNone;
  };
  static constexpr int32_t kNone = -1;

  BlockPool(const KvCacheView& view, void* mapping, size_t mapping_bytes);
  void Release(int32_t block);
  void PushIdle(int32_t block);
  void RemoveIdle(int32_t block);

  KvCacheView view_;
  void* mapping_;
  size_t mapping_bytes_;
  std::vector<State> states_;
  std::vector<int32_t> free_;  // taken from the back
  int32_t oldest_idle_ = kNone;
  int32_t newest_idle_ = kNone;
  size_t num_idle_ = 0;
  uint64_t num_evictions_ = 0;
  size_t blocks_given_ = 0;   // from the first to the highest one that was given
  size_t touched_bytes_ = 0;  // by TouchAhead
};

}  // namespace pelton
