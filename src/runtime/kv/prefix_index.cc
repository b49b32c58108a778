#include "runtime/kv/prefix_index.h"

#include <algorithm>
#include <bit>
#include <optional>

#include "base/check.h"

namespace pelton {

PrefixIndex::PrefixIndex(BlockPool& pool)
    : pool_(pool),
      entries_(pool.num_blocks()),
      tokens_(pool.num_blocks() * pool.view().block_tokens),
      table_(std::bit_ceil(2 * pool.num_blocks()), kEmpty) {}

PrefixIndex::Match PrefixIndex::Find(std::span<const BlockKey> keys,
                                     std::span<const int32_t> tokens) const {
  const size_t block_tokens = pool_.view().block_tokens;
  Match match;
  for (const BlockKey& key : keys) {
    const int32_t block = FindBlock(key);
    if (block == kEmpty || !IsCurrent(block)) break;
    const int32_t* cached = tokens_.data() + static_cast<size_t>(block) * block_tokens;
    if (!std::equal(cached, cached + block_tokens, tokens.data() + match.blocks * block_tokens)) {
      break;
    }
    ++match.blocks;
    match.idle += pool_.num_shares(block) == 0;
  }
  return match;
}

void PrefixIndex::Take(std::span<const BlockKey> keys, size_t blocks, BlockTable& out) {
  for (const BlockKey& key : keys.first(blocks)) {
    const int32_t block = FindBlock(key);
    PELTON_CHECK(block != kEmpty, "a matched block stays until the next allocation");
    std::optional<BlockRef> share =
        pool_.Share(block, entries_[static_cast<size_t>(block)].generation);
    PELTON_CHECK(share.has_value(), "a matched block stays until the next allocation");
    out.Append(*std::move(share));
  }
}

bool PrefixIndex::Publish(int32_t block, const BlockKey& key, std::span<const int32_t> tokens) {
  PELTON_CHECK(pool_.num_shares(block) > 0, "only a held block is published");
  const int32_t present = FindBlock(key);
  if (present != kEmpty && present != block && IsCurrent(present)) return false;
  if (present != kEmpty) Erase(present);
  if (entries_[static_cast<size_t>(block)].used) Erase(block);  // what an earlier owner wrote
  size_t slot = Home(key);
  while (table_[slot] != kEmpty) slot = (slot + 1) & (table_.size() - 1);
  table_[slot] = block;
  entries_[static_cast<size_t>(block)] = {key, pool_.generation(block), true};
  std::copy(tokens.begin(), tokens.end(), MutableTokensOf(block).begin());
  pool_.SetKept(block, true);
  return true;
}

void PrefixIndex::Withdraw(int32_t block) {
  if (!entries_[static_cast<size_t>(block)].used) return;
  if (IsCurrent(block)) pool_.SetKept(block, false);
  Erase(block);
}

int32_t PrefixIndex::FindBlock(const BlockKey& key) const {
  for (size_t slot = Home(key); table_[slot] != kEmpty; slot = (slot + 1) & (table_.size() - 1)) {
    if (entries_[static_cast<size_t>(table_[slot])].key == key) return table_[slot];
  }
  return kEmpty;
}

bool PrefixIndex::IsCurrent(int32_t block) const {
  return entries_[static_cast<size_t>(block)].generation == pool_.generation(block);
}

std::span<const int32_t> PrefixIndex::TokensOf(int32_t block) const {
  const size_t block_tokens = pool_.view().block_tokens;
  return std::span(tokens_).subspan(static_cast<size_t>(block) * block_tokens, block_tokens);
}

std::span<int32_t> PrefixIndex::MutableTokensOf(int32_t block) {
  const size_t block_tokens = pool_.view().block_tokens;
  return std::span(tokens_).subspan(static_cast<size_t>(block) * block_tokens, block_tokens);
}

void PrefixIndex::Erase(int32_t block) {
  const size_t mask = table_.size() - 1;
  size_t hole = Home(entries_[static_cast<size_t>(block)].key);
  while (table_[hole] != block) hole = (hole + 1) & mask;
  // Entries behind the hole move up unless that would put them before their home.
  for (size_t slot = (hole + 1) & mask; table_[slot] != kEmpty; slot = (slot + 1) & mask) {
    const size_t home = Home(entries_[static_cast<size_t>(table_[slot])].key);
    if (((slot - home) & mask) >= ((slot - hole) & mask)) {
      table_[hole] = table_[slot];
      hole = slot;
    }
  }
  table_[hole] = kEmpty;
  entries_[static_cast<size_t>(block)].used = false;
}

}  // namespace pelton
