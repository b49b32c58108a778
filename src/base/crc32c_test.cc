#include "base/crc32c.h"

#include <gtest/gtest.h>

#include <string_view>
#include <vector>

namespace pelton {
namespace {

std::span<const std::byte> Bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

uint32_t CrcOf(std::span<const std::byte> bytes) {
  Crc32c crc;
  crc.Add(bytes);
  return crc.value();
}

// Source: RFC 3720, appendix B.4.
TEST(Crc32cTest, GivesThePublishedValues) {
  EXPECT_EQ(CrcOf(Bytes("123456789")), 0xe3069283u);
  EXPECT_EQ(CrcOf({}), 0u);
  EXPECT_EQ(CrcOf(std::vector<std::byte>(32)), 0x8a9136aau);
  EXPECT_EQ(CrcOf(std::vector<std::byte>(32, std::byte{0xff})), 0x62a8ab43u);
  std::vector<std::byte> ascending;
  ascending.reserve(32);
  for (int i = 0; i < 32; ++i) ascending.push_back(static_cast<std::byte>(i));
  EXPECT_EQ(CrcOf(ascending), 0x46dd794eu);
}

TEST(Crc32cTest, PiecesGiveWhatTheWholeGives) {
  const std::string_view text = "A stitch in time saves nine.";
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    Crc32c crc;
    crc.Add(Bytes(text.substr(0, cut)));
    crc.Add(Bytes(text.substr(cut)));
    EXPECT_EQ(crc.value(), CrcOf(Bytes(text)));
  }
}

}  // namespace
}  // namespace pelton
