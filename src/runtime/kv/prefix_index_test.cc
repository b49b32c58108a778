#include "runtime/kv/prefix_index.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <random>
#include <vector>

namespace pelton {
namespace {

constexpr size_t kBlockTokens = 4;

KvCacheView TinyGeometry(size_t num_blocks) {
  return {.data = nullptr,
          .dtype = KvDType::kF32,
          .num_blocks = num_blocks,
          .layers = 1,
          .kv_heads = 1,
          .head_dim = 1,
          .block_tokens = kBlockTokens};
}

std::vector<BlockKey> KeysOf(const std::vector<int32_t>& tokens) {
  std::vector<BlockKey> keys;
  BlockKey parent =
      RootBlockKey({.model_fingerprint = "m", .salt = "", .geometry = TinyGeometry(1)});
  for (size_t i = 0; i + kBlockTokens <= tokens.size(); i += kBlockTokens) {
    parent = ChainBlockKey(parent, std::span(tokens).subspan(i, kBlockTokens));
    keys.push_back(parent);
  }
  return keys;
}

class PrefixIndexTest : public ::testing::Test {
 protected:
  void Make(size_t num_blocks) {
    pool_ = BlockPool::Create(TinyGeometry(num_blocks)).value();
    index_ = std::make_unique<PrefixIndex>(*pool_);
  }
  // Computes all blocks of `tokens` and publishes them.
  void Fill(const std::vector<int32_t>& tokens, BlockTable& table) {
    const std::vector<BlockKey> keys = KeysOf(tokens);
    for (size_t i = 0; i < keys.size(); ++i) {
      table.Append(*pool_->Allocate());
      index_->Publish(table[i], keys[i], std::span(tokens).subspan(i * kBlockTokens, kBlockTokens));
    }
  }
  PrefixIndex::Match Find(const std::vector<int32_t>& tokens) {
    return index_->Find(KeysOf(tokens), tokens);
  }

