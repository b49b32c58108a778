#include "runtime/kv/block_pool.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <limits>
#include <vector>

#include "runtime/kv/block_table.h"

namespace pelton {
namespace {

KvCacheView Geometry(size_t num_blocks) {
  return {.data = nullptr,
          .dtype = KvDType::kF32,
          .num_blocks = num_blocks,
          .layers = 2,
          .kv_heads = 1,
          .head_dim = 4,
          .block_tokens = 8};
}

TEST(BlockPool, GivesEachBlockOnceAndTakesItBack) {
  const auto pool = BlockPool::Create(Geometry(3)).value();
  EXPECT_EQ(reinterpret_cast<uintptr_t>(pool->view().data) % 64, 0u);
  {
    std::vector<BlockRef> held;
    held.reserve(3);
    for (int i = 0; i < 3; ++i) held.push_back(*pool->Allocate());
    EXPECT_EQ(held[0].block(), 0);
    EXPECT_EQ(held[1].block(), 1);
    EXPECT_EQ(held[2].block(), 2);
    EXPECT_FALSE(pool->Allocate().has_value());
    EXPECT_EQ(pool->num_available(), 0u);
  }
  EXPECT_EQ(pool->num_free(), 3u);
  EXPECT_EQ(pool->num_idle(), 0u);
}

TEST(BlockPool, EveryBlockIsWritableAndItsOwn) {
  const auto pool = BlockPool::Create(Geometry(4)).value();
  const KvCacheView& view = pool->view();
  for (size_t b = 0; b < 4; ++b) {
    std::fill_n(view.data + b * view.BlockBytes(), view.BlockBytes(), std::byte(b + 1));
  }
  pool->Zero(1);
  for (size_t b = 0; b < 4; ++b) {
    const std::byte want = b == 1 ? std::byte(0) : std::byte(b + 1);
    const std::byte* begin = view.data + b * view.BlockBytes();
    EXPECT_TRUE(
        std::all_of(begin, begin + view.BlockBytes(), [&](std::byte x) { return x == want; }));
  }
}

TEST(BlockPool, BlocksOfALatentCacheHaveOneSide) {
  KvCacheView geometry = Geometry(3);
  geometry.value_dim = 3;
  const auto pool = BlockPool::Create(geometry).value();
  const KvCacheView& view = pool->view();
  EXPECT_EQ(2 * view.BlockBytes(), Geometry(3).BlockBytes());
  const size_t row_bytes = view.HeadBytes() / view.block_tokens;
  for (size_t layer = 0; layer < view.layers; ++layer) {
    EXPECT_EQ(view.K(1, layer, 0), view.data + view.BlockBytes() + layer * view.HeadBytes());
    EXPECT_EQ(view.V(1, layer, 0), view.K(1, layer, 0));
  }
  std::fill_n(view.data, 3 * view.BlockBytes(), std::byte(1));
  pool->ZeroFrom(1, 5);
  for (size_t i = 0; i < 3 * view.BlockBytes(); ++i) {
    const bool zeroed = i / view.BlockBytes() == 1 && i % view.HeadBytes() >= 5 * row_bytes;
    ASSERT_EQ(view.data[i], std::byte(zeroed ? 0 : 1)) << "byte " << i;
  }
}

TEST(BlockPool, BlocksHaveKeysOfAnIndexerBehindALayersRows) {
  KvCacheView geometry = Geometry(3);
  geometry.value_dim = 3;
  geometry.index_dim = 5;
  const auto pool = BlockPool::Create(geometry).value();
  const KvCacheView& view = pool->view();
  const size_t row_bytes = 4 * sizeof(float), index_bytes = 5 * sizeof(float);
  ASSERT_EQ(view.LayerBytes(), 8 * (row_bytes + index_bytes));
  ASSERT_EQ(view.BlockBytes(), 2 * view.LayerBytes());
  EXPECT_EQ(view.K(1, 1, 0), view.data + 3 * view.LayerBytes());
  EXPECT_EQ(view.Index(1, 1), view.K(1, 1, 0) + 8 * row_bytes);
  std::fill_n(view.data, 3 * view.BlockBytes(), std::byte(1));
  pool->ZeroFrom(1, 5);
  for (size_t i = 0; i < 3 * view.BlockBytes(); ++i) {
    const size_t in_layer = i % view.LayerBytes(), rows = 8 * row_bytes;
    const size_t token = in_layer < rows ? in_layer / row_bytes : (in_layer - rows) / index_bytes;
    const bool zeroed = i / view.BlockBytes() == 1 && token >= 5;
    ASSERT_EQ(view.data[i], std::byte(zeroed ? 0 : 1)) << "byte " << i;
  }
}

TEST(BlockPool, ZeroesFloatsOf8BitsTheirScalesAndKeysBesideThem) {
  KvCacheView geometry = Geometry(2);
  geometry.dtype = KvDType::kFp8;
  geometry.head_dim = 130;
  geometry.value_dim = 128;
  geometry.index_dim = 3;
  const auto pool = BlockPool::Create(geometry).value();
  const KvCacheView view = pool->view();
  const size_t row_bytes = 128 + 4 + 2 * 2, index_bytes = 3 * 2;
  ASSERT_EQ(view.LayerBytes(), 8 * (row_bytes + index_bytes));
  std::fill_n(view.data, 2 * view.BlockBytes(), std::byte(1));
  pool->ZeroFrom(0, 6);
  for (size_t i = 0; i < 2 * view.BlockBytes(); ++i) {
    const size_t in_layer = i % view.LayerBytes(), rows = 8 * row_bytes;
    const size_t token = in_layer < rows ? in_layer / row_bytes : (in_layer - rows) / index_bytes;
    const bool zeroed = i < view.BlockBytes() && token >= 6;
    ASSERT_EQ(view.data[i], std::byte(zeroed ? 0 : 1)) << "byte " << i;
  }
  geometry.value_dim = geometry.index_dim = 0;
  EXPECT_EQ(BlockPool::Create(geometry).status().code(), StatusCode::kInvalidArgument)
      << "of latent rows alone";
}

TEST(BlockPool, RefusesLatentRowsThatAreNotOneKey) {
  KvCacheView geometry = Geometry(3);
  geometry.index_dim = 2;
  EXPECT_EQ(BlockPool::Create(geometry).status().code(), StatusCode::kInvalidArgument)
      << "an indexer without latent rows";
  geometry.value_dim = geometry.head_dim + 1;
  EXPECT_EQ(BlockPool::Create(geometry).status().code(), StatusCode::kInvalidArgument)
      << "a value is a part of a row";
  geometry.value_dim = 3;
  geometry.kv_heads = 2;
  EXPECT_EQ(BlockPool::Create(geometry).status().code(), StatusCode::kInvalidArgument);
}

TEST(BlockPool, KeptBlocksIdleUntilTheOldestIsNeeded) {
  const auto pool = BlockPool::Create(Geometry(3)).value();
  BlockTable table;
  for (int i = 0; i < 3; ++i) table.Append(*pool->Allocate());
  pool->SetKept(0, true);
  pool->SetKept(1, true);
  const uint64_t generation_of_1 = pool->generation(1);
  table.Clear();  // returns 2, 1, 0
  EXPECT_EQ(pool->num_free(), 1u);
  EXPECT_EQ(pool->num_idle(), 2u);
  const BlockRef free_first = *pool->Allocate();
  EXPECT_EQ(free_first.block(), 2);
  const BlockRef oldest_next = *pool->Allocate();
  EXPECT_EQ(oldest_next.block(), 1);
  EXPECT_FALSE(pool->Share(1, generation_of_1).has_value()) << "its content is gone";
  EXPECT_TRUE(pool->Share(0, pool->generation(0)).has_value());
}

TEST(BlockPool, SharesAreCounted) {
  const auto pool = BlockPool::Create(Geometry(2)).value();
  auto first = pool->Allocate();
  auto second = pool->Share(first->block(), pool->generation(first->block()));
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(pool->num_shares(0), 2u);
  BlockRef moved = std::move(*first);
  first.reset();
  EXPECT_EQ(pool->num_shares(0), 2u);
  second.reset();
  EXPECT_EQ(pool->num_shares(0), 1u);
  moved = *pool->Allocate();  // returns block 0
  EXPECT_EQ(pool->num_shares(0), 0u);
  EXPECT_EQ(pool->num_free(), 1u);
}

TEST(BlockPool, UnusedContentThatIsNoLongerKeptIsFree) {
  const auto pool = BlockPool::Create(Geometry(1)).value();
  auto share = pool->Allocate();
  pool->SetKept(0, true);
  share.reset();
  EXPECT_EQ(pool->num_idle(), 1u);
  pool->SetKept(0, false);
  EXPECT_EQ(pool->num_idle(), 0u);
  EXPECT_EQ(pool->num_free(), 1u);
  EXPECT_FALSE(pool->Share(0, pool->generation(0)).has_value());
}

// Asked of the system itself, so that a pool that touches nothing does not pass for one that
// cannot.
bool SystemCanPopulate() {
  const auto bytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  void* page = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT_NE(page, MAP_FAILED);
  const bool can = madvise(page, bytes, MADV_POPULATE_WRITE) == 0;
  munmap(page, bytes);
  return can;
}

TEST(BlockPool, TouchesMemoryAheadOfUse) {
  if (!SystemCanPopulate()) GTEST_SKIP() << "the kernel has no MADV_POPULATE_WRITE (Linux 5.14)";
  constexpr size_t kMib = size_t{1} << 20;
  KvCacheView geometry = Geometry(12);
  geometry.head_dim = 1 << 14;  // blocks of 2 MiB
  const auto pool = BlockPool::Create(geometry).value();
  ASSERT_EQ(pool->view().BlockBytes(), 2 * kMib);
  const auto is_there = [&](int32_t block) {
    unsigned char pages[1] = {};
    const long page_bytes = sysconf(_SC_PAGESIZE);
    EXPECT_EQ(mincore(pool->BlockData(block), static_cast<size_t>(page_bytes), pages), 0);
    return (pages[0] & 1) != 0;
  };
  const BlockRef first = *pool->Allocate();
  std::memset(pool->BlockData(0), 7, 2 * kMib);
  EXPECT_FALSE(pool->TouchAhead(0));
  size_t touched = 0;
  while (pool->TouchAhead(5 * kMib)) ++touched;
  EXPECT_EQ(touched, 4u) << "2 MiB each, of the block that was given and 5 MiB behind it";
  EXPECT_TRUE(is_there(3));
  EXPECT_FALSE(is_there(6));
  EXPECT_EQ(std::to_integer<int>(*pool->BlockData(0)), 7) << "what was there stays";
  // The aim goes along with use, and ends at the last block.
  const BlockRef second = *pool->Allocate();
  EXPECT_TRUE(pool->TouchAhead(5 * kMib));
  EXPECT_FALSE(pool->TouchAhead(5 * kMib));
  while (pool->TouchAhead(~size_t{0})) {
  }
  EXPECT_TRUE(is_there(11));
}

TEST(BlockPool, RefusesSizesThatAreZeroOrOverflow) {
  EXPECT_EQ(BlockPool::Create(Geometry(0)).status().code(), StatusCode::kInvalidArgument);
  KvCacheView huge = Geometry(1 << 20);
  huge.layers = std::numeric_limits<size_t>::max() / 8;
  EXPECT_EQ(BlockPool::Create(huge).status().code(), StatusCode::kInvalidArgument);
  KvCacheView too_large = Geometry(1 << 20);
  too_large.layers = size_t{1} << 30;
  const Status refused = BlockPool::Create(too_large).status();
  EXPECT_EQ(refused.code(), StatusCode::kResourceExhausted);
  EXPECT_NE(refused.message().find("1048576 blocks"), std::string::npos) << refused.message();
}

}  // namespace
}  // namespace pelton
