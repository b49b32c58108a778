#pragma once

#include <cstddef>
#include <cstdint>

namespace pelton {

enum class KvDType : uint8_t { kF32, kF16 };

constexpr size_t KvElementBytes(KvDType dtype) { return dtype == KvDType::kF32 ? 4 : 2; }

// The KV cache of a model: blocks of block_tokens tokens, each block contiguous over all layers so
// that it can be copied, hashed or sent as one piece:
//   block [layer][K, V][kv_head G][block_tokens][head_dim D]
// `data` is 64-byte aligned. A block table maps a sequence's token position p to block
// table[p / block_tokens], offset p % block_tokens.
struct KvCacheView {
  std::byte* data;
  KvDType dtype;
  size_t num_blocks;
  size_t layers;
  size_t kv_heads;
  size_t head_dim;
  size_t block_tokens;

  size_t HeadBytes() const { return block_tokens * head_dim * KvElementBytes(dtype); }
  size_t BlockBytes() const { return layers * 2 * kv_heads * HeadBytes(); }
  // K rows [block_tokens, head_dim] of one head in one block; V rows follow all K heads.
  std::byte* K(size_t block, size_t layer, size_t kv_head) const {
    return data + block * BlockBytes() + (layer * 2 * kv_heads + kv_head) * HeadBytes();
  }
  std::byte* V(size_t block, size_t layer, size_t kv_head) const {
    return data + block * BlockBytes() + ((layer * 2 + 1) * kv_heads + kv_head) * HeadBytes();
  }
};

// One sequence's part of a step: `count` new tokens, rows [first_row, first_row + count) of the
// step's token tensors, at positions [context - count, context). Before attention runs, the keys
// and values of all positions below `context` are in the cache.
struct SequenceSpan {
  int32_t first_row;
  int32_t count;
  int32_t context;
  const int32_t* block_table;  // at least ceil(context / block_tokens) block numbers
};

}  // namespace pelton
