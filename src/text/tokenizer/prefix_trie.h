#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace pelton::tokenizer {

// A set of texts that is walked byte by byte. Nodes are numbers; the root is kRoot.
class PrefixTrie {
 public:
  static constexpr int32_t kRoot = 0;

  PrefixTrie() : values_{-1}, slots_(16), mask_(15) {}

  // `value` >= 0 is what Value gives at the end of `text`. Of equal texts the last stays.
  void Insert(std::string_view text, int32_t value);
  // The node one byte further, or -1.
  int32_t Step(int32_t node, unsigned char byte) const {
    const uint64_t key = Key(node, byte);
    for (size_t i = Hash(key) & mask_;; i = (i + 1) & mask_) {
      if (slots_[i].key == key) return slots_[i].node;
      if (slots_[i].key == kEmpty) return -1;
    }
  }
  // -1 if no text ends at `node`.
  int32_t Value(int32_t node) const { return values_[static_cast<size_t>(node)]; }

 private:
  static constexpr uint64_t kEmpty = UINT64_MAX;
  struct Slot {
    uint64_t key = kEmpty;
    int32_t node = -1;
  };

  static uint64_t Key(int32_t node, unsigned char byte) {
    return static_cast<uint64_t>(static_cast<uint32_t>(node)) << 8 | byte;
  }
  static size_t Hash(uint64_t key) {
    key *= 0x9E3779B97F4A7C15;
    return key ^ key >> 32;
  }
  void Put(Slot slot);

  std::vector<int32_t> values_;  // by node
  std::vector<Slot> slots_;      // open addressing, at most half full
  size_t mask_;
};

}  // namespace pelton::tokenizer
