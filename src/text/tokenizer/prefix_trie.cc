#include "text/tokenizer/prefix_trie.h"

#include <utility>

namespace pelton::tokenizer {

void PrefixTrie::Insert(std::string_view text, int32_t value) {
  int32_t node = kRoot;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    int32_t next = Step(node, byte);
    if (next < 0) {
      next = static_cast<int32_t>(values_.size());
      values_.push_back(-1);
      if (values_.size() * 2 > slots_.size()) {
        std::vector<Slot> old(slots_.size() * 2);
        std::swap(old, slots_);
        mask_ = slots_.size() - 1;
        for (const Slot& slot : old) {
          if (slot.key != kEmpty) Put(slot);
        }
      }
      Put({Key(node, byte), next});
    }
    node = next;
  }
  values_[static_cast<size_t>(node)] = value;
}

void PrefixTrie::Put(Slot slot) {
  size_t i = Hash(slot.key) & mask_;
  while (slots_[i].key != kEmpty) i = (i + 1) & mask_;
  slots_[i] = slot;
}

}  // namespace pelton::tokenizer
