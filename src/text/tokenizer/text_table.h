#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pelton::tokenizer {

// Texts numbered from 0, one after another in one block of memory.
class TextTable {
 public:
  void Reserve(size_t texts, size_t bytes) {
    ends_.reserve(texts);
    bytes_.reserve(bytes);
  }
  void Append(std::string_view text) {
    bytes_.append(text);
    ends_.push_back(bytes_.size());
  }

  size_t size() const { return ends_.size(); }
  // Requires: index < size().
  std::string_view operator[](size_t index) const {
    const size_t start = index == 0 ? 0 : ends_[index - 1];
    return {bytes_.data() + start, ends_[index] - start};
  }

 private:
  std::string bytes_;
  std::vector<size_t> ends_;
};

// Well mixed; equal texts give equal values within a process.
uint64_t HashText(std::string_view text);

// Finds the number of a text in a TextTable: open addressing, at most half full.
class TextIndex {
 public:
  // Makes room for `texts` entries and forgets those of before.
  void Reset(size_t texts);
  // Requires: the number of calls since Reset is within its argument. Of equal texts the one
  // inserted last is found.
  void Insert(const TextTable& table, int32_t index);
  // -1 if no text that was inserted is equal.
  int32_t Find(const TextTable& table, std::string_view text) const;

 private:
  struct Slot {
    uint32_t tag = 0;  // high bits of the hash: most unequal texts are told apart without reading
    int32_t index = -1;
  };
  std::vector<Slot> slots_;
  size_t mask_ = 0;
};

}  // namespace pelton::tokenizer
