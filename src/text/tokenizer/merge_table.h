#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace pelton::tokenizer {

// What a pair of neighbouring tokens becomes.
struct Merge {
  static constexpr uint32_t kNoRank = UINT32_MAX;
  uint32_t rank = kNoRank;  // lower ranks merge first
  int32_t id = -1;
};

// (left token, right token) -> Merge: open addressing, at most half full.
class MergeTable {
 public:
  enum class Duplicates { kFirstWins, kLastWins };

  // Makes room for `merges` entries and forgets those of before.
  void Reset(size_t merges);
  // Requires: the number of calls since Reset is within its argument; ids >= 0.
  void Insert(int32_t left, int32_t right, Merge merge, Duplicates duplicates);
  // Rank kNoRank if the pair does not merge.
  Merge Find(int32_t left, int32_t right) const {
    const uint64_t key = Key(left, right);
    for (size_t i = Hash(key) & mask_;; i = (i + 1) & mask_) {
      if (slots_[i].key == key) return slots_[i].merge;
      if (slots_[i].key == kEmpty) return {};
    }
  }

 private:
  static constexpr uint64_t kEmpty = UINT64_MAX;  // no pair of ids that are not negative
  struct Slot {
    uint64_t key = kEmpty;
    Merge merge;
  };

  static uint64_t Key(int32_t left, int32_t right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }
  static uint64_t Hash(uint64_t key) {
    key = (key ^ key >> 32) * 0x9E3779B97F4A7C15;
    return key ^ key >> 29;
  }

  std::vector<Slot> slots_ = std::vector<Slot>(1);
  size_t mask_ = 0;
};

}  // namespace pelton::tokenizer
