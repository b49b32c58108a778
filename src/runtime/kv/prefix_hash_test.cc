#include "runtime/kv/prefix_hash.h"

#include <gtest/gtest.h>

#include <numeric>
#include <string>
#include <thread>
#include <vector>

namespace pelton {
namespace {

std::string Hex(const BlockKey& key) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const uint8_t byte : key.bytes) {
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
  return out;
}

PrefixScope SmallScope() {
  return {.model_fingerprint = "model",
          .salt = "tenant",
          .geometry = {.data = nullptr,
                       .dtype = KvDType::kF16,
                       .num_blocks = 7,
                       .layers = 30,
                       .kv_heads = 3,
                       .head_dim = 64,
                       .block_tokens = 32}};
}

std::vector<int32_t> FirstTokens() {
  std::vector<int32_t> tokens(32);
  std::iota(tokens.begin(), tokens.end(), 0);
  return tokens;
}

// The expected digests were computed with Python's hashlib from the encoding in the header.
TEST(PrefixHash, MatchesTheWrittenEncoding) {
  const BlockKey root = RootBlockKey(SmallScope());
  EXPECT_EQ(Hex(root), "7d580652d50ba2ffe93b5152099725e89788e6857505e9d2ca63cbc0632242a1");
  EXPECT_EQ(Hex(ChainBlockKey(root, FirstTokens())),
            "61f3168df53a03a5119974de6088ffde6dd1ebae573de7e4d1e1730ef70c442d");
}

TEST(PrefixHash, OfALatentCacheMatchesTheWrittenEncoding) {
  PrefixScope scope = SmallScope();
  scope.geometry.kv_heads = 1;
  scope.geometry.head_dim = 576;
  scope.geometry.value_dim = 512;
  EXPECT_EQ(Hex(RootBlockKey(scope)),
            "3ed6679eef2b04868718f8e112afaa9ddbdf36c5428b61170735b82334568327");
  scope.geometry.index_dim = 128;
  EXPECT_EQ(Hex(RootBlockKey(scope)),
            "77220d7ca5929b3505a892f028f400a9c132ce9e09b69d76d14d1f7b2c4a533f");
}

TEST(PrefixHash, SameOnEveryThread) {
  const BlockKey here = ChainBlockKey(RootBlockKey(SmallScope()), FirstTokens());
  BlockKey there{};
  std::thread([&] { there = ChainBlockKey(RootBlockKey(SmallScope()), FirstTokens()); }).join();
  EXPECT_EQ(here, there);
}

TEST(PrefixHash, EveryPartOfTheScopeCounts) {
  const BlockKey base = RootBlockKey(SmallScope());
  const auto differs = [&](auto change) {
    PrefixScope scope = SmallScope();
    change(scope);
    return RootBlockKey(scope) != base;
  };
  EXPECT_TRUE(differs([](PrefixScope& s) { s.model_fingerprint = "model2"; }));
  EXPECT_TRUE(differs([](PrefixScope& s) { s.salt = ""; }));
  for (const KvDType dtype : {KvDType::kF32, KvDType::kQ8, KvDType::kFp8}) {
    EXPECT_TRUE(differs([&](PrefixScope& s) { s.geometry.dtype = dtype; }));
  }
  EXPECT_TRUE(differs([](PrefixScope& s) { ++s.geometry.layers; }));
  EXPECT_TRUE(differs([](PrefixScope& s) { ++s.geometry.kv_heads; }));
  EXPECT_TRUE(differs([](PrefixScope& s) { ++s.geometry.head_dim; }));
  EXPECT_TRUE(differs([](PrefixScope& s) { ++s.geometry.block_tokens; }));
  EXPECT_TRUE(differs([](PrefixScope& s) { ++s.geometry.value_dim; }));
  // A byte moved from one text to the other is another scope.
  EXPECT_TRUE(differs([](PrefixScope& s) {
    s.model_fingerprint = "modelt";
    s.salt = "enant";
  }));
  // The size of the pool is not content.
  EXPECT_FALSE(differs([](PrefixScope& s) { ++s.geometry.num_blocks; }));
}

TEST(PrefixHash, TheWholeBeginningCounts) {
  const BlockKey root = RootBlockKey(SmallScope());
  std::vector<int32_t> first = FirstTokens();
  const std::vector<int32_t> second = FirstTokens();
  const BlockKey key = ChainBlockKey(ChainBlockKey(root, first), second);
  first[5] ^= 1;
  EXPECT_NE(ChainBlockKey(ChainBlockKey(root, first), second), key);
}

}  // namespace
}  // namespace pelton
