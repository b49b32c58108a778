#include "base/crc32c.h"

#include <boost/crc.hpp>

namespace pelton {
namespace {

using Boost = boost::crc_optimal<32, 0x1EDC6F41, 0xFFFFFFFF, 0xFFFFFFFF, true, true>;

}  // namespace

void Crc32c::Add(std::span<const std::byte> bytes) {
  Boost crc(remainder_);
  crc.process_bytes(bytes.data(), bytes.size());
  remainder_ = crc.get_interim_remainder();
}

uint32_t Crc32c::value() const { return Boost(remainder_).checksum(); }

}  // namespace pelton
