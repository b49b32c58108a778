#include "text/tokenizer/text_table.h"

#include <bit>
#include <cstring>

#include "base/check.h"

namespace pelton::tokenizer {

namespace {

uint64_t Mix(uint64_t a, uint64_t b) {
  const auto product = static_cast<unsigned __int128>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

}  // namespace

uint64_t HashText(std::string_view text) {
  constexpr uint64_t kOdd = 0x9E3779B97F4A7C15;
  uint64_t hash = text.size() * kOdd;
  const char* data = text.data();
  size_t left = text.size();
  for (; left >= 8; data += 8, left -= 8) {
    uint64_t word;
    std::memcpy(&word, data, 8);
    hash = Mix(hash ^ word, kOdd ^ 0xD1B54A32D192ED03);
  }
  uint64_t rest = 0;
  if (left > 0) std::memcpy(&rest, data, left);
  return Mix(hash ^ rest, 0xA0761D6478BD642F) ^ hash >> 29;
}

void TextIndex::Reset(size_t texts) {
  slots_.assign(std::bit_ceil(texts * 2 + 2), Slot{});
  mask_ = slots_.size() - 1;
}

void TextIndex::Insert(const TextTable& table, int32_t index) {
  PELTON_CHECK(!slots_.empty(), "Reset comes first");
  const std::string_view text = table[static_cast<size_t>(index)];
  const uint64_t hash = HashText(text);
  const auto tag = static_cast<uint32_t>(hash >> 32);
  for (size_t i = hash & mask_;; i = (i + 1) & mask_) {
    Slot& slot = slots_[i];
    if (slot.index < 0 || (slot.tag == tag && table[static_cast<size_t>(slot.index)] == text)) {
      slot = {tag, index};
      return;
    }
  }
}

int32_t TextIndex::Find(const TextTable& table, std::string_view text) const {
  if (slots_.empty()) return -1;
  const uint64_t hash = HashText(text);
  const auto tag = static_cast<uint32_t>(hash >> 32);
  for (size_t i = hash & mask_;; i = (i + 1) & mask_) {
    const Slot& slot = slots_[i];
    if (slot.index < 0) return -1;
    if (slot.tag == tag && table[static_cast<size_t>(slot.index)] == text) return slot.index;
  }
}

}  // namespace pelton::tokenizer