  std::unique_ptr<BlockPool> pool_;
  std::unique_ptr<PrefixIndex> index_;
};

TEST_F(PrefixIndexTest, FindsTheLongestCommonBeginningInWholeBlocks) {
  Make(8);
  BlockTable table;
  Fill({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, table);
  EXPECT_EQ(Find({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}).blocks, 3u);
  EXPECT_EQ(Find({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13}).blocks, 2u);
  EXPECT_EQ(Find({1, 2, 3, 4, 5, 6, 7}).blocks, 1u);
  EXPECT_EQ(Find({1, 2, 3}).blocks, 0u);
  EXPECT_EQ(Find({5, 6, 7, 8}).blocks, 0u) << "same tokens at another place";
}

TEST_F(PrefixIndexTest, IdleBlocksAreFoundAndTakenAgain) {
  Make(8);
  const std::vector<int32_t> tokens = {1, 2, 3, 4, 5, 6, 7, 8};
  BlockTable table;
  Fill(tokens, table);
  EXPECT_EQ(Find(tokens).idle, 0u);
  table.Clear();
  EXPECT_EQ(Find(tokens).blocks, 2u);
  EXPECT_EQ(Find(tokens).idle, 2u);
  BlockTable again;
  index_->Take(KeysOf(tokens), 2, again);
  EXPECT_EQ(again.size(), 2u);
  EXPECT_EQ(pool_->num_idle(), 0u);
  EXPECT_EQ(Find(tokens).idle, 0u);
}

TEST_F(PrefixIndexTest, ABlockGivenAwayIsAMissAndTheBeginningSurvivesLongest) {
  Make(3);
  const std::vector<int32_t> tokens = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  BlockTable table;
  Fill(tokens, table);
  table.Clear();
  {
    const auto taken = pool_->Allocate();
    EXPECT_EQ(Find(tokens).blocks, 2u);
  }
  EXPECT_EQ(Find(tokens).blocks, 2u) << "returned unpublished: still not the old content";
  std::vector<BlockRef> all;
  while (auto share = pool_->Allocate()) all.push_back(*std::move(share));
  EXPECT_EQ(Find(tokens).blocks, 0u);
}

TEST_F(PrefixIndexTest, EqualKeyWithOtherTokensIsAMiss) {
  Make(2);
  const std::vector<int32_t> mine = {1, 2, 3, 4};
  const std::vector<int32_t> other = {1, 2, 3, 5};
  const auto share = pool_->Allocate();
  index_->Publish(share->block(), KeysOf(mine)[0], other);  // as if SHA-256 had collided
  EXPECT_EQ(Find(mine).blocks, 0u);
}

TEST_F(PrefixIndexTest, TheFirstBlockToServeAKeyKeepsIt) {
  Make(4);
  const std::vector<int32_t> tokens = {1, 2, 3, 4};
  BlockTable first, second;
  Fill(tokens, first);
  Fill(tokens, second);
  EXPECT_NE(first[0], second[0]);
  second.Clear();
  EXPECT_EQ(pool_->num_free(), 3u) << "the second block was never kept";
  EXPECT_EQ(Find(tokens).blocks, 1u);
}

TEST_F(PrefixIndexTest, WithdrawnBlocksAreGone) {
  Make(4);
  const std::vector<int32_t> tokens = {1, 2, 3, 4, 5, 6, 7, 8};
  BlockTable table;
  Fill(tokens, table);
  index_->Withdraw(table[0]);
  index_->Withdraw(table[0]);
  EXPECT_EQ(Find(tokens).blocks, 0u);
  table.Clear();
  EXPECT_EQ(pool_->num_free(), 3u);
  EXPECT_EQ(pool_->num_idle(), 1u);
}

// Random owners come and go over a small alphabet, so that beginnings are shared, evicted and
// recomputed all the time. Every block's real content is written down beside the pool; whatever
// the index hands out must hold exactly the tokens that were asked for, and the shares that owners
// hold must add up to what the pool says.
class PrefixIndexProperty : public ::testing::TestWithParam<uint32_t> {};

TEST_P(PrefixIndexProperty, NoBlockIsLeakedOrSharedWrongly) {
  std::mt19937 random(GetParam());
  const auto below = [&](size_t n) {
    return std::uniform_int_distribution<size_t>(0, n - 1)(random);
  };
  const size_t num_blocks = 1 + below(12);
  const auto pool = BlockPool::Create(TinyGeometry(num_blocks)).value();
  PrefixIndex index(*pool);
  using Content = std::vector<int32_t>;  // all tokens from the start to the end of the block
  std::map<int32_t, Content> content;
  struct Owner {
    std::vector<int32_t> tokens;
    BlockTable table;
  };
  std::vector<std::unique_ptr<Owner>> owners;
  size_t hits = 0, evictions = 0;
  for (int operation = 0; operation < 600; ++operation) {
    const size_t kind = below(10);
    if (kind < 5) {  // a new owner: take what is cached, compute and publish the rest
      auto owner = std::make_unique<Owner>();
      owner->tokens.resize((1 + below(5)) * kBlockTokens);
      for (int32_t& token : owner->tokens) token = static_cast<int32_t>(below(8) == 0);
      const std::vector<BlockKey> keys = KeysOf(owner->tokens);
      const PrefixIndex::Match match = index.Find(keys, owner->tokens);
      index.Take(keys, match.blocks, owner->table);
      hits += match.blocks;
      for (size_t i = 0; i < match.blocks; ++i) {
        const Content want(owner->tokens.begin(),
                           owner->tokens.begin() + static_cast<long>((i + 1) * kBlockTokens));
        ASSERT_EQ(content[owner->table[i]], want) << "operation " << operation;
      }
      while (owner->table.size() < keys.size()) {
        const bool evicts = pool->num_free() == 0 && pool->num_idle() > 0;
        auto share = pool->Allocate();
        if (!share) break;
        evictions += evicts;
        const size_t i = owner->table.size();
        for (const auto& other : owners) {
          for (size_t j = 0; j < other->table.size(); ++j)
            ASSERT_NE(other->table[j], share->block());
        }
        content[share->block()] =
            Content(owner->tokens.begin(),
                    owner->tokens.begin() + static_cast<long>((i + 1) * kBlockTokens));
        const int32_t block = share->block();
        owner->table.Append(*std::move(share));
        if (below(6) != 0) {
          index.Publish(block, keys[i],
                        std::span(owner->tokens).subspan(i * kBlockTokens, kBlockTokens));
        }
      }
      owners.push_back(std::move(owner));
    } else if (kind < 9) {
      if (owners.empty()) continue;
      owners.erase(owners.begin() + static_cast<long>(below(owners.size())));
    } else {
      index.Withdraw(static_cast<int32_t>(below(num_blocks)));
    }
    std::map<int32_t, uint32_t> shares;
    for (const auto& owner : owners) {
      for (size_t i = 0; i < owner->table.size(); ++i) ++shares[owner->table[i]];
    }
    for (size_t b = 0; b < num_blocks; ++b) {
      const int32_t block = static_cast<int32_t>(b);
      ASSERT_EQ(pool->num_shares(block), shares.count(block) ? shares[block] : 0u);
    }
    ASSERT_EQ(pool->num_available(), num_blocks - shares.size());
  }
  owners.clear();
  ASSERT_EQ(pool->num_available(), num_blocks);
  if (num_blocks > 3) {
    EXPECT_GT(hits, 0u);
    EXPECT_GT(evictions, 0u);
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, PrefixIndexProperty, ::testing::Range(0u, 60u));

}  // namespace
}  // namespace pelton
