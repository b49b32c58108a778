#include "base/byte_cursor.h"

#include <gtest/gtest.h>

#include <array>
#include <limits>

#include "base/checked_math.h"

namespace pelton {
namespace {

TEST(ByteCursorTest, ReadsLittleEndianInOrder) {
  const std::array<unsigned char, 7> raw{0x34, 0x12, 'a', 'b', 0xff, 0xff, 0xff};
  ByteCursor cursor(std::as_bytes(std::span(raw)));
  uint16_t number = 0;
  std::string_view text;
  ASSERT_TRUE(cursor.Read(&number));
  ASSERT_TRUE(cursor.ReadText(2, &text));
  EXPECT_EQ(number, 0x1234);
  EXPECT_EQ(text, "ab");
  EXPECT_EQ(cursor.left(), 3u);
}

TEST(ByteCursorTest, AReadPastTheEndChangesNothing) {
  const std::array<unsigned char, 3> raw{1, 2, 3};
  ByteCursor cursor(std::as_bytes(std::span(raw)));
  uint32_t number = 7;
  std::span<const std::byte> bytes;
  EXPECT_FALSE(cursor.Read(&number));
  EXPECT_FALSE(cursor.ReadBytes(4, &bytes));
  EXPECT_FALSE(cursor.Skip(std::numeric_limits<uint64_t>::max()));
  EXPECT_EQ(number, 7u);
  EXPECT_EQ(cursor.position(), 0u);
}

TEST(ByteCursorTest, CanHoldDoesNotOverflow) {
  const std::array<unsigned char, 16> raw{};
  const ByteCursor cursor(std::as_bytes(std::span(raw)));
  EXPECT_TRUE(cursor.CanHold(2, 8));
  EXPECT_FALSE(cursor.CanHold(3, 8));
  EXPECT_FALSE(cursor.CanHold(std::numeric_limits<uint64_t>::max(), 8));
}

TEST(CheckedMathTest, NothingWraps) {
  constexpr size_t kMax = std::numeric_limits<size_t>::max();
  EXPECT_EQ(CheckedAdd<size_t>(kMax, 1), std::nullopt);
  EXPECT_EQ(CheckedMul<size_t>(kMax / 2 + 1, 2), std::nullopt);
  EXPECT_EQ(CheckedAlignUp<size_t>(kMax, 64), std::nullopt);
  EXPECT_EQ(CheckedAlignUp<size_t>(65, 64), 128u);
  EXPECT_EQ(CheckedAlignUp<size_t>(7, 3), 9u);
}

}  // namespace
}  // namespace pelton
