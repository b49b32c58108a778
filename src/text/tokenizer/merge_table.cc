#include "text/tokenizer/merge_table.h"

#include <bit>

namespace pelton::tokenizer {

void MergeTable::Reset(size_t merges) {
  slots_.assign(std::bit_ceil(merges * 2 + 2), Slot{});
  mask_ = slots_.size() - 1;
}

void MergeTable::Insert(int32_t left, int32_t right, Merge merge, Duplicates duplicates) {
  const uint64_t key = Key(left, right);
  for (size_t i = Hash(key) & mask_;; i = (i + 1) & mask_) {
    Slot& slot = slots_[i];
    if (slot.key == key && duplicates == Duplicates::kFirstWins) return;
    if (slot.key == kEmpty || slot.key == key) {
      slot = {key, merge};
      return;
    }
  }
}

}  // namespace pelton::tokenizer
