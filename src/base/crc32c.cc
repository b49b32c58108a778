#include "base/crc32c.h"

#include <isa-l/crc.h>

#include <algorithm>

namespace pelton {

void Crc32c::Add(std::span<const std::byte> bytes) {
  constexpr size_t kMostBytes = size_t{1} << 30;  // the library counts in int
  while (!bytes.empty()) {
    const size_t size = std::min(bytes.size(), kMostBytes);
    // It only reads.
    auto* data = const_cast<unsigned char*>(reinterpret_cast<const unsigned char*>(bytes.data()));
    remainder_ = crc32_iscsi(data, static_cast<int>(size), remainder_);
    bytes = bytes.subspan(size);
  }
}

uint32_t Crc32c::value() const { return ~remainder_; }

}  // namespace pelton
