#include "runtime/kv/block_pool.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "base/check.h"
#include "base/checked_math.h"

namespace pelton {
namespace {

constexpr size_t kHugePageBytes = size_t{2} << 20;

// Bytes of all blocks, or empty if they do not fit a size_t.
std::optional<size_t> TotalBytes(const KvCacheView& geometry) {
  if (geometry.head_dim == 0) return 0;
  // No row takes more than this.
  std::optional<size_t> bytes = CheckedMul(geometry.head_dim, sizeof(double));
  if (bytes) bytes = geometry.RowBytes();
  for (const size_t factor : {geometry.Sides(), geometry.kv_heads}) {
    if (bytes) bytes = CheckedMul(*bytes, factor);
  }
  if (bytes == size_t{0}) return bytes;
  const std::optional<size_t> index =
      CheckedMul(geometry.index_dim, KvElementBytes(geometry.IndexDType()));
  bytes = bytes && index ? CheckedAdd(*bytes, *index) : std::nullopt;
  for (const size_t factor : {geometry.layers, geometry.block_tokens, geometry.num_blocks}) {
    if (bytes) bytes = CheckedMul(*bytes, factor);
  }
  return bytes;
}

}  // namespace

BlockRef::BlockRef(BlockRef&& other) noexcept
    : pool_(std::exchange(other.pool_, nullptr)), block_(other.block_) {}

BlockRef& BlockRef::operator=(BlockRef&& other) noexcept {
  if (this != &other) {
    if (pool_ != nullptr) pool_->Release(block_);
    pool_ = std::exchange(other.pool_, nullptr);
    block_ = other.block_;
  }
  return *this;
}

BlockRef::~BlockRef() {
  if (pool_ != nullptr) pool_->Release(block_);
}

Result<std::unique_ptr<BlockPool>> BlockPool::Create(const KvCacheView& geometry) {
  if (geometry.data != nullptr) return InvalidArgument("a block pool makes its own memory");
  const std::optional<size_t> bytes = TotalBytes(geometry);
  const bool rows_fit = geometry.IsLatent()
                            ? geometry.kv_heads == 1 && geometry.value_dim <= geometry.head_dim
                            : geometry.index_dim == 0 && geometry.dtype != KvDType::kFp8;
  if (bytes == size_t{0} || !rows_fit ||
      geometry.num_blocks > std::numeric_limits<int32_t>::max()) {
    return InvalidArgument(fmt::format(
        "a KV cache of {} blocks of {} layers, {} heads, {} values and {} tokens cannot be made",
        geometry.num_blocks, geometry.layers, geometry.kv_heads, geometry.head_dim,
        geometry.block_tokens));
  }
  // One huge page more, so that the first block can start on a huge page.
  const std::optional<size_t> mapping_bytes =
      bytes ? CheckedAdd(*bytes, kHugePageBytes) : std::nullopt;
  if (!mapping_bytes) return InvalidArgument("the KV cache is larger than the address space");
  void* mapping = mmap(nullptr, *mapping_bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED) {
    return ResourceExhausted(
        fmt::format("the system refused {} bytes for a KV cache of {} blocks of {} tokens", *bytes,
                    geometry.num_blocks, geometry.block_tokens));
  }
  madvise(mapping, *mapping_bytes, MADV_HUGEPAGE);  // advice only: without it everything works
  KvCacheView view = geometry;
  const uintptr_t start = reinterpret_cast<uintptr_t>(mapping);
  view.data = static_cast<std::byte*>(mapping) + (RoundUp(start, kHugePageBytes) - start);
  return std::unique_ptr<BlockPool>(new BlockPool(view, mapping, *mapping_bytes));
}

BlockPool::BlockPool(const KvCacheView& view, void* mapping, size_t mapping_bytes)
    : view_(view), mapping_(mapping), mapping_bytes_(mapping_bytes), states_(view.num_blocks) {
  free_.reserve(view.num_blocks);
  for (size_t i = view.num_blocks; i > 0; --i) free_.push_back(static_cast<int32_t>(i - 1));
}

BlockPool::~BlockPool() {
  PELTON_CHECK(num_available() == num_blocks(), "every share is returned before the pool goes");
  munmap(mapping_, mapping_bytes_);
}

bool BlockPool::TouchAhead(size_t ahead) {
  const size_t all = num_blocks() * view_.BlockBytes();
  const size_t given = blocks_given_ * view_.BlockBytes();
  const size_t wanted = ahead < all - given ? given + ahead : all;
  if (ahead == 0 || touched_bytes_ >= wanted) return false;
  const size_t bytes = std::min(kHugePageBytes, all - touched_bytes_);
  if (madvise(view_.data + touched_bytes_, bytes, MADV_POPULATE_WRITE) != 0) return false;
  touched_bytes_ += bytes;
  return true;
}

std::optional<BlockRef> BlockPool::Allocate() {
  int32_t block;
  if (!free_.empty()) {
    block = free_.back();
    free_.pop_back();
  } else if (oldest_idle_ != kNone) {
    block = oldest_idle_;
    RemoveIdle(block);
    ++num_evictions_;
  } else {
    return std::nullopt;
  }
  blocks_given_ = std::max(blocks_given_, static_cast<size_t>(block) + 1);
  State& state = states_[static_cast<size_t>(block)];
  ++state.generation;
  state.shares = 1;
  state.kept = false;
  return BlockRef(this, block);
}

std::optional<BlockRef> BlockPool::Share(int32_t block, uint64_t generation) {
  State& state = states_[static_cast<size_t>(block)];
  if (state.generation != generation) return std::nullopt;
  if (state.shares == 0) {
    if (!state.kept) return std::nullopt;
    RemoveIdle(block);
  }
  ++state.shares;
  return BlockRef(this, block);
}

std::vector<int32_t> BlockPool::IdleBlocks() const {
  std::vector<int32_t> blocks;
  blocks.reserve(num_idle_);
  for (int32_t block = oldest_idle_; block != kNone;
       block = states_[static_cast<size_t>(block)].newer) {
    blocks.push_back(block);
  }
  return blocks;
}

void BlockPool::SetKept(int32_t block, bool kept) {
  State& state = states_[static_cast<size_t>(block)];
  if (state.shares == 0 && state.kept && !kept) {
    RemoveIdle(block);
    free_.push_back(block);
  }
  PELTON_CHECK(state.shares > 0 || !kept, "only a held block's content can become kept");
  state.kept = kept;
}

void BlockPool::ZeroFrom(int32_t block, size_t first_token) {
  const size_t begin = first_token * view_.RowBytes();
  const auto index = static_cast<size_t>(block);
  for (size_t layer = 0; layer < view_.layers; ++layer) {
    for (size_t head = 0; head < view_.kv_heads; ++head) {
      std::memset(view_.K(index, layer, head) + begin, 0, view_.HeadBytes() - begin);
      if (view_.IsLatent()) continue;
      std::memset(view_.V(index, layer, head) + begin, 0, view_.HeadBytes() - begin);
    }
    const size_t index_begin = first_token * (view_.IndexBytes() / view_.block_tokens);
    std::memset(view_.Index(index, layer) + index_begin, 0, view_.IndexBytes() - index_begin);
  }
}

void BlockPool::Release(int32_t block) {
  State& state = states_[static_cast<size_t>(block)];
  PELTON_DCHECK(state.shares > 0, "only a held block is released");
  if (--state.shares > 0) return;
  if (state.kept) {
    PushIdle(block);
  } else {
    free_.push_back(block);
  }
}

void BlockPool::PushIdle(int32_t block) {
  State& state = states_[static_cast<size_t>(block)];
  state.older = newest_idle_;
  state.newer = kNone;
  if (newest_idle_ != kNone) states_[static_cast<size_t>(newest_idle_)].newer = block;
  newest_idle_ = block;
  if (oldest_idle_ == kNone) oldest_idle_ = block;
  ++num_idle_;
}

void BlockPool::RemoveIdle(int32_t block) {
  State& state = states_[static_cast<size_t>(block)];
  if (state.older != kNone) states_[static_cast<size_t>(state.older)].newer = state.newer;
  if (state.newer != kNone) states_[static_cast<size_t>(state.newer)].older = state.older;
  if (oldest_idle_ == block) oldest_idle_ = state.newer;
  if (newest_idle_ == block) newest_idle_ = state.older;
  --num_idle_;
}

}  // namespace pelton
