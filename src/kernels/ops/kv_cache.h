#pragma once

#include <cstddef>
#include <cstdint>

namespace pelton {

// kQ8: each row of a head is an f32 scale, then 8-bit integers, value = scale * integer.
// kFp8: each row of a latent cache is floats of 8 bits (E4M3) with f32 scales, then bf16 (below).
enum class KvDType : uint8_t { kF32, kF16, kQ8, kFp8 };

// Without scales; of kFp8 the first value_dim elements.
constexpr size_t KvElementBytes(KvDType dtype) {
  return dtype == KvDType::kF32 ? 4 : dtype == KvDType::kF16 ? 2 : 1;
}

// Head sizes that kQ8 takes.
inline constexpr size_t kQ8DimMultiple = 32;
inline constexpr size_t kQ8MaxDim = 512;

// Elements of a row of kFp8 that share a scale; value_dim is a multiple of it.
inline constexpr size_t kFp8Group = 128;
inline constexpr size_t kFp8MaxDim = 1024;  // head_dim that kFp8 takes

// The KV cache of a model: blocks of block_tokens tokens, each block contiguous over all layers so
// that it can be copied, hashed or sent as one piece:
//   block [layer][K, V][kv_head G][block_tokens][head_dim D]
// Rows of kQ8 have their scale before them; such a cache is neither latent nor indexed.
// A *latent* cache has one row for a token, which all heads share and which is key and value in
// one: the value of a key is the first value_dim elements of its row. There is no V part, and G is
// 1:
//   block [layer][block_tokens][head_dim D]
// Source: DeepSeek-V2 report, section 2.1. A row of kFp8, 656 bytes for 512 + 64 elements, is
//   E4M3 [value_dim], f32 scale [value_dim / 128], bf16 [head_dim - value_dim]
// with value = scale * E4M3. A scale is a power of two, or NaN where a NaN or an infinity was in
// the group, which no code is; 0 in a row that nobody wrote. Source: FlashMLA, README, "FP8 KV
// cache". Where an indexer chooses what attention sees, each layer of a latent cache also has a key
// of it for every token:
//   block [layer]{[block_tokens][head_dim D], [block_tokens][index_dim]}
// of IndexDType(). Source: DeepSeek-V3.2 report, section 2.1. With compressed entries
// (kernels/ops/compressed.h) what they are made of lies there instead. `data` is 64-byte aligned. A
// block table maps a sequence's token position p to block table[p / block_tokens], offset p %
// block_tokens.
struct KvCacheView {
  std::byte* data;
  KvDType dtype;
  size_t num_blocks;
  size_t layers;
  size_t kv_heads;
  size_t head_dim;
  size_t block_tokens;
  size_t value_dim = 0;  // of a latent cache, up to head_dim; 0: K and V rows of head_dim each
  size_t index_dim = 0;  // of an indexer's key, or what entries need; 0: none

  bool IsLatent() const { return value_dim != 0; }
  size_t ValueDim() const { return IsLatent() ? value_dim : head_dim; }
  size_t Sides() const { return IsLatent() ? 1 : 2; }  // K and V, or one for both

  // Which keys an indexer chooses hangs on small differences of its own: kFp8 leaves them in f16.
  KvDType IndexDType() const { return dtype == KvDType::kFp8 ? KvDType::kF16 : dtype; }

  // Always inline, as those below: kernels of each instruction set would export copies of their
  // own.
  [[gnu::always_inline]] size_t RowBytes() const {
    if (dtype == KvDType::kFp8) {
      return value_dim + value_dim / kFp8Group * sizeof(float) +
             (head_dim - value_dim) * sizeof(uint16_t);
    }
    return (dtype == KvDType::kQ8 ? sizeof(float) : 0) + head_dim * KvElementBytes(dtype);
  }
  [[gnu::always_inline]] size_t HeadBytes() const { return block_tokens * RowBytes(); }
  [[gnu::always_inline]] size_t IndexBytes() const {
    return block_tokens * index_dim * KvElementBytes(IndexDType());
  }
  [[gnu::always_inline]] size_t LayerBytes() const {
    return Sides() * kv_heads * HeadBytes() + IndexBytes();
  }
  [[gnu::always_inline]] size_t BlockBytes() const { return layers * LayerBytes(); }
  // K rows [block_tokens, head_dim] of one head in one block; V rows follow all K heads. The V rows
  // of a latent cache are its K rows.
  [[gnu::always_inline]] std::byte* K(size_t block, size_t layer, size_t kv_head) const {
    return data + block * BlockBytes() + layer * LayerBytes() + kv_head * HeadBytes();
  }
  [[gnu::always_inline]] std::byte* V(size_t block, size_t layer, size_t kv_head) const {
    return K(block, layer, IsLatent() ? kv_head : kv_heads + kv_head);
  }
  // The indexer's keys [block_tokens, index_dim] of one block.
  [[gnu::always_inline]] std::byte* Index(size_t block, size_t layer) const {
    return K(block, layer, Sides() * kv_heads);
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
