#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace pelton {

// CRC-32C (Castagnoli), as iSCSI and ext4 have it, of bytes that come piece by piece.
class Crc32c {
 public:
  void Add(std::span<const std::byte> bytes);
  uint32_t value() const;

 private:
  uint32_t remainder_ = 0xffffffff;
};

}  // namespace pelton
