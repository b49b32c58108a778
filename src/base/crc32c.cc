#include "base/crc32c.h"

#include <array>
#include <cstring>

namespace pelton {
namespace {

// What a byte adds, bits in the order of the wire.
constexpr std::array<uint32_t, 256> kTable = [] {
  constexpr uint32_t kReflectedPolynomial = 0x82f63b78;
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    table[i] = i;
    for (int bit = 0; bit < 8; ++bit) {
      table[i] = (table[i] >> 1) ^ ((table[i] & 1) != 0 ? kReflectedPolynomial : 0);
    }
  }
  return table;
}();

uint32_t AddByTable(uint32_t crc, std::span<const std::byte> bytes) {
  for (const std::byte byte : bytes) {
    crc = kTable[(crc ^ static_cast<uint32_t>(byte)) & 255] ^ (crc >> 8);
  }
  return crc;
}

// x86-64 has an instruction for it nearly everywhere, 20 times as fast as the table.
__attribute__((target("sse4.2"))) uint32_t AddBySse42(uint32_t crc,
                                                      std::span<const std::byte> bytes) {
  uint64_t state = crc;
  for (; bytes.size() >= sizeof(uint64_t); bytes = bytes.subspan(sizeof(uint64_t))) {
    uint64_t word;
    std::memcpy(&word, bytes.data(), sizeof(word));
    state = __builtin_ia32_crc32di(state, word);
  }
  return AddByTable(static_cast<uint32_t>(state), bytes);
}

}  // namespace

void Crc32c::Add(std::span<const std::byte> bytes) {
  static const bool has_instruction = __builtin_cpu_supports("sse4.2") != 0;
  remainder_ = has_instruction ? AddBySse42(remainder_, bytes) : AddByTable(remainder_, bytes);
}

uint32_t Crc32c::value() const { return ~remainder_; }

}  // namespace pelton
