#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "kernels/ops/kv_cache.h"

namespace pelton {

// What names the content of a KV block: a SHA-256 over everything that the content depends on.
// Worker, router and every tier must compute the same key, so the encoding below is fixed.
struct BlockKey {
  std::array<uint8_t, 32> bytes;

  // For hash tables: the digest is uniform, so any of its words will do.
  uint64_t Word() const;
  friend auto operator<=>(const BlockKey&, const BlockKey&) = default;
};

// What the K/V of a token depends on besides the tokens up to it.
struct PrefixScope {
  std::string_view model_fingerprint;  // weights, numerics mode and adapter; any bytes
  std::string_view salt;               // keeps tenants apart: equal text, different keys
  KvCacheView geometry;                // all but data and num_blocks
};

// The parent of a sequence's first block:
//   SHA-256("pelton kv 1\0", u64 fingerprint size, fingerprint, u64 salt size, salt, u64 dtype,
//           u64 layers, u64 kv_heads, u64 head_dim, u64 block_tokens)
// and behind these, of a latent cache, u64 value_dim, and with keys of an indexer, u64 index_dim;
// integers little-endian.
BlockKey RootBlockKey(const PrefixScope& scope);

// The key of the block that holds `tokens` after the block `parent`:
//   SHA-256(parent, i32 tokens...), little-endian.
// Where the K/V of generated tokens is not that of a prompt, and the tokens from place `prompt` on
// were generated: SHA-256(parent, i32 tokens..., u32 prompt).
// About 0.2 us for 32 tokens where the processor has SHA instructions. Any thread; no heap
// allocation after a thread's first call.
BlockKey ChainBlockKey(const BlockKey& parent, std::span<const int32_t> tokens,
                       std::optional<uint32_t> prompt = std::nullopt);

}  // namespace pelton
